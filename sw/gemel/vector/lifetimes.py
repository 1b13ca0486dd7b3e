"""The lives of a pipelined loop's registers, and moves of operations that shorten them."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from gemel.vector.dependences import Edge
from gemel.vector.ir import Bank, Op, Reg
from gemel.vector.modulo import Reservations

__all__ = ["lives", "pressure", "shorten"]

_COOLING = (3.0, 0.05)
_EXCESS = 4.0
"""What a register too many in a row costs, beside a cycle of a register's life."""


def lives(ops: Sequence[Op], times: Sequence[int], regs: Sequence[Reg]) -> dict[Reg, tuple[int, int]]:
    """Of each register, the cycle of the bundle that first writes it and of the last one that needs it."""
    found: dict[Reg, tuple[int, int]] = {}
    wanted = set(regs)
    for op, time in zip(ops, times, strict=True):
        for reg in op.touched:
            if reg in wanted:
                start, end = found.get(reg, (time, time))
                found[reg] = min(start, time), max(end, time)
    return found


def pressure(ops: Sequence[Op], times: Sequence[int], interval: int, regs: Sequence[Reg]) -> int:
    """The most of `regs` that are live at the same time."""
    live = np.zeros(interval, np.int64)
    for start, end in lives(ops, times, regs).values():
        _count(live, start, end, interval, 1)
    return int(live.max())


def _count(live: np.ndarray, start: int, end: int, interval: int, by: int) -> None:
    """Add to the rows in which a register is live behind the bundle."""
    whole, rest = divmod(max(end - start, 1), interval)
    live += whole * by
    first = start % interval
    if first + rest <= interval:
        live[first : first + rest] += by
    else:
        live[first:] += by
        live[: first + rest - interval] += by


def shorten(
    ops: Sequence[Op],
    edges: Sequence[Edge],
    times: Sequence[int],
    interval: int,
    regs: Sequence[Reg],
    limit: int,
    steps: int,
) -> list[int]:
    """Better cycles by simulated annealing: an operation moves, or changes places with one of its kind.

    The aim is at most `limit` of the vectors in `regs` in each row, and short lives; it ends when no row has more.
    """
    return _Annealing(ops, edges, times, interval, [reg for reg in regs if reg.bank == Bank.VECTOR], limit).run(steps)


class _Annealing:
    def __init__(self, ops, edges, times, interval: int, regs: Sequence[Reg], limit: int):
        self.ops, self.interval, self.limit = ops, interval, limit
        self.times = list(times)
        self.random = random.Random(0)
        self.table = Reservations(interval, ops)
        for i, time in enumerate(self.times):
            self.table.take(i, time)
        self.after: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.before: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for edge in edges:
            if edge.source != edge.sink:
                gap = edge.delay - interval * edge.distance
                self.after[edge.source].append((edge.sink, gap))
                self.before[edge.sink].append((edge.source, gap))
        self.touching = {reg: [i for i, op in enumerate(ops) if reg in op.reads or reg in op.writes] for reg in regs}
        wanted = set(regs)
        self.regs = [[reg for reg in op.touched if reg in wanted] for op in ops]
        self.kinds: dict[tuple, list[int]] = defaultdict(list)
        for i, units in enumerate(self.table.units):
            self.kinds[tuple(units)].append(i)
        self.kind = [self.kinds[tuple(units)] for units in self.table.units]
        self.span = {reg: self._span(reg) for reg in regs}
        self.live = np.zeros(interval, np.int64)
        for start, end in self.span.values():
            _count(self.live, start, end, interval, 1)

    def run(self, steps: int) -> list[int]:
        cost = self._cost(self.live)
        movable = [i for i in range(len(self.ops)) if self.regs[i]]
        hot, cold = _COOLING
        best, best_cost = list(self.times), cost
        for step in range(steps):
            most = int(self.live.max())
            if most <= self.limit:
                return self.times
            if step == steps // 4 and most > self.limit + 1:
                break
            temperature = hot * (cold / hot) ** (step / steps)
            op = self.random.choice(movable)
            moves = self._swap(op) if self.random.random() < 0.6 else self._shift(op)
            if not moves:
                continue
            old = {i: self.times[i] for i, _ in moves}
            spans, live = self._after(moves)
            new_cost = self._cost(live)
            gain = cost - new_cost
            if gain >= 0 or self.random.random() < math.exp(gain / temperature):
                for i, time in old.items():
                    self.table.free(i, time)
                for i, time in moves:
                    self.table.take(i, time)
                self.span.update(spans)
                self.live, cost = live, new_cost
                if cost < best_cost:
                    best, best_cost = list(self.times), cost
            else:
                for i, time in old.items():
                    self.times[i] = time
        return best

    def _cost(self, live: np.ndarray) -> float:
        return _EXCESS * float(np.maximum(live - self.limit, 0).sum()) + float(live.sum())

    def _span(self, reg: Reg) -> tuple[int, int]:
        times = [self.times[i] for i in self.touching[reg]]
        return min(times), max(times)

    def _after(self, moves: list[tuple[int, int]]) -> tuple[dict[Reg, tuple[int, int]], np.ndarray]:
        """Make the moves in `times`; the lives and rows that they lead to."""
        changed = {reg for i, _ in moves for reg in self.regs[i]}
        for i, time in moves:
            self.times[i] = time
        live, spans = self.live.copy(), {}
        for reg in changed:
            new, old = self._span(reg), self.span[reg]
            if new != old:
                _count(live, *old, self.interval, -1)
                _count(live, *new, self.interval, 1)
                spans[reg] = new
        return spans, live

    def _range(self, op: int) -> tuple[int, int]:
        time = self.times[op]
        low = max((self.times[i] + gap for i, gap in self.before[op]), default=time - self.interval)
        high = min((self.times[i] - gap for i, gap in self.after[op]), default=time + self.interval)
        return low, high

    def _shift(self, op: int) -> list[tuple[int, int]]:
        """To a random free cycle between what stands before and after."""
        low, high = self._range(op)
        if high <= low:
            return []
        for _ in range(4):
            time = self.random.randint(low, high)
            if time != self.times[op] and not self.table.conflicts(op, time):
                return [(op, time)]
        return []

    def _swap(self, op: int) -> list[tuple[int, int]]:
        """Exchange rows with another operation of the kind, each staying between its neighbours."""
        other = self.random.choice(self.kind[op])
        first, second = self.times[op], self.times[other]
        shift = (second - first) % self.interval
        if not shift:
            return []
        options = []
        for by in (shift, shift - self.interval):
            low, high = self._range(op)
            if not low <= first + by <= high:
                continue
            self.times[op] = first + by
            low, high = self._range(other)
            for back in (-shift, self.interval - shift):
                if low <= second + back <= high:
                    options.append([(op, first + by), (other, second + back)])
            self.times[op] = first
        return self.random.choice(options) if options else []
