"""Programs without hand-written semaphores: instructions name the L1 regions they read and write, and waits follow.

Units run beside each other and meet only through semaphores. `Schedule` keeps, for each region, who wrote and read it
last, and gives an instruction a wait on the other unit's latest instruction that it depends on (read after write,
write after read, write after write). Units finish in program order, so one semaphore per pair of units serves, and a
wait that earlier ones imply, of the same unit or of the instructions waited for, is left out. Every dependency points
backwards in the program: a schedule can't deadlock.

An instruction has two waits and two signals. A third signal is given by a later instruction of the same unit, or by one
that has waited for it; where there is none, a FENCE drains all units. A third wait is taken by an instruction before it
that does nothing else: VECTOR for its own unit, otherwise a NOP, which holds the sequencer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gemel_golden.isa import INSTRUCTIONS, Opcode, Unit, encode

__all__ = ["Region", "Schedule"]

_UNITS = (Unit.LOAD, Unit.TENSOR, Unit.STORE, Unit.VECTOR)
_SEMAPHORES: dict[tuple[Unit, Unit], int] = {
    pair: number for number, pair in enumerate((p, c) for p in _UNITS for c in (*_UNITS, Unit.SEQUENCER))
}
"""The semaphore by which a producing unit releases a consuming one."""
_SYNCS = 2
"""Waits, and signals, of an instruction."""


@dataclass(eq=False)
class Region:
    """A piece of L1: its byte address, its size, and who touched it last (instruction numbers by unit)."""

    address: int
    size: int
    writes: dict[Unit, int] = field(default_factory=dict)
    reads: dict[Unit, int] = field(default_factory=dict)


@dataclass
class _Entry:
    opcode: Opcode
    values: dict[str, int]
    unit: Unit
    waits: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    after: dict[Unit, int] = field(default_factory=dict)
    """By unit, the instruction that is known to be done when this one starts."""

    @property
    def can_signal(self) -> bool:
        """Whether it is a unit's and has a signal left."""
        return self.unit != Unit.SEQUENCER and len(self.signals) < _SYNCS


class Schedule:
    """A straight program under construction; `encode` gives its bytes, HALT included."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._last: dict[Unit, dict[Unit, int]] = {unit: {} for unit in (*_UNITS, Unit.SEQUENCER)}
        """By unit, what is known to be done when its next instruction starts."""

    def __len__(self) -> int:
        return len(self._entries) + 1

    def emit(
        self,
        opcode: Opcode,
        values: Mapping[str, int],
        *,
        reads: Iterable[Region] = (),
        writes: Iterable[Region] = (),
    ) -> None:
        """Append a unit's instruction that reads and writes these regions of L1."""
        unit = INSTRUCTIONS[opcode].unit
        reads, writes = list(reads), list(writes)
        needs: dict[Unit, int] = {}

        def after(producers: Mapping[Unit, int], *, also_own: bool) -> None:
            for producer, number in producers.items():
                if producer != unit or also_own:
                    needs[producer] = max(number, needs.get(producer, -1))

        for region in reads:
            after(region.writes, also_own=True)
        for region in writes:
            after(region.writes, also_own=False)
            after(region.reads, also_own=False)

        entry = _Entry(opcode, dict(values), unit)
        self._order(entry, needs)
        self._entries.append(entry)
        number = len(self._entries) - 1
        for region in reads:
            region.reads[unit] = number
        for region in writes:
            region.writes[unit] = number

    def _order(self, entry: _Entry, needs: dict[Unit, int]) -> None:
        """Let `entry` start after these instructions, by as few waits as do."""
        known = self._last[entry.unit]
        # Whoever was emitted last knows most: what its own waits imply needs none.
        for producer, needed in sorted(needs.items(), key=lambda need: -need[1]):
            if needed <= max(known.get(producer, -1), self._last[Unit.SEQUENCER].get(producer, -1)):
                continue
            giver = self._giver(producer, needed)
            if giver is None:
                self.fence()
            elif len(entry.waits) < _SYNCS:
                self._wait(entry, entry.unit, giver)
            else:
                self._carry(entry.unit, giver)
        entry.after = dict(known)

    def _giver(self, producer: Unit, needed: int) -> int | None:
        """An instruction with a signal left after which `needed` is done: the unit's own, or one that waited for it."""
        free = [n for n in range(needed, len(self._entries)) if self._entries[n].can_signal]
        own = (n for n in free if self._entries[n].unit == producer)
        others = (n for n in free if self._entries[n].after.get(producer, -1) >= needed)
        return next(own, next(others, None))

    def _wait(self, entry: _Entry, unit: Unit, giver: int) -> None:
        """`entry` of `unit` waits for instruction `giver`, and knows what that one knew."""
        source = self._entries[giver]
        semaphore = _SEMAPHORES[source.unit, unit]
        entry.waits.append(semaphore)
        source.signals.append(semaphore)
        known = self._last[unit]
        known[source.unit] = max(known.get(source.unit, -1), giver)
        for other, number in source.after.items():
            known[other] = max(known.get(other, -1), number)

    def _carry(self, unit: Unit, giver: int) -> None:
        """An instruction before the next one of `unit` that waits in its place."""
        if unit == Unit.VECTOR:
            carrier = _Entry(Opcode.VECTOR, {"run": 0}, Unit.VECTOR)
        else:
            carrier = _Entry(Opcode.NOP, {}, Unit.SEQUENCER)
        self._wait(carrier, carrier.unit, giver)
        carrier.after = dict(self._last[carrier.unit])
        self._entries.append(carrier)

    def fence(self) -> None:
        """Let all that follows come after all that was emitted."""
        for known in self._last.values():
            known.update({unit: len(self._entries) for unit in _UNITS})
        self._entries.append(_Entry(Opcode.FENCE, {}, Unit.SEQUENCER))

    def encode(self) -> bytes:
        """The program's bytes."""
        program = []
        for entry in self._entries:
            values = entry.values
            for kind, semaphores in (("wait", entry.waits), ("signal", entry.signals)):
                for i, semaphore in enumerate(semaphores):
                    values |= {f"{kind}{i}": semaphore, f"{kind}{i}_count": 1}
            program.append(encode(entry.opcode, **values))
        return b"".join([*program, encode(Opcode.HALT)])
