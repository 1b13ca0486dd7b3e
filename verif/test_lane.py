"""The vector core's lane against golden: each operation in bulk, and operations mixed with gaps between them."""

import numpy as np
from numpy.typing import NDArray

from gemel_golden.lane_ops import LaneOp, apply
from gemel_rtl.numeric.lane import LaneAlu
from gemel_verif.numbers import fp32_pairs, int32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through
from gemel_verif.triples import fp32_triples

LANES = 16


def _operands(rng: np.random.Generator, op: LaneOp, count: int) -> tuple[NDArray[np.uint32], ...]:
    """FP32 triples, FP32 pairs with some equal ones and integers, mixed; for the roundings to integers, numbers that
    have both an integer part and a fraction, ties among them."""
    part = count // 3
    a, b, c = fp32_triples(rng, count)
    pairs = fp32_pairs(rng, max(count, 6400))
    order = rng.permutation(pairs[0].size)[:part]
    a[:part], b[:part] = (operand[order] for operand in pairs)
    a[part : 2 * part], b[part : 2 * part] = int32_values(rng, part), rng.permutation(int32_values(rng, part))
    if op in (LaneOp.F2I, LaneOp.FLOOR):
        cut = rng.integers(0, 24, part).astype(np.uint32)
        field = rng.integers(123, 162, part).astype(np.uint32) << np.uint32(23)
        a[:part] = ((a[:part] & np.uint32(0x807F_FFFF) | field) >> cut) << cut
    same = rng.random(count) < 0.1
    b[same] = a[same] ^ (rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(31))[same]
    order = rng.permutation(count)
    return a[order], b[order], c[order]


def _check(rng: np.random.Generator, count: int, *, mixed: bool) -> None:
    """`count` of each operation; `mixed`: in random order, with gaps between them."""
    parts = []
    for op in LaneOp:
        operands = _operands(rng, op, count)
        parts.append((np.full(count, op, np.uint32), *operands, apply(op, *operands)))
    ops, a, b, c, expected = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = rng.permutation(ops.size) if mixed else np.arange(ops.size)
    ops, a, b, c, expected = (column[order] for column in (ops, a, b, c, expected))
    idle = rng.integers(0, 3, ops.size // LANES).tolist() if mixed else None
    inputs = {"op": ops, "a": a, "b": b, "c": c}
    got = through(Lanes(LaneAlu, LANES), "lane_alus", LaneAlu.latency, ("o", "o_flag"), inputs, idle=idle)
    report(got["o"], expected, **inputs)
    compared = ops >= min(op for op in LaneOp if op.compares)
    report(got["o_flag"][compared], expected[compared], **{name: x[compared] for name, x in inputs.items()})


def test_each_operation(rng: np.random.Generator) -> None:
    _check(rng, LANES * 600, mixed=False)


def test_operations_side_by_side(rng: np.random.Generator) -> None:
    """Whatever comes before and after, a result comes `latency` cycles after its operands."""
    _check(rng, LANES * 100, mixed=True)
