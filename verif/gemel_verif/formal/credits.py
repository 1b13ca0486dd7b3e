"""Credit counters: reads ahead of their room and writes ahead of their data never happen, and nothing stays behind."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal

from gemel_rtl.dma.ahead import ReadAhead
from gemel_rtl.dma.behind import WriteBehind
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import COUNT, held

__all__ = ["AheadProperties", "BehindProperties"]


class _Credits(Elaboratable):
    """Bursts of 1 to `depth` beats, and beats that carry numbers."""

    unit: Any

    def __init__(self, depth: int):
        self.depth = depth

    def _numbered(self, m: Module, came: Any, data_in: Any, gone: Any, data_out: Any) -> Signal:
        """Beats inside; what goes out is the next number."""
        put, got = Signal(COUNT, name="put"), Signal(COUNT, name="got")
        inside = Signal(range(self.depth + 1), name="inside")
        m.d.comb += [data_in.eq(put), must((data_out[:COUNT] == got) | ~gone)]
        m.d.sync += [put.eq(put + came), got.eq(got + gone), inside.eq(inside + came - gone)]
        return inside

    def _burst(self, m: Module, bursts: Any) -> Any:
        """Its beats."""
        m.d.comb += assume(bursts.payload.len < self.depth)
        held(m, bursts, "burst", assume)
        return bursts.payload.len + 1


class AheadProperties(_Credits):
    """`ReadAhead` of a few beats: a burst goes on exactly when its beats fit beside all that are owed or inside, and
    what comes for those that went on is always taken, and given in its order.

    Parameters: depth (beats).
    """

    def __init__(self, depth: int):
        super().__init__(depth)
        self.unit = unit = ReadAhead(depth)
        self.inputs = [unit.i.valid, unit.i.payload, unit.asked.ready, unit.beats.valid, unit.o.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        beats = self._burst(m, unit.i)
        asked, came, gone = Signal(), Signal(), Signal()
        owed = Signal(range(self.depth + 1))
        m.d.comb += [
            asked.eq(unit.asked.valid & unit.asked.ready),
            came.eq(unit.beats.valid & unit.beats.ready),
            gone.eq(unit.o.valid & unit.o.ready),
            assume(~unit.beats.valid | (owed != 0)),
        ]
        m.d.sync += owed.eq(owed + Mux(asked, beats, 0) - came)
        inside = self._numbered(m, came, unit.beats.payload.data, gone, unit.o.payload.data)
        held(m, unit.asked, "asked", must)
        m.d.comb += [
            must(unit.beats.ready | ~unit.beats.valid),
            must(unit.asked.valid == (unit.i.valid & (owed + inside + beats <= self.depth))),
            must((unit.i.valid & unit.i.ready) == asked),
            must(unit.o.valid == (inside != 0)),
        ]
        return m


class BehindProperties(_Credits):
    """`WriteBehind` of a few beats: a burst goes on exactly when its beats wait, so that who has its address finds them
    all, in their order.

    Parameters: depth (beats).
    """

    def __init__(self, depth: int):
        super().__init__(depth)
        self.unit = unit = WriteBehind(depth)
        self.inputs = [unit.bursts.valid, unit.bursts.payload, unit.sent.ready, unit.beats.valid, unit.o.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        beats = self._burst(m, unit.bursts)
        sent, came, gone = Signal(), Signal(), Signal()
        promised = Signal(range(self.depth + 1))
        m.d.comb += [
            sent.eq(unit.sent.valid & unit.sent.ready),
            came.eq(unit.beats.valid & unit.beats.ready),
            gone.eq(unit.o.valid & unit.o.ready),
            assume(~unit.o.ready | (promised != 0)),
        ]
        m.d.sync += promised.eq(promised + Mux(sent, beats, 0) - gone)
        inside = self._numbered(m, came, unit.beats.payload.data, gone, unit.o.payload.data)
        held(m, unit.sent, "sent", must)
        m.d.comb += [
            must(promised <= inside),
            must(unit.o.valid | (promised == 0)),
            must(unit.sent.valid == (unit.bursts.valid & (promised + beats <= inside))),
            must((unit.bursts.valid & unit.bursts.ready) == sent),
            must(unit.beats.ready == (inside != self.depth)),
        ]
        return m
