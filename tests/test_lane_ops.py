"""The lane's operations against NumPy's float32, and against Python integers, on all pairs of corners and at random."""

import math
import operator
from collections.abc import Callable

import numpy as np
import pytest

from gemel_golden import fp32
from gemel_golden.lane_ops import LaneOp, apply, modify
from gemel_verif.numbers import fp32_pairs, int32_values
from gemel_verif.triples import fp32_triples

NAN = 0x7FC0_0000
WORD = 0xFFFF_FFFF


def signed(x: int) -> int:
    return x - (x >> 31 << 32)


def fp32_of(values: np.ndarray) -> np.ndarray:
    """Bits of float32 values, with one NaN."""
    return np.where(np.isnan(values), np.uint32(NAN), values.view(np.uint32))


def smaller(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """IEEE 754-2019 minimum: NaN propagates (as in NumPy), and of two zeros a negative one is taken."""
    zeros = (x == 0) & (y == 0)
    return np.where(zeros, np.where(np.signbit(x), x, y), np.minimum(x, y))


def larger(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return -smaller(-x, -y)


FLOAT: dict[LaneOp, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    LaneOp.ADD: np.add,
    LaneOp.MUL: np.multiply,
    LaneOp.MIN: smaller,
    LaneOp.MAX: larger,
    LaneOp.FLOOR: lambda x, y: np.floor(x),
}
COMPARED: dict[LaneOp, Callable[[float, float], bool]] = {
    LaneOp.FLT: operator.lt,
    LaneOp.FLE: operator.le,
    LaneOp.FEQ: operator.eq,
    LaneOp.FNE: operator.ne,
    LaneOp.IS_NAN: lambda x, y: math.isnan(x),
}
INTEGER: dict[LaneOp, Callable[[int, int], int]] = {
    LaneOp.MOV: lambda a, b: a,
    LaneOp.IADD: lambda a, b: a + b & WORD,
    LaneOp.ISUB: lambda a, b: a - b & WORD,
    LaneOp.IMUL: lambda a, b: a * b & WORD,
    LaneOp.AND: operator.and_,
    LaneOp.OR: operator.or_,
    LaneOp.XOR: operator.xor,
    LaneOp.SHL: lambda a, b: a << b % 32 & WORD,
    LaneOp.SHR: lambda a, b: a >> b % 32,
    LaneOp.SRA: lambda a, b: signed(a) >> b % 32 & WORD,
    LaneOp.IMIN: lambda a, b: min(signed(a), signed(b)) & WORD,
    LaneOp.IMAX: lambda a, b: max(signed(a), signed(b)) & WORD,
    LaneOp.ILT: lambda a, b: signed(a) < signed(b),
    LaneOp.IEQ: operator.eq,
    LaneOp.IULT: operator.lt,
}


def test_each_operation_is_tested() -> None:
    others = {LaneOp.FMA, LaneOp.F2I, LaneOp.I2F}
    assert sorted([*FLOAT, *COMPARED, *INTEGER, *others]) == list(range(28))
    assert [op for op in LaneOp if op.compares] == list(range(20, 28))


@pytest.mark.parametrize("op", FLOAT, ids=lambda op: op.name)
def test_float_operations(op: LaneOp, rng: np.random.Generator) -> None:
    a, b = fp32_pairs(rng, 40_000)
    with np.errstate(all="ignore"):
        expected = fp32_of(FLOAT[op](a.view(np.float32), b.view(np.float32)))
    np.testing.assert_array_equal(apply(op, a, b, 0), expected)


@pytest.mark.parametrize("op", COMPARED, ids=lambda op: op.name)
def test_float_comparisons(op: LaneOp, rng: np.random.Generator) -> None:
    a, b = fp32_pairs(rng, 20_000)
    b = np.where(rng.random(b.size) < 0.2, a, b)
    with np.errstate(invalid="ignore"):
        pairs = zip(a.view(np.float32).astype(float).tolist(), b.view(np.float32).astype(float).tolist(), strict=True)
        expected = [int(COMPARED[op](x, y)) for x, y in pairs]
    np.testing.assert_array_equal(apply(op, a, b, 0), np.array(expected, np.uint32))


@pytest.mark.parametrize("op", INTEGER, ids=lambda op: op.name)
def test_integer_operations(op: LaneOp, rng: np.random.Generator) -> None:
    a, b = int32_values(rng, 20_000), rng.permutation(int32_values(rng, 20_000))
    a, b = (np.concatenate(pair) for pair in ((a, a[:5000], a[:40]), (b, a[:5000], np.arange(40, dtype=np.uint32))))
    expected = [int(INTEGER[op](x, y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    np.testing.assert_array_equal(apply(op, a, b, 0), np.array(expected, np.uint32))


def test_fma(rng: np.random.Generator) -> None:
    a, b, c = fp32_triples(rng, 10_000)
    np.testing.assert_array_equal(apply(LaneOp.FMA, a, b, c), fp32.fma(a, b, c))


def test_conversions(rng: np.random.Generator) -> None:
    i = int32_values(rng, 20_000)
    np.testing.assert_array_equal(apply(LaneOp.I2F, i, 0, 0), i.view(np.int32).astype(np.float32).view(np.uint32))
    f = fp32_pairs(rng, 40_000)[0]
    f[::2] = (f[::2] & 0x807F_FFFF) | rng.integers(124, 160, f[::2].size).astype(np.uint32) << 23
    with np.errstate(invalid="ignore"):
        values = f.view(np.float32).astype(float).tolist()
    ends = -(1 << 31), (1 << 31) - 1
    expected = [0 if math.isnan(x) else round(min(max(x, ends[0]), ends[1])) for x in values]
    np.testing.assert_array_equal(apply(LaneOp.F2I, f, 0, 0).view(np.int32), expected)


def test_modifiers() -> None:
    x = np.array([0x3F80_0000, 0xBF80_0000, 0, 0x8000_0000, 0xFFC0_0001], np.uint32)
    low = x & np.uint32(0x7FFF_FFFF)
    high = np.uint32(1 << 31)
    got = [modify(x, absolute, negate) for absolute in (False, True) for negate in (False, True)]
    np.testing.assert_array_equal(got, [x, x ^ high, low, low | high])


def test_operands_broadcast() -> None:
    got = apply(LaneOp.IADD, np.array([[1], [2]], np.int32), np.array([-1, 10], np.int32), 0)
    np.testing.assert_array_equal(got, np.array([[0, 11], [1, 12]], np.uint32))
    assert int(apply(LaneOp.IMUL, 0x8000_0001, 3, 0)) == 0x8000_0003


def test_unassigned_code() -> None:
    with pytest.raises(ValueError, match="lane operation 28 is not assigned; codes run from 0 to 27"):
        apply(28, 0, 0, 0)
