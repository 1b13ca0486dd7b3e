"""First-in first-out queue of a stream's payloads, in a memory."""

from amaranth.hdl import Cat, Module
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


class Queue(wiring.Component):
    """Holds up to `depth` payloads; one comes out at the earliest in the cycle after it went in.

    Parameters: shape (of the payload), depth.
    Members: `i`, `o` (streams). `i.ready` doesn't depend on `o.ready`.
    """

    def __init__(self, shape, depth: int):
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        source = Cat(self.i.payload)
        m.submodules.fifo = cells = fifo.SyncFIFO(width=len(source), depth=self.depth)
        m.d.comb += [
            cells.w_data.eq(source),
            cells.w_en.eq(self.i.valid),
            self.i.ready.eq(cells.w_rdy),
            Cat(self.o.payload).eq(cells.r_data),
            self.o.valid.eq(cells.r_rdy),
            cells.r_en.eq(self.o.ready),
        ]
        return m
