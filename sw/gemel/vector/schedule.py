"""List scheduling of straight lines: the operation on the longest way to the end goes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gemel.vector.dependences import Edge, dependences
from gemel.vector.ir import Op, Slot
from gemel.vector.timing import latency, occupies

__all__ = ["Bundle", "bundles_of", "list_schedule", "schedule_length"]

Bundle = dict[Slot, Op]


def list_schedule(ops: Sequence[Op], window: int) -> list[Bundle]:
    """Bundles of a block. An operation overtakes at most `window` - 1 earlier ones, which bounds live registers."""
    times = _times(ops, dependences(ops), window)
    return bundles_of(zip(times, ops, strict=True))


def schedule_length(ops: Sequence[Op]) -> int:
    """Cycles of a block's list schedule, up to its last result."""
    times = _times(ops, dependences(ops), 1 << 30)
    return max((time + latency(op) for time, op in zip(times, ops, strict=True)), default=0)


def bundles_of(placed) -> list[Bundle]:
    """Bundles of (cycle, operation) pairs, without those that would be empty: the hardware waits by itself."""
    rows: dict[int, Bundle] = defaultdict(dict)
    for time, op in placed:
        assert op.slot not in rows[time], f"two operations in the {op.slot.value} slot of cycle {time}"
        rows[time][op.slot] = op
    return [rows[time] for time in sorted(rows)]


def heights(count: int, edges: Sequence[Edge], ops: Sequence[Op]) -> list[int]:
    """Cycles from each operation's issue to the end of the block."""
    after: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        after[edge.source].append(edge)
    height = [0] * count
    for i in reversed(range(count)):
        height[i] = max([latency(ops[i])] + [edge.delay + height[edge.sink] for edge in after[i]])
    return height


def _times(ops: Sequence[Op], edges: Sequence[Edge], window: int) -> list[int]:
    count = len(ops)
    height = heights(count, edges, ops)
    before: dict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        before[edge.sink].append(edge)
    times = [-1] * count
    left = list(range(count))
    free: dict[str, int] = defaultdict(int)
    now = 0
    while left:
        horizon = left[0] + window
        ready = [
            i
            for i in left
            if i < horizon and all(times[e.source] >= 0 and times[e.source] + e.delay <= now for e in before[i])
        ]
        taken = False
        for i in sorted(ready, key=lambda i: (-height[i], i)):
            units = occupies(ops[i])
            if all(free[unit] <= now for unit, _ in units):
                for unit, cycles in units:
                    free[unit] = now + cycles
                times[i] = now
                taken = True
        if taken:
            left = [i for i in left if times[i] < 0]
            if any(e.delay == 0 and times[e.source] == now and times[i] < 0 for i in left for e in before[i]):
                continue
        now += 1
    return times
