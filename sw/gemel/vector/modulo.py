"""Modulo scheduling: a cycle for each operation of a loop's body such that an iteration begins every few cycles.

Operations with the least room go first, early or late as it shortens the lives of registers, and give way to what
doesn't fit otherwise (Huff, "Lifetime-sensitive modulo scheduling", PLDI 1993).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gemel.vector.dependences import Edge
from gemel.vector.ir import Bank, Op, Slot
from gemel.vector.timing import occupies

__all__ = ["Distances", "Reservations", "distances", "least_interval", "place"]

_FAR = 1 << 29
_NEVER = -(1 << 30)
_STEPS = 16
"""Placements per operation, those taken back included, before an interval is given up."""

Distances = NDArray[np.int64]


class Reservations:
    """Who has which unit in which cycle modulo the interval."""

    def __init__(self, interval: int, ops: Sequence[Op]):
        self.interval = interval
        self.units = [occupies(op) for op in ops]
        self.need = Counter[str]()
        """Cycles of each unit."""
        for units in self.units:
            for unit, cycles in units:
                self.need[unit] += cycles
        self._rows: dict[str, list[int]] = defaultdict(lambda: [-1] * interval)

    def conflicts(self, op: int, time: int) -> set[int]:
        """Operations that stand in the way."""
        found = set()
        for unit, cycles in self.units[op]:
            row = self._rows[unit]
            found |= {row[(time + i) % self.interval] for i in range(cycles)}
        return found - {-1, op}

    def paired(self, op: int) -> bool:
        """Whether operations that keep the unit for two cycles, as this one does, must lie in step: no cycle between
        two of them is left over."""
        if self.interval % 2:
            return False
        return any(cycles == 2 and 10 * self.need[unit] >= 9 * self.interval for unit, cycles in self.units[op])

    def take(self, op: int, time: int) -> None:
        """Reserve."""
        self._set(op, time, op)

    def free(self, op: int, time: int) -> None:
        """Give back."""
        self._set(op, time, -1)

    def _set(self, op: int, time: int, value: int) -> None:
        for unit, cycles in self.units[op]:
            row = self._rows[unit]
            for i in range(cycles):
                row[(time + i) % self.interval] = value


def least_interval(ops: Sequence[Op], edges: Sequence[Edge]) -> int:
    """The interval below which units or recurrences don't suffice."""
    need = Counter[str]()
    for op in ops:
        for unit, cycles in occupies(op):
            need[unit] += cycles
    interval = max(need.values())
    while distances(len(ops), edges, interval) is None:
        interval += 1
    return interval


def distances(count: int, edges: Sequence[Edge], interval: int) -> Distances | None:
    """Least cycles from each operation to each other one; ``None`` when an operation would have to follow itself."""
    d = np.full((count, count), _NEVER, np.int64)
    np.fill_diagonal(d, 0)
    for edge in edges:
        d[edge.source, edge.sink] = max(d[edge.source, edge.sink], edge.delay - interval * edge.distance)
    for k in range(count):
        np.maximum(d, d[:, k : k + 1] + d[k : k + 1, :], out=d)
        if d[k, k] > 0:
            return None
    return None if (np.diag(d) > 0).any() else d


def place(
    ops: Sequence[Op], edges: Sequence[Edge], interval: int, backward: bool, near: bool = True
) -> list[int] | None:
    """A cycle for each operation, from 0 on, or ``None``.

    `backward` begins at the last operations and puts each one as late as it can be, which keeps what a loop ends with
    together; otherwise it begins at the first ones and puts each one as early as it can be. With `near`, against this,
    loads keep close to their first use, and stores close to what they store.
    """
    apart = distances(len(ops), edges, interval)
    if apart is None:
        return None
    sign = -1 if backward else 1
    if backward:
        apart = apart.T
    table = Reservations(interval, ops)
    times = np.full(len(ops), _NEVER, np.int64)
    low, high = np.maximum(apart.max(axis=0), 0), np.full(len(ops), -_NEVER, np.int64)
    height = apart.max(axis=1)
    later = _later(ops, backward) if near else [False] * len(ops)
    order = _Order(len(ops), edges, backward, later)
    while ready := order.ready:
        op = max(ready, key=lambda i: (later[i], -low[i], height[i], -sign * i))
        first, last = int(low[op]), int(high[op])
        window = range(first, min(last, first + interval - 1) + 1)
        if later[op] and last < _FAR:
            window = range(last, max(first, last - interval + 1) - 1, -1)
        step = table.paired(op)
        free = (time for time in window if not (step and time % 2) and not table.conflicts(op, sign * time))
        time = next(free, None)
        if time is None:
            return None
        table.take(op, sign * time)
        times[op] = time
        low = np.maximum(low, time + apart[op])
        high = np.minimum(high, time - apart[:, op])
        order.placed(op)
    found = [sign * int(time) for time in times]
    return [time - min(found) for time in found]


def _later(ops: Sequence[Op], backward: bool) -> list[bool]:
    """Operations that come after their neighbours on the other side: what steps an address, which all accesses of an
    iteration leave little room; loads forward; and backward stores of vectors that others read too."""
    steps = [op.slot == Slot.CONTROL and any(reg.bank == Bank.ADDRESS for reg in op.writes) for op in ops]
    if not backward:
        return [step or op.slot == Slot.LOAD for step, op in zip(steps, ops, strict=True)]
    readers = Counter(reg for op in ops for reg in op.reads)
    stores = [op.slot == Slot.STORE and readers[op.uses["st_reg"]] > 1 for op in ops]
    return [step or store for step, store in zip(steps, stores, strict=True)]


class _Order:
    """Which operations may be placed: those whose neighbours on the side where it began are placed.

    Operations `later` wait for their neighbours on the other side instead, and nobody waits for them.
    """

    def __init__(self, count: int, edges: Sequence[Edge], backward: bool, later: Sequence[bool]):
        self._waits = [0] * count
        self._next: dict[int, list[int]] = defaultdict(list)
        for edge in edges:
            if edge.distance == 0:
                first, second = (edge.sink, edge.source) if backward else (edge.source, edge.sink)
                if later[first]:
                    first, second = second, first
                if not later[first]:
                    self._waits[second] += 1
                    self._next[first].append(second)
        self.ready = [i for i in range(count) if not self._waits[i]]

    def placed(self, op: int) -> None:
        """It has its cycle."""
        self.ready.remove(op)
        for other in self._next[op]:
            self._waits[other] -= 1
            if not self._waits[other]:
                self.ready.append(other)
