"""The guards: no burst leaves that no window allows, every burst is answered, and isolation leaves the bus in order."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal

from gemel_golden.config import config
from gemel_golden.windows import PAGE
from gemel_rtl.noc.guard import REFUSED, ReadGuard, WriteGuard
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import bounded, held

__all__ = ["ReadGuardProperties", "WriteGuardProperties"]

COUNT = 3
ALLOWED = 5
"""The one page that the window allows."""


def _window(m: Module, guard: Any) -> None:
    window = guard.windows.windows[0]
    m.d.comb += [guard.windows.enforced.eq(1), window.base.eq(ALLOWED), window.limit.eq(ALLOWED + 1)]
    m.d.comb += [window.read.eq(1), window.write.eq(1)]


class ReadGuardProperties(Elaboratable):
    """`ReadGuard` with bursts of one or two beats to an allowed page and to another."""

    def __init__(self) -> None:
        self.guard = guard = ReadGuard(config("nano"), 2)
        self.page = Signal(4)
        self.long = Signal()
        self.inputs = [guard.i.ar.valid, self.page, self.long, guard.i.r.ready, guard.o.ar.ready, guard.o.r.valid]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        _window(m, guard)
        inner, outer = guard.i, guard.o
        m.d.comb += [inner.ar.payload.addr.eq(self.page * PAGE), inner.ar.payload.len.eq(self.long)]
        held(m, inner.ar, "address", assume)
        held(m, outer.ar, "bus_address", must)
        m.d.comb += must(~outer.ar.valid | (outer.ar.payload.addr == ALLOWED * PAGE))

        # The bus answers what it was asked, one burst at a time of two beats at most; the manager sees no more.
        owed, asked = Signal(COUNT + 1), Signal(COUNT + 1)
        sent, taken = outer.ar.valid & outer.ar.ready, outer.r.valid & outer.r.ready
        got = inner.r.valid & inner.r.ready
        begun = inner.ar.valid & inner.ar.ready
        lengths = Signal(1 << COUNT)
        head, tail, beat = Signal(COUNT), Signal(COUNT), Signal()
        m.d.comb += [
            assume(~outer.r.valid | (owed != 0)),
            outer.r.payload.last.eq(beat == lengths.bit_select(head, 1)),
            assume(owed < 6),
        ]
        m.d.sync += owed.eq(owed + sent - (taken & outer.r.payload.last))
        with m.If(sent):
            m.d.sync += [lengths.bit_select(tail, 1).eq(outer.ar.payload.len), tail.eq(tail + 1)]
        with m.If(taken):
            m.d.sync += [beat.eq(~outer.r.payload.last), head.eq(head + outer.r.payload.last)]
        m.d.sync += asked.eq(asked + begun - (got & inner.r.payload.last))
        held(m, outer.r, "bus_data", assume)
        held(m, inner.r, "data", must)
        m.d.comb += [
            must(~inner.r.valid | (asked != 0)),
            must(~inner.r.valid | ((inner.r.payload.resp == REFUSED) == (owed == 0))),
        ]
        bounded(m, ~inner.r.ready | ~outer.ar.ready | ((owed != 0) & ~outer.r.valid), 1, "sides", assume)
        bounded(m, inner.ar.valid & ~inner.ar.ready, 24, "address_wait", must)
        return m


class WriteGuardProperties(Elaboratable):
    """`WriteGuard` with bursts of one beat to an allowed page and to another."""

    def __init__(self) -> None:
        self.guard = guard = WriteGuard(config("nano").override(outstanding=2), 2)
        self.page = Signal(4)
        self.inputs = [guard.i.aw.valid, self.page, guard.i.w.valid, guard.i.b.ready]
        self.inputs += [guard.o.aw.ready, guard.o.w.ready, guard.o.b.valid, guard.isolate]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.guard = guard = self.guard
        _window(m, guard)
        inner, outer = guard.i, guard.o
        addresses, beats, answers = Signal(COUNT), Signal(COUNT), Signal(COUNT)
        sent, went = Signal(COUNT), Signal(COUNT)
        isolated, was_isolated = Signal(), Signal()
        m.d.comb += [
            inner.aw.payload.addr.eq(self.page * PAGE),
            inner.w.payload.last.eq(1),
            must(~outer.aw.valid | (outer.aw.payload.addr == ALLOWED * PAGE)),
            must(~outer.w.valid | (sent != went)),
            must(~outer.w.valid | outer.w.payload.last),
            must(~(guard.isolate & outer.w.valid) | (outer.w.payload.strb == 0)),
            must(~(guard.isolate & (inner.b.valid | outer.aw.valid))),
            assume(~outer.b.valid | (went != answers)),
            # While isolated the manager is in reset, and it stays so until nothing is under way.
            isolated.eq(guard.isolate),
            assume(~was_isolated | isolated | guard.idle),
        ]
        m.d.sync += was_isolated.eq(isolated)
        m.d.sync += [
            sent.eq(sent + (outer.aw.valid & outer.aw.ready)),
            went.eq(went + (outer.w.valid & outer.w.ready)),
            answers.eq(answers + (outer.b.valid & outer.b.ready)),
        ]
        begun = inner.aw.valid & inner.aw.ready
        got = inner.b.valid & inner.b.ready
        pending = Signal(COUNT)
        m.d.sync += [
            pending.eq(Mux(isolated, 0, pending + begun - got)),
            addresses.eq(Mux(isolated, 0, addresses + begun)),
            beats.eq(Mux(isolated, 0, beats + (inner.w.valid & inner.w.ready))),
        ]
        m.d.comb += [
            must(~inner.b.valid | (pending != 0)),
            assume(~isolated | ~(inner.aw.valid | inner.w.valid)),
            assume(~inner.w.valid | (beats != addresses) | inner.aw.valid),
        ]
        return m
