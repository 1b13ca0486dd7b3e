"""Reads ahead of their use, as far as a buffer has room for the data."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import BEAT, BURST
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.noc.queue import Queue

__all__ = ["ReadAhead"]

READ = data.StructLayout({"data": AXI_DATA_BITS, "error": 1})
"""A beat that was read, or an error in its place."""


class ReadAhead(wiring.Component):
    """A burst goes on only once there is room for all its beats, so that `beats` are always taken and nobody else on
    the bus waits for what becomes of them.

    Parameters: depth (beats, no fewer than a burst has).
    Members: `i` (bursts), `asked` (bursts: those that go on), `beats` (what comes for them), `o` (the same).
    """

    def __init__(self, depth: int):
        self.depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(BURST)),
                "asked": Out(stream.Signature(BURST)),
                "beats": In(stream.Signature(BEAT)),
                "o": Out(stream.Signature(READ)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = Queue(READ, self.depth)
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        burst = self.i.payload
        room = Signal(range(self.depth + 1), init=self.depth)
        able, asked, given = Signal(), Signal(), Signal()
        m.d.comb += [
            able.eq(room > burst.len),
            self.asked.payload.eq(burst),
            self.asked.valid.eq(self.i.valid & able),
            self.i.ready.eq(self.asked.ready & able),
            asked.eq(self.asked.valid & self.asked.ready),
            given.eq(self.o.valid & self.o.ready),
            buffer.i.payload.data.eq(self.beats.payload.data),
            buffer.i.payload.error.eq(self.beats.payload.error),
            buffer.i.valid.eq(self.beats.valid),
            self.beats.ready.eq(buffer.i.ready),
        ]
        m.d.sync += room.eq(room - Mux(asked, burst.len + 1, 0) + given)
        return m
