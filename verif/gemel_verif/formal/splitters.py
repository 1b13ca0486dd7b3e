"""The crossbar's splitters: each piece reaches its target once; data and answers come back once, in order, in time."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value

from gemel_golden.config import WORD, config
from gemel_golden.interleave import CHANNEL_GRANULE, channel
from gemel_rtl.noc.pieces import PIECE_BEATS
from gemel_rtl.noc.read_splitter import ReadSplitter
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.write_splitter import WriteSplitter
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import held

__all__ = ["ReadSplitterProperties", "WriteSplitterProperties"]

CHIP = config("nano").override(channels=2)
TARGETS = CHIP.channels
COUNT = 2
"""Bits of the numbers of bursts and of a target's pieces: three are under way at most."""
NUMBER = 4
"""Bits of a beat's number."""
FREE = 4
"""Cycles in which all sides rest as they like, where a limit of time is claimed."""


def _moves(stream: Any) -> Value:
    return stream.valid & stream.ready


class _Drain:
    """Of a claim on time: `begun` is high from cycle `FREE` on, `over` from `limit` cycles later."""

    def __init__(self, m: Module, limit: int):
        cycle = Signal(range(FREE + limit + 1), name="cycle")
        with m.If(cycle != FREE + limit):
            m.d.sync += cycle.eq(cycle + 1)
        self.begun, self.over = cycle >= FREE, cycle == FREE + limit


class _Record:
    """The last 2**COUNT tuples of values that were put, by number."""

    def __init__(self, m: Module, name: str, when: Any, *values: tuple[Any, int]):
        self.put = Signal(COUNT, name=f"{name}_put")
        self.widths = [width for _, width in values]
        self.cells = Array(Signal(sum(self.widths), name=f"{name}{i}") for i in range(1 << COUNT))
        with m.If(when):
            new = Cat(Value.cast(value)[:width] for value, width in values)
            m.d.sync += [self.cells[self.put].eq(new), self.put.eq(self.put + 1)]

    def of(self, number: Any) -> list[Value]:
        """The values with this number."""
        cell, found = Value.cast(self.cells[number]), []
        for width in self.widths:
            found.append(cell[:width])
            cell = cell[width:]
        return found


class _Manager:
    """Its addresses: bursts, as the solver chooses, of one to three beats from the last beat of a granule on.

    From target 0's granule a burst goes on in target 1's, with a second piece; from target 1's it has one beat. Beats
    are numbered in the order of the addresses. `bursts`: beats - 1, and for each target whether it has a piece there
    and which. `pieces[t]`: whether it is a second one, beats - 1, and its first beat's number.
    """

    def __init__(self, m: Module, addresses: Any, target: Signal, length: Signal):
        last = PIECE_BEATS - 1
        assert [channel(CHIP, t * CHANNEL_GRANULE) for t in range(TARGETS)] == [0, 1]
        accepted = _moves(addresses)
        self.waiting = Signal()
        """The address was offered in the cycle before, and not taken."""
        m.d.sync += self.waiting.eq(addresses.valid & ~addresses.ready)
        self.beats = Signal(NUMBER)
        """Beats of the addresses so far."""
        m.d.comb += [
            addresses.payload.addr.eq(target * CHANNEL_GRANULE + last * WORD),
            addresses.payload.len.eq(length),
            assume((length != 3) & ((target == 0) | (length == 0))),
        ]
        held(m, addresses, "address", assume)
        m.d.sync += self.beats.eq(self.beats + Mux(accepted, length + 1, 0))
        crosses = length != 0
        self.pieces = [
            _Record(m, "piece0_", accepted & (target == 0), (0, 1), (0, 1), (self.beats, NUMBER)),
            _Record(
                m,
                "piece1_",
                accepted & ((target == 1) | crosses),
                (crosses, 1),
                (Mux(crosses, length - 1, 0), 1),
                (Mux(crosses, self.beats + 1, self.beats), NUMBER),
            ),
        ]
        uses = [
            (target == 0, 1),
            (self.pieces[0].put, COUNT),
            ((target == 1) | crosses, 1),
            (self.pieces[1].put, COUNT),
        ]
        self.bursts = _Record(m, "burst", accepted, (length, 2), *uses)
        self.done = Signal(COUNT)
        """Bursts that have ended, counted by whoever uses this."""
        m.d.comb += assume(~accepted | ((self.bursts.put - self.done)[:COUNT] != (1 << COUNT) - 1))

    @property
    def waits(self) -> Value:
        """Whether a burst is under way."""
        return self.bursts.put != self.done


class _Asked:
    """The addresses that target t gets must be its pieces', in order."""

    def __init__(self, m: Module, t: int, addresses: Any, pieces: _Record):
        self.count = Signal(COUNT, name=f"asked{t}")
        second, size, _ = pieces.of(self.count)
        place = Mux(second, 0, PIECE_BEATS - 1)
        m.d.sync += self.count.eq(self.count + _moves(addresses))
        held(m, addresses, f"asked{t}", must)
        with m.If(addresses.valid):
            m.d.comb += [
                must(self.count != pieces.put),
                must(addresses.payload.addr == t * CHANNEL_GRANULE + place * WORD),
                must(addresses.payload.len == size),
            ]


class _Beats:
    """The beats of target t's pieces, one after the other: `piece` and `beat` within it, its `number`, and `last`."""

    def __init__(self, m: Module, name: str, pieces: _Record, moves: Any):
        self.piece, beat = Signal(COUNT, name=f"{name}_piece"), Signal(name=f"{name}_beat")
        _, size, first = pieces.of(self.piece)
        self.number, self.last = Signal(NUMBER, name=f"{name}_number"), Signal(name=f"{name}_last")
        m.d.comb += [self.number.eq(first + beat), self.last.eq(beat == size)]
        with m.If(moves):
            m.d.sync += [beat.eq(~self.last), self.piece.eq(self.piece + self.last)]


class ReadSplitterProperties(Elaboratable):
    """`ReadSplitter` between two targets that answer with the numbers of the beats that they are asked for.

    Parameters: limit (0: all sides rest as they like. Otherwise they do so in the first `FREE` cycles alone; then none
    rests, no burst begins, and after so many cycles all have ended).
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.splitter = splitter = ReadSplitter(CHIP, Route(CHIP), PIECE_BEATS)
        self.target, self.length = Signal(), Signal(2)
        self.inputs = [self.target, self.length, splitter.i.ar.valid, splitter.i.r.ready]
        for port in splitter.o:
            self.inputs += [port.ar.ready, port.r.valid]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.splitter = splitter = self.splitter
        ar, r = splitter.i.ar, splitter.i.r
        drain = _Drain(m, self.limit)
        manager = _Manager(m, ar, self.target, self.length)
        for t, port in enumerate(splitter.o):
            asked = _Asked(m, t, port.ar, manager.pieces[t])
            answer = _Beats(m, f"answer{t}", manager.pieces[t], _moves(port.r))
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
        with m.If(_moves(r)):
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

    Parameters: limit (0: all sides rest as they like. Otherwise they do so in the first `FREE` cycles alone; then none
    rests, no burst begins, and after so many cycles all have ended).
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.splitter = splitter = WriteSplitter(CHIP, Route(CHIP), 1 << COUNT)
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
        drain = _Drain(m, self.limit)
        manager = _Manager(m, aw, self.target, self.length)
        sent = Signal(NUMBER)  # beats may run ahead of their addresses
        m.d.comb += [w.payload.data.eq(sent), w.payload.strb.eq(sent)]
        m.d.sync += sent.eq(sent + _moves(w))
        held(m, w, "beat", assume)

        answers = []
        for t, port in enumerate(splitter.o):
            pieces = manager.pieces[t]
            asked = _Asked(m, t, port.aw, pieces)
            written = _Beats(m, f"written{t}", pieces, _moves(port.w))
            with m.If(port.w.valid):
                m.d.comb += [
                    must(written.piece != pieces.put),
                    must(port.w.payload.data == written.number),
                    must(port.w.payload.strb == written.number),
                    must(port.w.payload.last == written.last),
                ]
            held(m, port.w, f"written{t}", must)
            answer = _Record(m, f"answer{t}_", _moves(port.b), (self.errors[t], 1))
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
        m.d.sync += manager.done.eq(manager.done + _moves(b))
        held(m, b, "answer", must)
        if self.limit:
            owing = sent != manager.beats
            m.d.comb += [
                assume(~drain.begun | (b.ready & (w.valid | ~owing) & (~aw.valid | manager.waiting))),
                must(~drain.over | ~(manager.waits | owing)),
            ]
        return m
