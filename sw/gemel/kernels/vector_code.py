"""The vector programs of one kernel: their bytes side by side, and which of them the instruction memory holds."""

from __future__ import annotations

from collections.abc import Mapping

from gemel.kernels.schedule import Region, Schedule
from gemel.vector import VectorProgram
from gemel_golden.config import WORD
from gemel_golden.isa import VECTOR_BUNDLES, Opcode

__all__ = ["VectorCode"]


class VectorCode:
    """Programs by name; `bundles` is what L1 must hold at `region`, once that is set, whenever `emit` is used."""

    def __init__(self, parts: Mapping[str, VectorProgram]):
        self._parts = parts
        self._places: dict[str, int] = {}
        self._held: list[tuple[int, int, str]] = []
        self.region = Region(0, 0)
        self.bundles = b""
        for name, part in parts.items():
            self._places[name] = len(self.bundles)
            self.bundles += part.bundles + bytes(-len(part.bundles) % WORD)

    def emit(
        self, schedule: Schedule, name: str, arguments: Mapping[str, int], reads: list[Region], writes: list[Region]
    ) -> None:
        """A VECTOR that runs a program, fetched where the instruction memory doesn't hold it."""
        entry, missing = self._entry(name)
        values = {"program": self.region.address + self._places[name], "entry": entry, **arguments}
        if missing:
            values |= {"fetch": len(self._parts[name]), "at": entry}
            reads = [*reads, self.region]
        schedule.emit(Opcode.VECTOR, values, reads=reads, writes=writes)

    def _entry(self, name: str) -> tuple[int, bool]:
        """Where a program is in the instruction memory, and whether it has to be brought there."""
        for start, _, held in self._held:
            if held == name:
                return start, False
        size = -(-len(self._parts[name]) // 2) * 2
        start = self._held[-1][1] if self._held else 0
        if start + size > VECTOR_BUNDLES:
            start = 0
        end = start + size
        self._held = [h for h in self._held if h[1] <= start or h[0] >= end]
        self._held.append((start, end, name))
        return start, True
