"""What the crossbar's proofs share: bursts that cross targets, their pieces and beats by number, and limits of time."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value

from gemel_golden.config import WORD, config
from gemel_golden.interleave import CHANNEL_GRANULE, channel
from gemel_rtl.noc.pieces import PIECE_BEATS
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import held

__all__ = ["CHIP", "COUNT", "FREE", "NUMBER", "TARGETS", "Asked", "Beats", "Drain", "Manager", "Record", "moves"]

CHIP = config("nano").override(channels=2)
TARGETS = CHIP.channels
COUNT = 2
"""Bits of the numbers of bursts and of a target's pieces: three are under way at most."""
NUMBER = 4
"""Bits of a beat's number."""
FREE = 4
"""Cycles in which all sides rest as they like, where a limit of time is claimed."""


def moves(stream: Any) -> Value:
    return stream.valid & stream.ready


class Drain:
    """Of a claim on time: `begun` is high from cycle `free` on, `over` from `limit` cycles later."""

    def __init__(self, m: Module, limit: int, free: int):
        cycle = Signal(range(free + limit + 1), name="cycle")
        with m.If(cycle != free + limit):
            m.d.sync += cycle.eq(cycle + 1)
        self.begun, self.over = cycle >= free, cycle == free + limit


class Record:
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


class Manager:
    """Its addresses: bursts, as the solver chooses, of one to three beats from the last beat of a granule on.

    From target 0's granule a burst goes on in target 1's, with a second piece; from target 1's it has one beat. Beats
    are numbered in the order of the addresses. `bursts`: beats - 1, and for each target whether it has a piece there
    and which. `pieces[t]`: whether it is a second one, beats - 1, and its first beat's number.
    """

    def __init__(self, m: Module, addresses: Any, target: Signal, length: Signal):
        last = PIECE_BEATS - 1
        assert [channel(CHIP, t * CHANNEL_GRANULE) for t in range(TARGETS)] == [0, 1]
        accepted = moves(addresses)
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
            Record(m, "piece0_", accepted & (target == 0), (0, 1), (0, 1), (self.beats, NUMBER)),
            Record(
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
        self.bursts = Record(m, "burst", accepted, (length, 2), *uses)
        self.done = Signal(COUNT)
        """Bursts that have ended, counted by whoever uses this."""
        m.d.comb += assume(~accepted | ((self.bursts.put - self.done)[:COUNT] != (1 << COUNT) - 1))

    @property
    def waits(self) -> Value:
        """Whether a burst is under way."""
        return self.bursts.put != self.done


class Asked:
    """The addresses that target t gets must be its pieces', in order."""

    def __init__(self, m: Module, t: int, addresses: Any, pieces: Record):
        self.count = Signal(COUNT, name=f"asked{t}")
        second, size, _ = pieces.of(self.count)
        place = Mux(second, 0, PIECE_BEATS - 1)
        m.d.sync += self.count.eq(self.count + moves(addresses))
        held(m, addresses, f"asked{t}", must)
        with m.If(addresses.valid):
            m.d.comb += [
                must(self.count != pieces.put),
                must(addresses.payload.addr == t * CHANNEL_GRANULE + place * WORD),
                must(addresses.payload.len == size),
            ]


class Beats:
    """The beats of target t's pieces, one after the other: `piece` and `beat` within it, its `number`, and `last`."""

    def __init__(self, m: Module, name: str, pieces: Record, moves: Any):
        self.piece, beat = Signal(COUNT, name=f"{name}_piece"), Signal(name=f"{name}_beat")
        _, size, first = pieces.of(self.piece)
        self.number, self.last = Signal(NUMBER, name=f"{name}_number"), Signal(name=f"{name}_last")
        m.d.comb += [self.number.eq(first + beat), self.last.eq(beat == size)]
        with m.If(moves):
            m.d.sync += [beat.eq(~self.last), self.piece.eq(self.piece + self.last)]
