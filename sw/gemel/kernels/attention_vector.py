"""The vector programs of attention: softmax of a strip of scores block by block, rescaling and the final division."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from gemel.vector import Addr, Builder, Vec, VectorProgram
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format

__all__ = ["LINES", "STRIP", "normalise", "rescale", "softmax_block"]

STRIP = 32
"""Rows of queries that are worked on together: those of a macro tile."""
LINES = 8
"""Rows whose vectors are interleaved: enough to hide the latencies, few enough for the registers."""
ROW_PITCH = 4 * STRIP // CHUNK
"""Chunks of a row of statistics: an FP32 number for each row of a strip."""


def _numbers(b: Builder, number: int, region: str, **options: Any) -> Addr:
    """The statistics whose address is an argument: one row of 32 FP32 numbers."""
    return b.address(b.arg(number), ROW_PITCH, tile=False, region=region, **options)


@lru_cache(maxsize=64)
def softmax_block(fmt: Format, *, tails: int, bias: float) -> VectorProgram:
    """P = 2^(c S - m + bias) of a strip of scores S (FP32), row by row; m the greatest c S of a row so far.

    Arguments: x1 S and x2 P (tile layout, pitch 16), x3 m of the blocks before, x4 groups of `LINES` rows, x5 vectors
    that are whole in every row, x6 c, x7 limits of the `tails` vectors after them (FP32, as S): no score counts as more
    than its limit, which is +Inf for a key of the row's and -Inf for any other; x8 where m goes, x9 where the sums of
    the weights go. `fmt`: P's format.
    """
    b = Builder()
    pitch = STRIP // 2
    greatest, scores = (b.address(b.arg(1), pitch, region="scores", steps=(0, 1)) for _ in "ab")
    target = b.address(b.arg(2), pitch, region="weights", steps=(0, 1))
    limits = b.address(b.arg(7), pitch, region="limits") if tails else None
    old, new, totals = (_numbers(b, n, region) for n, region in ((3, "before"), (8, "maxima"), (9, "totals")))
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
        for address in (greatest, scores, target, *([limits] if limits else [])):
            b.move(address, row=row)
        for address in (old, new, totals):
            b.move(address, col=row)
        tops = [b.variable(float("-inf")) for _ in range(LINES)]
        with b.loop(whole):
            for line, top in enumerate(tops):
                b.max(top, b.load(greatest, "fp32", row=line, post=line == LINES - 1), into=top)
        for line, _, score in tail_scores(greatest):
            b.max(tops[line], score, into=tops[line])
        shifts = []
        for line, top in enumerate(tops):
            before = b.load(old, "fp32", col=line, element=True)
            scaled = b.max(b.mul(b.reduce("max", top), factor), before)
            b.store(new, "fp32", scaled, col=line, element=True)
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
        for line in range(LINES):
            b.store(totals, "fp32", b.reduce("add", sums[line]), col=line, element=True)
        b.sadd(row, LINES, into=row)
    return b.build()


@lru_cache(maxsize=64)
def rescale(columns: int) -> VectorProgram:
    """Join a block to those before it: with a = 2^(m before - m), sum = sum * a + the block's, and O *= a, row by row.

    Arguments: x1 O (FP32, `columns` vectors), x2 sum, x3 m before, x4 rows, x5 m, x6 the block's sum, x7 room for a.
    """
    b = Builder()
    source = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0), apart=True)
    target = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0), apart=True)
    total = _numbers(b, 2, "total")
    factors = _numbers(b, 7, "factors", steps=(0, 1))
    a = b.exp2(b.sub(b.load(_numbers(b, 3, "before"), "fp32"), b.load(_numbers(b, 5, "maxima"), "fp32")))
    b.store(factors, "fp32", a)
    b.store(total, "fp32", b.fma(b.load(total, "fp32"), a, b.load(_numbers(b, 6, "block"), "fp32")))
    b.fence()
    with b.loop(b.arg(4)):
        factor = b.load(factors, "fp32", element=True, post=True)
        for column in range(columns):
            last = column == columns - 1
            value = b.mul(b.load(source, "fp32", col=column, post=last), factor)
            b.store(target, "fp32", value, col=column, post=last)
    return b.build()


@lru_cache(maxsize=64)
def normalise(columns: int, fmt: Format) -> VectorProgram:
    """O / sum, row by row, and each row's base-2 logarithm of the sum of its exponentials.

    Arguments: x1 O (FP32, `columns` vectors), x2 result (tile layout, pitch 16), x3 sum, x4 rows, x5 logarithms, x6
    what the logarithms of the sums are too large by, x7 room for 1 / sum, x8 m.
    """
    b = Builder()
    source = b.address(b.arg(1), STRIP // 2, region="sums", steps=(1, 0))
    target = b.address(b.arg(2), STRIP // 2, region="result", steps=(1, 0))
    inverses = _numbers(b, 7, "inverses", steps=(0, 1))
    total = b.load(_numbers(b, 3, "total"), "fp32")
    b.store(inverses, "fp32", b.reciprocal(total))
    logarithm = b.add(b.sub(b.log2(total), b.arg(6)), b.load(_numbers(b, 8, "maxima"), "fp32"))
    b.store(_numbers(b, 5, "logarithms"), "fp32", logarithm)
    b.fence()
    with b.loop(b.arg(4)):
        inverse = b.load(inverses, "fp32", element=True, post=True)
        for column in range(columns):
            last = column == columns - 1
            value = b.mul(b.load(source, "fp32", col=column, post=last), inverse)
            b.store(target, fmt, value, col=column, post=last)
    return b.build()
