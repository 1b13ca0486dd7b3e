"""Fewer bundles for a scheduled piece: operations join a bundle a few cycles before theirs where they may."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from gemel.vector.ir import Op, Reg, Slot
from gemel.vector.schedule import Bundle
from gemel_golden.vector_isa import Control

__all__ = ["squeeze"]


def squeeze(placed: Sequence[tuple[int, Op]], reach: int) -> list[tuple[int, Op]]:
    """The same operations with their cycles; an operation goes up to `reach` cycles forward into a bundle there is."""
    rows: dict[int, Bundle] = defaultdict(dict)
    order = _Order()
    for time, group in groupby(sorted(placed, key=_time), key=_time):
        together = [op for _, op in group]
        for op in together:
            earliest = time if _held(op, together) else max(order.earliest(op), time - reach)
            goal = next((t for t in range(earliest, time) if t in rows and _fits(op, rows[t])), time)
            rows[goal][op.slot] = op
            order.add(op, goal)
    return [(time, op) for time, bundle in rows.items() for op in bundle.values()]


def _time(pair: tuple[int, Op]) -> int:
    return pair[0]


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
