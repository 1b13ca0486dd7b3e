"""A few counters of which one goes up in a cycle."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["Tally"]


class Tally(wiring.Component):
    """Counters in a small memory with one adder, zero after reset and after `clear`.

    Parameters: size, number of counters; width of each.
    Members: `en`, counter `which` goes up by one; `clear`, all are zero from the next cycle on; `select`, `value`: a
    counter, with a cycle of delay.
    """

    def __init__(self, size: int, width: int):
        self.size = size
        self.width = width
        super().__init__(
            {
                "en": In(1),
                "which": In(range(size)),
                "clear": In(1),
                "select": In(range(size)),
                "value": Out(width),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.counts = counts = Memory(shape=self.width, depth=self.size, init=[])
        write, read, show = counts.write_port(), counts.read_port(domain="comb"), counts.read_port()
        used, shown = Signal(self.size), Signal()
        m.d.comb += [
            read.addr.eq(self.which),
            write.addr.eq(self.which),
            write.data.eq(Mux(used.bit_select(self.which, 1), read.data, 0) + 1),
            write.en.eq(self.en),
            show.addr.eq(self.select),
            show.en.eq(1),
            self.value.eq(Mux(shown, show.data, 0)),
        ]
        m.d.sync += shown.eq(used.bit_select(self.select, 1) & ~self.clear)
        with m.If(self.clear):
            m.d.sync += used.eq(0)
        with m.Elif(self.en):
            m.d.sync += used.bit_select(self.which, 1).eq(1)
        return m
