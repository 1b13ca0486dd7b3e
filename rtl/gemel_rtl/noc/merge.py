"""Several streams into one, in turn."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Merge"]


class Merge(wiring.Component):
    """Combinational: a payload goes on in the cycle in which it comes; who has just had a turn comes last.

    An input that an abort withdraws is an offer less at the output, and costs the others a cycle.

    Parameters: shape (of the payload), n.
    Members: `i` (array of n streams), `o`.
    """

    def __init__(self, shape, n: int):
        self.n = n
        super().__init__({"i": In(stream.Signature(shape)).array(n), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform) -> Module:
        m = Module()
        n = self.n
        last, chosen = Signal(range(n)), Signal(range(n))
        held = Signal()  # an offer stays until it is taken
        with m.If(held):
            m.d.comb += chosen.eq(last)
        with m.Else():
            with m.Switch(last):
                for previous in range(n):
                    with m.Case(previous):
                        for i in range(previous, previous - n, -1):  # the nearest after the last one wins
                            with m.If(self.i[i % n].valid):
                                m.d.comb += chosen.eq(i % n)
        m.d.sync += held.eq(self.o.valid & ~self.o.ready)
        with m.If(self.o.valid):
            m.d.sync += last.eq(chosen)
        with m.Switch(chosen):
            for i, each in enumerate(self.i):
                with m.Case(i):
                    m.d.comb += [
                        self.o.valid.eq(each.valid),
                        self.o.payload.eq(each.payload),
                        each.ready.eq(self.o.ready),
                    ]
        return m
