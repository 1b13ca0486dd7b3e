"""The simulator's build: a failing tool's own words, nothing left in the cache, and which modules are repeated."""

from pathlib import Path

import pytest

from gemel.sim import build
from gemel.sim.verilog import Verilog, describe
from gemel_golden.config import config

LARGE = "  // " + "x" * 40_000 + "\n"
TEXT = f"""module top(clk, trace_load_start, m_axi0_arvalid, m_axi1_arvalid);
  input clk;
  small a (
    .clk(clk));
  small \\if  (
    .clk(clk));
  large c (
    .clk(clk));
  large d (
    .clk(clk));
endmodule
module small(clk);
  input clk;
endmodule
module large(clk, \\integer , data);
  input clk;
  input \\integer ;
  input [7:0] data;
  inner e (
    .clk(clk));
{LARGE}endmodule
module inner(clk);
  input clk;
{LARGE}endmodule
"""


def test_large_modules_used_twice_are_named_with_their_inputs() -> None:
    assert describe(TEXT, "top") == {"units": ["load"], "ports": 2, "repeated": {"large": ["integer", "data"]}}


def test_what_is_repeated_within_a_repeated_module_is_named_in_its_place() -> None:
    twice = TEXT.replace(
        "  inner e (\n    .clk(clk));\n", "  inner e (\n    .clk(clk));\n  inner f (\n    .clk(clk));\n"
    )
    assert describe(twice, "top")["repeated"] == {"inner": []}


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    source = tmp_path / "broken.v"
    source.write_text("module broken(clk);\n  input clk;\n  assign nothing = somewhere +;\nendmodule\n")
    verilog = Verilog(files=(source,), digest=source.name, top="broken", units=(), ports=1, repeated={})
    monkeypatch.setattr(build, "elaborate", lambda config, top: verilog)
    monkeypatch.setenv("GEMEL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_a_failing_build_says_the_tools_words(broken: Path) -> None:
    with pytest.raises(build.BuildError) as caught:
        build.library(config("nano"))
    assert str(caught.value).startswith("Verilator ended with status ")
    assert "broken.v:3:" in str(caught.value)
    assert "syntax error" in str(caught.value)
    assert [path for path in (broken / "cache" / "sim").iterdir() if path.is_dir()] == []


def test_a_missing_compiler_is_named(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(build.BuildError, match="there is no no-such-compiler on PATH"):
        build.library(config("nano"))


def test_an_unknown_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="no build profile 'best'; there are fast-build, fast-run"):
        build.library(config("nano"), profile="best")
