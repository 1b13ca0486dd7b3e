"""The vector programs of attention's backward pass; their lanes are queries, and rows of scores are keys."""

from __future__ import annotations

from functools import lru_cache

from gemel.kernels.attention_vector import STRIP
from gemel.vector import Addr, Builder, Vec, VectorProgram
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format

__all__ = ["LINES", "row_products", "scaled", "score_gradients"]

LINES = 8
"""Rows of scores that are interleaved: they share the queries' statistics."""


@lru_cache(maxsize=64)
def score_gradients(fmt: Format, *, masked: bool, block: int, piece: int) -> VectorProgram:
    """P = 2^(c S - l) and dS = P * (dP - D) of a strip of 32 keys, row by row.

    Arguments: x1 S and x2 dP (FP32, tile layout, pitch 16), x3 P and x4 dS (`fmt`, tile layout of `block` rows), x5 l,
    `piece` FP32 numbers, which D follows, x6 c, x7 vectors of queries. With `masked`, x8 vectors come before these,
    whose scores count as no more than their limits x9 (FP32, as S): +Inf or -Inf.
    """
    b = Builder()
    pitch, step = STRIP // 2, (0, 1)
    scores = b.address(b.arg(1), pitch, region="scores", steps=step)
    products = b.address(b.arg(2), pitch, region="products", steps=step)
    weights = b.address(b.arg(3), block // 2, region="weights", steps=step)
    gradients = b.address(b.arg(4), block // 2, region="gradients", steps=step)
    statistics = b.address(b.arg(5), 4 * piece // CHUNK, tile=False, region="statistics", steps=step)
    limits = b.address(b.arg(9), pitch, region="limits", steps=step) if masked else None
    factor = b.arg(6)
    row = b.sadd(0, 0)

    def column(bounds: Addr | None) -> None:
        logarithms = b.load(statistics, "fp32", row=0)
        sums = b.load(statistics, "fp32", row=1, post=True)
        for line in range(LINES):
            post = line == LINES - 1
            score = b.load(scores, "fp32", row=line, post=post)
            if bounds is not None:
                score = b.min(score, b.load(bounds, "fp32", row=line, post=post))
            weight = b.exp2(b.fma(score, factor, -logarithms))
            b.store(weights, fmt, weight, row=line, post=post)
            gradient = b.mul(weight, b.sub(b.load(products, "fp32", row=line, post=post), sums))
            b.store(gradients, fmt, gradient, row=line, post=post)

    with b.loop(STRIP // LINES, pipeline=False):
        for address in (scores, products, weights, gradients, *([limits] if limits else [])):
            b.move(address, row=row)
        b.move(statistics)
        if limits is not None:
            with b.loop(b.arg(8)):
                column(limits)
        with b.loop(b.arg(7)):
            column(None)
        b.sadd(row, LINES, into=row)
    return b.build()


@lru_cache(maxsize=64)
def row_products(columns: int, fmt: Format, out: Format, *, piece: int) -> VectorProgram:
    """The sum of each row of dO * O. Arguments: x1 dO (`fmt`) and x2 O (`out`), tile layouts of `piece` rows and
    `columns` vectors, x3 the sums (a row of FP32), x4 groups of `LINES` rows."""
    b = Builder()
    gradients = b.address(b.arg(1), piece // 2, region="gradients", steps=(LINES, 0))
    results = b.address(b.arg(2), piece // 2, region="results", steps=(LINES, 0))
    sums = b.address(b.arg(3), CHUNK, tile=False, region="sums", steps=(0, LINES))
    with b.loop(b.arg(4), pipeline=False):
        totals: list[Vec] = []
        for column in range(columns):
            for line in range(LINES):
                place = {"row": line, "col": column, "post": column == columns - 1 and line == LINES - 1}
                gradient, result = b.load(gradients, fmt, **place), b.load(results, out, **place)
                if column:
                    totals[line] = b.fma(gradient, result, totals[line])
                else:
                    totals.append(b.mul(gradient, result))
        for line, total in enumerate(totals):
            b.store(sums, "fp32", b.reduce("add", total), col=line, element=True, post=line == LINES - 1)
    return b.build()


@lru_cache(maxsize=64)
def scaled(columns: int, fmt: Format, *, piece: int) -> VectorProgram:
    """x2 = x1 * x4 in another format, row by row. Arguments: x1 (FP32) and x2 (`fmt`), tile layouts of `piece` rows and
    `columns` vectors, x3 rows."""
    b = Builder()
    source = b.address(b.arg(1), piece // 2, region="source", steps=(1, 0))
    target = b.address(b.arg(2), piece // 2, region="target", steps=(1, 0))
    factor = b.arg(4)
    with b.loop(b.arg(3)):
        for column in range(columns):
            place = {"col": column, "post": column == columns - 1}
            b.store(target, fmt, b.mul(b.load(source, "fp32", **place), factor), **place)
    return b.build()
