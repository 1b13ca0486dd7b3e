"""The vector programs of attention: softmax of a strip of scores block by block, rescaling and the final division."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gemel.vector import Addr, Builder, Vec, VectorProgram
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format

__all__ = ["ALPHA", "LINES", "MAXIMUM", "STRIP", "SUM", "normalise", "rescale", "softmax_block"]

STRIP = 32
"""Rows of queries that are worked on together: those of a macro tile."""
LINES = 8
"""Rows whose vectors are interleaved: enough to hide the latencies, few enough for the registers."""
MAXIMUM, SUM, ALPHA = 0, 1, 2
"""Elements of a row of the statistics: scaled maximum, sum, and the factor for what was summed before."""
STATISTICS_PITCH = 1
"""Chunks between the rows of the statistics."""


def _statistics(b: Builder, number: int, **options: Any) -> Addr:
    return b.address(b.arg(number), STATISTICS_PITCH, tile=False, region="statistics", **options)


@lru_cache(maxsize=64)
def softmax_block(fmt: Format, *, tails: int, bias: float) -> VectorProgram:
    """P = 2^(c S - m + bias) of a strip of scores S (FP32), row by row; m the greatest c S of a row so far.

    Arguments: x1 S and x2 P (tile layout, pitch 16), x3 statistics, x4 groups of `LINES` rows, x5 vectors that are
    whole in every row, x6 c, x7 limits of the `tails` vectors after them (FP32, as S): no score counts as more than
    its limit, which is +Inf for a key of the row's and -Inf for any other. `fmt`: P's format. The statistics' factor
    becomes 2^(m before - m), and their sum that of all weights so far, relative to m.
    """
    b = Builder()
    pitch = STRIP // 2
    greatest, scores = (b.address(b.arg(1), pitch, region="scores", steps=(0, 1)) for _ in "ab")
    target = b.address(b.arg(2), pitch, region="weights", steps=(0, 1))
    limits = b.address(b.arg(7), pitch, region="limits") if tails else None
    old, new = _statistics(b, 3), _statistics(b, 3)
    factor, whole = b.arg(6), b.arg(5)
    row = b.sadd(0, 0)

    def tail_scores(address: Addr) -> Iterator[tuple[int, int, Vec]]:
        """Rows and numbers of the vectors after the whole ones, and their scores under their limits."""
        if limits is not None:
            for tail in range(tails):
                for line in range(LINES):
                    score = b.load(address, "fp32", row=line, col=tail)
                    yield line, tail, b.min(score, b.load(limits, "fp32", row=line, col=tail))

    with b.loop(b.arg(4), pipeline=False):
        for address in (greatest, scores, target, old, new, *([limits] if limits else [])):
            b.move(address, row=row)
        tops = [b.variable(float("-inf")) for _ in range(LINES)]
        with b.loop(whole):
            for line, top in enumerate(tops):
                b.max(top, b.load(greatest, "fp32", row=line, post=line == LINES - 1), into=top)
        for line, _, score in tail_scores(greatest):
            b.max(tops[line], score, into=tops[line])
        shifts = []
        for line, top in enumerate(tops):
            before = b.load(old, "fp32", row=line, col=MAXIMUM, element=True)
            scaled = b.max(b.mul(b.reduce("max", top), factor), before)
            b.store(new, "fp32", scaled, row=line, col=MAXIMUM, element=True)
            b.store(new, "fp32", b.exp2(b.sub(before, scaled)), row=line, col=ALPHA, element=True)
            shifts.append(b.sub(scaled, bias) if bias else scaled)
        sums = [b.variable(0.0) for _ in range(LINES)]
        with b.loop(whole):
            for line in range(LINES):
                weight = b.exp2(b.fma(b.load(scores, "fp32", row=line, post=line == LINES - 1), factor, -shifts[line]))
                b.add(sums[line], weight, into=sums[line])
                b.store(target, fmt, weight, row=line, post=line == LINES - 1)
        for line, tail, score in tail_scores(scores):
            weight = b.exp2(b.fma(score, factor, -shifts[line]))
            b.add(sums[line], weight, into=sums[line])
            b.store(target, fmt, weight, row=line, col=tail)
        b.fence()
        for line in range(LINES):
            before, alpha = (b.load(old, "fp32", row=line, col=what, element=True) for what in (SUM, ALPHA))
            total = b.fma(before, alpha, b.reduce("add", sums[line]))
            b.store(new, "fp32", total, row=line, col=SUM, element=True)
        b.fence()
        b.sadd(row, LINES, into=row)
    return b.build()


@lru_cache(maxsize=64)
def rescale(columns: int) -> VectorProgram:
    """O *= the statistics' factor, row by row. Arguments: x1 O (FP32, `columns` vectors), x3 statistics, x4 rows."""
    b = Builder()
    source = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0), apart=True)
    target = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0), apart=True)
    factors = _statistics(b, 3, steps=(1, 0))
    with b.loop(b.arg(4)):
        alpha = b.load(factors, "fp32", col=ALPHA, element=True, post=True)
        for column in range(columns):
            last = column == columns - 1
            b.store(target, "fp32", b.mul(b.load(source, "fp32", col=column, post=last), alpha), col=column, post=last)
    return b.build()


@lru_cache(maxsize=64)
def normalise(columns: int, fmt: Format) -> VectorProgram:
    """O / sum, row by row, and each row's base-2 logarithm of the sum of its exponentials.

    Arguments: x1 O (FP32, `columns` vectors), x2 result (tile layout, pitch 16), x3 statistics, x4 rows, x5 logarithms
    (a row of FP32), x6 what the logarithms of the sums are too large by.
    """
    b = Builder()
    source = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0))
    target = b.address(b.arg(2), STRIP // 2, region="result", steps=(1, 0))
    logarithms = b.address(b.arg(5), CHUNK, tile=False, region="logarithms", steps=(0, 1))
    statistics = _statistics(b, 3, steps=(1, 0))
    with b.loop(b.arg(4)):
        total = b.load(statistics, "fp32", col=SUM, element=True)
        greatest = b.load(statistics, "fp32", col=MAXIMUM, element=True, post=True)
        inverse = b.reciprocal(total)
        for column in range(columns):
            last = column == columns - 1
            value = b.mul(b.load(source, "fp32", col=column, post=last), inverse)
            b.store(target, fmt, value, col=column, post=last)
        logarithm = b.add(b.sub(b.log2(total), b.arg(6)), greatest)
        b.store(logarithms, "fp32", logarithm, element=True, post=True)
    return b.build()
