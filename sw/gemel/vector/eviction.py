"""Modulo scheduling where operations give way to each other: for loops whose operations leave each other little room.

The operation with the least room goes first, early or late as it keeps values' lives short. One that finds no free
cycle takes one all the same, and what stands in its way is placed again later (Huff, "Lifetime-sensitive modulo
scheduling", PLDI 1993).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gemel.vector.dependences import Edge
from gemel.vector.ir import Op, Slot
from gemel.vector.modulo import Distances, Reservations, distances

__all__ = ["place_evicting"]

_STEPS = 12
"""Placements per operation, those taken back included, before an interval is given up."""
_NEVER = -(1 << 30)


def place_evicting(ops: Sequence[Op], edges: Sequence[Edge], interval: int) -> list[int] | None:
    """A cycle for each operation, from 0 on, or ``None``."""
    apart = distances(len(ops), edges, interval)
    return None if apart is None else _Placing(ops, apart, interval).run()


class _Placing:
    def __init__(self, ops: Sequence[Op], apart: Distances, interval: int):
        self.apart, self.interval = apart, interval
        self.table = Reservations(interval, ops)
        count = len(ops)
        self.times = np.full(count, _NEVER, np.int64)
        self.placed = np.zeros(count, bool)
        self.before = np.full(count, _NEVER, np.int64)
        """The cycle that an operation had before."""
        self.low = np.maximum(apart.max(axis=0), 0)
        self.high = int(self.low.max()) + interval - apart.max(axis=1)
        self.weight = np.array([sum(cycles for _, cycles in units) for units in self.table.units])
        self.load = np.array([op.slot == Slot.LOAD for op in ops])
        self.tied = (apart > -interval) & ~np.eye(count, dtype=bool)
        """Which operations have a say in where others go."""

    def run(self) -> list[int] | None:
        for _ in range(_STEPS * len(self.times)):
            if self.placed.all():
                times = self.times - self.times.min()
                return [int(time) for time in times]
            first, last = self._bounds()
            op = self._next(first, last)
            self._place(op, int(first[op]), int(last[op]))
        return None

    def _bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The first and the last cycle for each operation, beside those that are placed."""
        there = self.placed
        if not there.any():
            return self.low, self.high
        times = self.times[there]
        first = np.maximum(self.low, (times[:, None] + self.apart[there]).max(axis=0))
        last = np.minimum(self.high, (times[None, :] - self.apart[:, there]).min(axis=1))
        return first, last

    def _next(self, first: np.ndarray, last: np.ndarray) -> int:
        """The operation with the least room."""
        room = (last - first) * 64 - self.weight
        room[self.placed] = 1 << 40
        return int(room.argmin())

    def _place(self, op: int, first: int, last: int) -> None:
        window = range(first, min(last, first + self.interval - 1) + 1)
        found = None
        order = reversed(window) if self._late(op) else window
        found = next((time for time in order if not self.table.conflicts(op, time)), None)
        if found is None:
            found = first if self.before[op] < first else int(self.before[op]) + 1
        for other in self.table.conflicts(op, found):
            self._take_back(other)
        self.table.take(op, found)
        self.times[op] = self.before[op] = found
        self.placed[op] = True
        there = np.flatnonzero(self.placed)
        times = self.times[there]
        wrong = (times < found + self.apart[op, there]) | (found < times + self.apart[there, op])
        for other in there[wrong]:
            if other != op:
                self._take_back(int(other))

    def _take_back(self, op: int) -> None:
        self.table.free(op, int(self.times[op]))
        self.placed[op] = False

    def _late(self, op: int) -> bool:
        """Whether its users are placed rather than its sources, so that it should stay close to them."""
        after = (self.placed & self.tied[op]).any()
        return bool(after and (self.load[op] or not (self.placed & self.tied[:, op]).any()))
