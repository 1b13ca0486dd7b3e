"""Writes behind their data: a burst's address goes out once all its beats are there."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import BURST, STROBED
from gemel_rtl.noc.queue import Queue

__all__ = ["WriteBehind"]


class WriteBehind(wiring.Component):
    """Holds each burst back until its beats wait in a buffer: a bus whose address is taken never waits for data.

    Parameters: depth (beats, no fewer than a burst has).
    Members: `bursts` with `sent`, those that go on; `beats` with `o`, the same in their order.
    """

    def __init__(self, depth: int):
        self.depth = depth
        bursts, beats = stream.Signature(BURST), stream.Signature(STROBED)
        super().__init__({"bursts": In(bursts), "sent": Out(bursts), "beats": In(beats), "o": Out(beats)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.buffer = buffer = Queue(STROBED, self.depth)
        wiring.connect(m, wiring.flipped(self.beats), buffer.i)
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        burst = self.bursts.payload
        there = Signal(range(self.depth + 1))  # beats that came and aren't of a burst that went on
        able, came, sent = Signal(), Signal(), Signal()
        m.d.comb += [
            able.eq(there > burst.len),
            self.sent.payload.eq(burst),
            self.sent.valid.eq(self.bursts.valid & able),
            self.bursts.ready.eq(self.sent.ready & able),
            sent.eq(self.sent.valid & self.sent.ready),
            came.eq(self.beats.valid & self.beats.ready),
        ]
        m.d.sync += there.eq(there + came - Mux(sent, burst.len + 1, 0))
        return m
