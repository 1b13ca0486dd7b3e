"""Cuts rows of memory bytes into AXI bursts."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.layouts import BURST, ROW

__all__ = ["BurstCutter"]


class BurstCutter(wiring.Component):
    """Gives the bursts of each row in order: 64-byte beats, cut at 4 KB boundaries; one burst a cycle.

    A row's payload must hold until its last burst goes. After a burst that is outside of the memory's addresses nothing
    comes any more until reset.

    Parameters: config.
    Members: `i` (rows of at least one byte), `o` (bursts).
    """

    def __init__(self, config: ChipConfig):
        self.address_bits = config.mem_address_bits - 6
        super().__init__({"i": In(stream.Signature(ROW)), "o": Out(stream.Signature(BURST))})

    def elaborate(self, platform) -> Module:
        m = Module()
        row, burst = self.i.payload, self.o.payload
        within, halted, outside = Signal(), Signal(), Signal()
        next_address = Signal(58, reset_less=True)
        next_beats = Signal(11, reset_less=True)
        address, beats, to_boundary, final = Signal(58), Signal(11), Signal(7), Signal()
        end = Signal(18)
        m.d.comb += [
            end.eq(row.address[:6] + row.length + 63),
            address.eq(Mux(within, next_address, row.address[6:])),
            burst.address.eq(address),
            beats.eq(Mux(within, next_beats, end[6:])),
            outside.eq(address[self.address_bits :].any()),
            to_boundary.eq(64 - address[:6]),
            final.eq(beats <= to_boundary),
            burst.len.eq(Mux(final, beats, to_boundary) - 1),
            burst.outside.eq(outside),
            burst.last.eq(final & row.last),
            burst.pc.eq(row.pc),
            self.o.valid.eq(self.i.valid & ~halted),
            self.i.ready.eq(self.o.ready & final & ~halted),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                within.eq(~final),
                next_address.eq(address + to_boundary),
                next_beats.eq(beats - to_boundary),
                halted.eq(outside),
            ]
        return m
