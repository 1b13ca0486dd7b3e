"""Programs without hand-written semaphores: instructions name the L1 regions they read and write, and waits follow.

Units run beside each other and meet only through semaphores. `Schedule` keeps, for each region, who wrote and read it
last, and gives an instruction a wait on the other unit's latest instruction that it depends on (read after write,
write after read, write after write). Units finish in program order, so one semaphore per pair of units serves, and a
wait that an earlier one of the same unit implies is left out. Every dependency points backwards in the program: a
schedule can't deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from gemel_golden.isa import INSTRUCTIONS, Opcode, Unit, encode

__all__ = ["Region", "Schedule"]

_SEMAPHORES: dict[tuple[Unit, Unit], int] = {
    pair: number for number, pair in enumerate((p, c) for p in Unit for c in Unit if p in (1, 2, 3) and c in (1, 2, 3))
}
"""The semaphore by which a producing unit releases a consuming one."""


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
    waits: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)


class Schedule:
    """A straight program under construction; `encode` gives its bytes, HALT included."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._waited: dict[tuple[Unit, Unit], int] = {}

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

        number = len(self._entries)
        entry = _Entry(opcode, dict(values))
        for producer, needed in needs.items():
            pair = (producer, unit)
            if needed > self._waited.get(pair, -1):
                self._waited[pair] = needed
                entry.waits.append(_SEMAPHORES[pair])
                self._entries[needed].signals.append(_SEMAPHORES[pair])
        self._entries.append(entry)
        for region in reads:
            region.reads[unit] = number
        for region in writes:
            region.writes[unit] = number

    def encode(self) -> bytes:
        """The program's bytes. Raises ``ValueError`` when an instruction would need a third wait or signal."""
        program = []
        for number, entry in enumerate(self._entries):
            values = entry.values
            for kind, semaphores in (("wait", entry.waits), ("signal", entry.signals)):
                if len(semaphores) > 2:
                    raise ValueError(
                        f"instruction {number} ({entry.opcode.name}) needs {len(semaphores)} {kind}s; the limit is 2"
                    )
                for i, semaphore in enumerate(semaphores):
                    values |= {f"{kind}{i}": semaphore, f"{kind}{i}_count": 1}
            program.append(encode(entry.opcode, **values))
        return b"".join([*program, encode(Opcode.HALT)])
