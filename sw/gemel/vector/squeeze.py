"""Fewer bundles for a scheduled piece: operations join a bundle a few cycles before theirs where they may.

Whoever goes forward begins to need a register for its result there: no bundle may come to need more than there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from gemel.vector.ir import Op, Reg, Slot
from gemel.vector.schedule import Bundle
from gemel_golden.vector_isa import Control

__all__ = ["Life", "squeeze"]


@dataclass
class Life:
    """A vector from the cycle that makes it to the last one that needs it, which may lie outside the piece."""

    start: int
    end: int


def squeeze(
    placed: Sequence[tuple[int, Op]], reach: int, made: Sequence[Sequence[Life]], lives: Sequence[Life], limit: int
) -> list[tuple[int, Op]]:
    """The same operations with their cycles; an operation goes up to `reach` cycles forward into a bundle there is.

    made : of each operation, the vectors that begin with it; lives : all vectors; at most `limit` may live in a cycle
    """
    rows: dict[int, Bundle] = defaultdict(dict)
    order, room = _Order(), _Room(placed, lives, limit)
    indices = sorted(range(len(placed)), key=lambda i: placed[i][0])
    for time, group in groupby(indices, key=lambda i: placed[i][0]):
        members = [*group]
        together = [placed[i][1] for i in members]
        for i, op in zip(members, together, strict=True):
            earliest = time if _held(op, together) else max(order.earliest(op), time - reach)
            earliest = room.earliest(made[i], earliest, time)
            goal = next((t for t in range(earliest, time) if t in rows and _fits(op, rows[t])), time)
            rows[goal][op.slot] = op
            order.add(op, goal)
            room.begin(made[i], goal)
    return [(time, op) for time, bundle in rows.items() for op in bundle.values()]


class _Room:
    """How many vectors live behind each cycle of a piece."""

    def __init__(self, placed: Sequence[tuple[int, Op]], lives: Sequence[Life], limit: int):
        self._first = min((time for time, _ in placed), default=0)
        self._live = np.zeros(max((time for time, _ in placed), default=0) - self._first + 1, np.int64)
        self._limit = limit
        for life in lives:
            self._add(life.start, life.end)

    def _add(self, start: int, end: int) -> None:
        self._live[max(0, start - self._first) : max(0, end - self._first)] += 1

    def earliest(self, made: Sequence[Life], earliest: int, time: int) -> int:
        """The first cycle from `earliest` on in which these vectors, now made in cycle `time`, might begin."""
        if not made or earliest >= time:
            return earliest
        full = np.flatnonzero(self._live[earliest - self._first : time - self._first] + len(made) > self._limit)
        return earliest + int(full[-1]) + 1 if full.size else earliest

    def begin(self, made: Sequence[Life], time: int) -> None:
        """They begin in that cycle."""
        for life in made:
            self._add(time, life.start)


def _held(op: Op, together: Sequence[Op]) -> bool:
    """Whether an operation of the same bundle needs what was before this one."""
    others = [other for other in together if other is not op]
    read = {reg for other in others for reg in other.reads}
    return not read.isdisjoint(op.writes) or (op.slot == Slot.STORE and any(o.slot == Slot.LOAD for o in others))


def _fits(op: Op, bundle: Bundle) -> bool:
    others = {op.slot, *bundle}
    reads = Control.READ in (op.control, bundle[Slot.CONTROL].control if Slot.CONTROL in bundle else Control.NOP)
    return op.slot not in bundle and not (reads and Slot.STORE in others)


class _Order:
    """The cycles before which an operation can't go, for the operations added so far."""

    def __init__(self) -> None:
        self._written: dict[Reg, int] = defaultdict(lambda: -1)
        self._read: dict[Reg, int] = defaultdict(lambda: -1)
        self._load = self._store = self._fence = -1

    def earliest(self, op: Op) -> int:
        times = [0, *(self._written[reg] + 1 for reg in op.reads)]
        times += [max(self._written[reg] + 1, self._read[reg]) for reg in op.writes]
        if op.slot == Slot.LOAD:
            times.append(self._fence + 1)
        if op.slot == Slot.STORE:
            times += [self._load, self._store + 1]
        if op.control == Control.FENCE:
            times.append(self._store + 1)
        return max(times)

    def add(self, op: Op, time: int) -> None:
        for reg in op.reads:
            self._read[reg] = max(self._read[reg], time)
        for reg in op.writes:
            self._written[reg] = time
        if op.slot == Slot.LOAD:
            self._load = max(self._load, time)
        if op.slot == Slot.STORE:
            self._store = time
        if op.control == Control.FENCE:
            self._fence = time
