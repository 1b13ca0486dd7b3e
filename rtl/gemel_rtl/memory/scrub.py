"""Scrubbing: what was corrected is written back, and all of memory is read from time to time."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.timing import Dram
from gemel_rtl.memory.layouts import places
from gemel_rtl.noc.queue import Queue

__all__ = ["Scrub"]


class Scrub(wiring.Component):
    """Names the granules to scrub: those in which a read was corrected (as far as the queue holds them), and every
    `interval` clocks the next of memory.

    Parameters: dram, interval, depth (of the queue).
    Members: `repaired`, `place`: a read of this granule was corrected; `o` (stream of places).
    """

    def __init__(self, dram: Dram, *, interval: int, depth: int = 4):
        self.dram, self.interval, self.depth = dram, interval, depth
        place = places(dram)
        super().__init__({"repaired": In(1), "place": In(place), "o": Out(stream.Signature(place))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(self.o.payload.shape(), self.depth)
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        clock = Signal(range(self.interval))
        pointer = Signal(len(self.place.as_value()))
        due = Signal()
        m.d.sync += clock.eq(clock + 1)
        with m.If(clock == self.interval - 1):
            m.d.sync += [clock.eq(0), due.eq(1)]
        m.d.comb += queue.i.payload.eq(pointer)
        with m.If(self.repaired):
            m.d.comb += [queue.i.valid.eq(1), queue.i.payload.eq(self.place)]
        with m.Elif(due):
            m.d.comb += queue.i.valid.eq(1)
            with m.If(queue.i.ready):
                m.d.sync += [pointer.eq(pointer + 1), due.eq(0)]
        return m
