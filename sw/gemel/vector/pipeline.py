"""Software pipelines: a loop's iterations overlapped: code that fills the pipeline, a kernel, code that drains it.

A register that lives longer than the interval gets several names, which iterations take in turns (modulo variable
expansion); the kernel holds as many iterations as there are names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from gemel.vector.dependences import Edge, dependences
from gemel.vector.eviction import place_evicting
from gemel.vector.ir import Bank, Op, Reg
from gemel.vector.lifetimes import lives, pressure, shorten
from gemel.vector.modulo import least_interval, place
from gemel.vector.schedule import Bundle, bundles_of
from gemel.vector.squeeze import Life, squeeze

__all__ = ["REACHES", "Pipeline", "find_pipeline"]

_KERNEL = 210
"""Bundles that a kernel should stay below."""
_NAMES = 8
"""Names of a register at most."""
REACHES = (0, 4, 16, 64, 1 << 16)
"""Cycles by which a pipeline's beginning and end may be squeezed."""
_WAYS = ((True, True), (True, False), (False, True), ())
"""Ways to place operations: see `place`; the last one lets them give way to each other."""
_HOPE = 8
"""Registers too many that moves may save."""
_ANNEALING = 20000
"""Moves that are tried to bring a schedule's registers down."""


@dataclass
class Pipeline:
    """A schedule of a loop's body."""

    ops: Sequence[Op]
    times: Sequence[int]
    interval: int
    renamed: Collection[Reg]
    limit: int
    """Vector registers for the renamed ones."""
    reach: int = 0
    """Cycles by which operations outside the kernel may go forward to save bundles."""
    _names: dict[tuple[Reg, int], Reg] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lives = lives(self.ops, self.times, list(self.renamed))

    @property
    def filling(self) -> int:
        """Iterations that begin before the first one ends, without that one."""
        return max(self.times) // self.interval

    @property
    def unroll(self) -> int:
        """Iterations in the kernel, at least."""
        return max([self._need(reg) for reg in self.renamed], default=1)

    def _need(self, reg: Reg) -> int:
        start, end = self._lives[reg]
        return max(1, -(-(end - start) // self.interval))

    def bundles(self, first: int, last: int, count: int | None, unroll: int, *, squeezed: bool = True) -> list[Bundle]:
        """The bundles of cycles `first` to `last` - 1 of `count` iterations, of which iteration 0 begins in cycle 0."""
        placed, made, lives = [], [], _Lives(self)
        for op, time in zip(self.ops, self.times, strict=True):
            low = max(0, -(-(first - time) // self.interval))
            high = (last - 1 - time) // self.interval
            for iteration in range(low, high + 1 if count is None else min(high + 1, count)):
                placed.append((time + iteration * self.interval, self._renamed(op, iteration, unroll)))
                made.append(lives.made(op, time, iteration))
        if squeezed and self.reach:
            placed = squeeze(placed, self.reach, made, lives.between(first, last, count), self.limit)
        return bundles_of(placed)

    def _renamed(self, op: Op, iteration: int, unroll: int) -> Op:
        names = {}
        for reg in [reg for reg in op.touched if reg in self.renamed]:
            copies = next(n for n in range(self._need(reg), unroll + 1) if unroll % n == 0)
            if copies > 1:
                key = (reg, iteration % copies)
                names[reg] = self._names.setdefault(key, Reg(reg.bank, f"{reg.name}.{iteration % copies}"))
        return op.renamed(names)

    def end(self, count: int) -> int:
        """The cycle behind the last bundle of `count` iterations."""
        return (count - 1) * self.interval + max(self.times) + 1


class _Lives:
    """The lives of a pipeline's vectors, iteration by iteration."""

    def __init__(self, pipeline: Pipeline):
        self._interval = pipeline.interval
        found = lives(pipeline.ops, pipeline.times, [reg for reg in pipeline.renamed if reg.bank == Bank.VECTOR])
        self._spans = found
        self._known: dict[tuple[Reg, int], Life] = {}

    def _life(self, reg: Reg, iteration: int) -> Life:
        start, end = (time + iteration * self._interval for time in self._spans[reg])
        return self._known.setdefault((reg, iteration), Life(start, end))

    def made(self, op: Op, time: int, iteration: int) -> list[Life]:
        """The vectors that begin with an operation of the first iteration's cycle `time`."""
        begun = [reg for reg in op.writes if reg in self._spans and self._spans[reg][0] == time]
        return [self._life(reg, iteration) for reg in begun]

    def between(self, first: int, last: int, count: int | None) -> list[Life]:
        """Those that live in cycles `first` to `last` - 1 of `count` iterations."""
        found = []
        for reg, (start, end) in self._spans.items():
            low = max(0, (first - end) // self._interval)
            high = (last - 1 - start) // self._interval
            found += [self._life(reg, i) for i in range(low, high + 1 if count is None else min(high + 1, count))]
        return found


def find_pipeline(
    ops: Sequence[Op],
    renamed: Collection[Reg],
    limits: dict[Bank, int],
    longest: int,
    accept: Callable[[Pipeline], bool],
) -> Pipeline | None:
    """A pipeline with an interval below `longest`, whose own registers stay within `limits`: the first accepted one."""
    basic = dependences(ops, cyclic=True, renamed=renamed)
    least = least_interval(ops, basic)
    interval = least
    while interval < longest and interval <= 1.3 * least + 8:
        copies = max(1, min(_NAMES, _KERNEL // interval))
        for names in range(copies, max(0, copies - 2), -1):
            edges = [*basic, *_within(ops, renamed, names)]
            for way in _WAYS:
                times = place(ops, edges, interval, *way) if way else place_evicting(ops, edges, interval)
                reach = None if times is None else _reach(ops, times, interval, renamed, limits, accept)
                if times is None or reach is None:
                    continue
                times = _fit(ops, edges, times, interval, renamed, limits)
                if times is not None and accept(
                    found := Pipeline(ops, times, interval, renamed, limits[Bank.VECTOR], reach)
                ):
                    return found
        interval += 1 + interval // 128
    return None


def _reach(
    ops: Sequence[Op],
    times: list[int],
    interval: int,
    renamed: Collection[Reg],
    limits: dict[Bank, int],
    accept: Callable[[Pipeline], bool],
) -> int | None:
    """The least squeezing that makes a pipeline acceptable, or ``None``."""
    most = limits[Bank.VECTOR]
    return next((reach for reach in REACHES if accept(Pipeline(ops, times, interval, renamed, most, reach))), None)


def _fit(
    ops: Sequence[Op],
    edges: Sequence[Edge],
    times: list[int],
    interval: int,
    renamed: Collection[Reg],
    limits: dict[Bank, int],
) -> list[int] | None:
    """The schedule, or a better one, when its registers suffice."""
    vectors = [reg for reg in renamed if reg.bank == Bank.VECTOR]
    limit = limits[Bank.VECTOR]
    found = pressure(ops, times, interval, vectors)
    if found > limit:
        if found > limit + _HOPE:
            return None
        times = shorten(ops, edges, times, interval, vectors, limit, _ANNEALING)
        times = [time - min(times) for time in times]
    for bank, most in limits.items():
        if pressure(ops, times, interval, [reg for reg in renamed if reg.bank == bank]) > most:
            return None
    return times


def _within(ops: Sequence[Op], renamed: Collection[Reg], copies: int) -> list[Edge]:
    """Edges by which no register lives longer than `copies` intervals."""
    found = []
    for reg in renamed:
        touching = [i for i, op in enumerate(ops) if reg in op.reads or reg in op.writes]
        found += [Edge(i, touching[0], 0, 0, copies) for i in touching[1:]]
    return found
