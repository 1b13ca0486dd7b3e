"""Register slice of a stream: two entries, so that neither valid nor ready passes through combinationally."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Slice"]


class Slice(wiring.Component):
    """Passes a stream on, one cycle later, at full rate; `i.ready` and `o.valid` come from registers.

    Parameters: shape (of the payload).
    Members: `i`, `o` (streams), `empty` (nothing inside).
    """

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "empty": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        spare = Signal.like(self.o.payload, name="spare", reset_less=True)
        spare_valid = Signal()
        m.d.comb += [self.i.ready.eq(~spare_valid), self.empty.eq(~self.o.valid & ~spare_valid)]
        accept = self.i.valid & ~spare_valid
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [self.o.valid.eq(spare_valid | accept), spare_valid.eq(0)]
            with m.If(spare_valid):
                m.d.sync += self.o.payload.eq(spare)
            with m.Elif(accept):
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(accept):
            m.d.sync += [spare.eq(self.i.payload), spare_valid.eq(1)]
        return m
