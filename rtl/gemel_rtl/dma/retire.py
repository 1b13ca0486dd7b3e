"""Ends DMA instructions in program order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import DEPTH, RETIRING
from gemel_rtl.interfaces import PC_BITS, SEMAPHORE_PAIR
from gemel_rtl.noc.queue import Queue

__all__ = ["Retire"]


class Retire(wiring.Component):
    """Keeps the instructions under way; each `done` lets the oldest one give its signals and then its `stop` pulse.

    Members: `i` (instructions as they begin), `done`, `signal` (stream), `stop`, `busy` (something is under way),
    `pc` (of the oldest).
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(RETIRING)),
                "done": In(1),
                "signal": Out(stream.Signature(SEMAPHORE_PAIR)),
                "stop": Out(1),
                "busy": Out(1),
                "pc": Out(PC_BITS),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(RETIRING, DEPTH)
        wiring.connect(m, wiring.flipped(self.i), queue.i)
        oldest = queue.o.payload
        finished = Signal(range(DEPTH + 1))
        signals = Signal()
        m.d.comb += [
            signals.eq((oldest.signal.count0 != 0) | (oldest.signal.count1 != 0)),
            self.signal.payload.eq(oldest.signal),
            self.signal.valid.eq((finished != 0) & signals),
            self.stop.eq((finished != 0) & (~signals | self.signal.ready)),
            queue.o.ready.eq(self.stop),
            self.busy.eq(queue.o.valid),
            self.pc.eq(oldest.pc),
        ]
        m.d.sync += finished.eq(finished + self.done - self.stop)
        return m
