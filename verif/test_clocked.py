"""Registers of the exported Verilog: one clocked process for each condition, no next states that everybody computes."""

import re

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.clocked import clocked
from gemel_rtl.verilog import export


class Registers(wiring.Component):
    """Registers that are loaded, one of them after reset only, and one that counts."""

    load: In(1)
    i: In(8)
    first: Out(8)
    second: Out(8)
    counter: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, second = (Signal(8, name=f"{name}_q", reset_less=True) for name in ("first", "second"))
        m.d.sync += self.counter.eq(self.counter + self.i)
        with m.If(self.load):
            m.d.sync += [first.eq(self.i), second.eq(first)]
        m.d.comb += [self.first.eq(first), self.second.eq(second)]
        return m


def test_one_process_a_condition() -> None:
    text = export(Registers(), "registers")["registers"]
    processes = re.findall(r"^  always @\(posedge clk\) begin\n(.*?)^  end\n", text, re.MULTILINE | re.DOTALL)
    assert len(processes) == text.count("always") == 2
    assert sorted(processes[0].splitlines()) == sorted(
        ["    if (load) begin", "      first <= i;", "      second <= first;", "    end"]
    )
    assert re.fullmatch(r"    counter <= .*;\n    if \(rst\) begin\n      counter <= 8'h00;\n    end\n", processes[1])


NEXT_IS_READ = """module next_is_read(clk, i, o);
  reg \\$1 ;
  assign o = \\$1 ;
  always @(posedge clk)
    x <= \\$1 ;
  always @* begin
    if (\\$auto$1 ) begin end
    \\$1  = x;
    if (i) begin
      \\$1  = 1'h1;
    end
  end
endmodule
"""


def test_a_next_state_that_others_read_stays() -> None:
    assert clocked(NEXT_IS_READ) == NEXT_IS_READ


ESCAPED = """module escaped(clk, i);
  reg \\x$2  = 1'h0;
  reg [7:0] \\$1 ;
  always @(negedge clk)
    \\x$2  <= \\$1 ;
  always @* begin
    if (\\$auto$1 ) begin end
    \\$1  = \\x$2 ;
    casez (i)
      2'h1:
          \\$1 [3:0] = 4'h1;
      default:
          \\$1  = 8'h00;
    endcase
  end
endmodule
"""


def test_cases_slices_and_escaped_names() -> None:
    assert (
        clocked(ESCAPED)
        == """module escaped(clk, i);
  reg \\x$2  = 1'h0;
  always @(negedge clk) begin
    casez (i)
      2'h1:
          \\x$2 [3:0] <= 4'h1;
      default:
          \\x$2  <= 8'h00;
    endcase
  end
endmodule
"""
    )
