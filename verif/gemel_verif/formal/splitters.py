"""The crossbar's splitters: each piece reaches its target once; data and answers come back once, in order, in time."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, signed

from gemel_rtl.noc.pieces import PIECE_BEATS
from gemel_rtl.noc.read_splitter import ReadSplitter
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.write_splitter import WriteSplitter
from gemel_verif.formal.bursts import CHIP, COUNT, FREE, NUMBER, TARGETS, Asked, Beats, Drain, Manager, Record, moves
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import held

__all__ = ["ReadSplitterProperties", "WriteSplitterProperties"]

BUFFER = 2
"""Beats that a writer's splitter keeps for each target: as few as hold a piece, of which all here have up to two."""


class ReadSplitterProperties(Elaboratable):
    """`ReadSplitter` between two targets that answer with the numbers of the beats that they are asked for.

    Parameters: limit (0: all sides rest as they like. Otherwise they do so in the first `free` cycles alone; then none
    rests, no burst begins, and after so many cycles all have ended), free.
    """

    def __init__(self, limit: int = 0, free: int = FREE) -> None:
        self.limit = limit
        self.free = free
        self.splitter = splitter = ReadSplitter(CHIP, Route(CHIP), PIECE_BEATS)
        self.target, self.length = Signal(), Signal(2)
        self.inputs = [self.target, self.length, splitter.i.ar.valid, splitter.i.r.ready]
        for port in splitter.o:
            self.inputs += [port.ar.ready, port.r.valid]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.splitter = splitter = self.splitter
        ar, r = splitter.i.ar, splitter.i.r
        drain = Drain(m, self.limit, self.free)
        manager = Manager(m, ar, self.target, self.length)
        for t, port in enumerate(splitter.o):
            asked = Asked(m, t, port.ar, manager.pieces[t])
            answer = Beats(m, f"answer{t}", manager.pieces[t], moves(port.r))
            owes = answer.piece != asked.count
            m.d.comb += [
                assume(~port.r.valid | owes),
                must(port.r.ready | ~port.r.valid),
                port.r.payload.data.eq(answer.number),
                port.r.payload.resp.eq(answer.number[:2]),
                port.r.payload.last.eq(answer.last),
            ]
            if self.limit:
                m.d.comb += assume(~drain.begun | (port.ar.ready & (port.r.valid == owes)))

        beat, number = Signal(2), Signal(NUMBER)
        last = beat == manager.bursts.of(manager.done)[0]
        with m.If(r.valid):
            m.d.comb += [
                must(manager.waits),
                must(r.payload.data == number),
                must(r.payload.resp == number[:2]),
                must(r.payload.last == last),
            ]
        with m.If(moves(r)):
            m.d.sync += [number.eq(number + 1), beat.eq(Mux(last, 0, beat + 1)), manager.done.eq(manager.done + last)]
        held(m, r, "data", must)
        if self.limit:
            m.d.comb += [
                assume(~drain.begun | (r.ready & (~ar.valid | manager.waiting))),
                must(~drain.over | ~manager.waits),
            ]
        return m


class WriteSplitterProperties(Elaboratable):
    """`WriteSplitter` between two targets that answer with errors where the solver wants them; beats are numbered.

    Parameters: limit (0: all sides rest as they like. Otherwise they do so in the first `free` cycles alone; then none
    rests, no burst begins, and after so many cycles all have ended), free.
    """

    def __init__(self, limit: int = 0, free: int = FREE) -> None:
        self.limit = limit
        self.free = free
        self.splitter = splitter = WriteSplitter(CHIP, Route(CHIP), 1 << COUNT)
        splitter.beats = BUFFER
        self.target, self.length, self.errors = Signal(), Signal(2), Signal(TARGETS)
        self.inputs = [
            self.target,
            self.length,
            self.errors,
            splitter.i.aw.valid,
            splitter.i.w.valid,
            splitter.i.b.ready,
        ]
        for port in splitter.o:
            self.inputs += [port.aw.ready, port.w.ready, port.b.valid]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.splitter = splitter = self.splitter
        aw, w, b = splitter.i.aw, splitter.i.w, splitter.i.b
        drain = Drain(m, self.limit, self.free)
        manager = Manager(m, aw, self.target, self.length)
        sent = Signal(NUMBER)  # beats may run ahead of their addresses
        m.d.comb += [w.payload.data.eq(sent), w.payload.strb.eq(sent)]
        m.d.sync += sent.eq(sent + moves(w))
        held(m, w, "beat", assume)

        answers = []
        for t, port in enumerate(splitter.o):
            pieces = manager.pieces[t]
            asked = Asked(m, t, port.aw, pieces)
            written = Beats(m, f"written{t}", pieces, moves(port.w))
            with m.If(port.w.valid):
                m.d.comb += [
                    must(written.piece != pieces.put),
                    must(port.w.payload.data == written.number),
                    must(port.w.payload.strb == written.number),
                    must(port.w.payload.last == written.last),
                ]
            held(m, port.w, f"written{t}", must)
            owed = Signal(signed(COUNT + 1), name=f"owed{t}")  # pieces asked less pieces written
            m.d.sync += owed.eq(owed + moves(port.aw) - (moves(port.w) & written.last))
            # Who is asked has the beats: an arbiter that holds its W for this piece never waits for them.
            m.d.comb += must(port.w.valid | (owed + port.aw.valid <= 0))
            answer = Record(m, f"answer{t}_", moves(port.b), (self.errors[t], 1))
            answers.append(answer)
            owes = (answer.put != asked.count) & (answer.put != written.piece)
            m.d.comb += [
                port.b.payload.resp.eq(Cat(Const(0, 1), self.errors[t])),
                assume(~port.b.valid | owes),
                must(port.b.ready | ~port.b.valid),
            ]
            if self.limit:
                m.d.comb += assume(~drain.begun | (port.aw.ready & port.w.ready & (port.b.valid == owes)))

        burst = manager.bursts.of(manager.done)
        wrong = Signal(TARGETS)
        for t, answer in enumerate(answers):
            uses, piece = burst[1 + 2 * t : 3 + 2 * t]
            m.d.comb += wrong[t].eq(uses & answer.of(piece)[0])
            # The oldest burst's piece is the oldest of its target that no answer has passed on.
            m.d.comb += must(~b.valid | ~uses | (answer.put != piece))
        m.d.comb += [
            must(~b.valid | manager.waits),
            must(~b.valid | (b.payload.resp == Cat(Const(0, 1), wrong.any()))),
        ]
        m.d.sync += manager.done.eq(manager.done + moves(b))
        held(m, b, "answer", must)
        if self.limit:
            owing = sent != manager.beats
            m.d.comb += [
                assume(~drain.begun | (b.ready & (w.valid | ~owing) & (~aw.valid | manager.waiting))),
                must(~drain.over | ~(manager.waits | owing)),
            ]
        return m
