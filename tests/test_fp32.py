"""Canonical FP32 arithmetic against rationals, on corners in all pairs and on random bits."""

from fractions import Fraction

import numpy as np
import pytest

from gemel_golden import fp32, judge
from gemel_verif.triples import fp32_triples

CORNERS = np.array(
    [0, 1, 2, 0x007FFFFF, 0x00800000, 0x00800001, 0x1F800000, 0x20000000, 0x33800000, 0x34000000, 0x3F7FFFFF,
     0x3F800000, 0x3F800001, 0x3FFFFFFF, 0x4B000001, 0x4B7FFFFF, 0x5F7FFFFF, 0x73000000, 0x7F000000, 0x7F7FFFFF,
     0x7F800000, 0x7F800001, 0x7FC00000, 0x7FFFFFFF],
    np.uint32,
)  # fmt: skip
NAN = 0x7FC00000


def multiply(a: int, b: int) -> int:
    """a * b on bits by rationals."""
    sign = (a ^ b) & 1 << 31
    x, y = judge.fp32_value(a), judge.fp32_value(b)
    if "nan" in (x, y):
        return NAN
    if isinstance(x, str) or isinstance(y, str):
        return NAN if 0 in (x, y) else 0x7F800000 | sign
    return sign | (judge.round_to_fp32(abs(Fraction(x) * Fraction(y))))


def pairs(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of signed corners; random bits; random operands with exponents at most 26 apart, subnormals too."""
    signed = np.concatenate([CORNERS, CORNERS | np.uint32(1 << 31)])
    a, b = (x.ravel() for x in np.meshgrid(signed, signed))
    wild = rng.integers(0, 1 << 32, (2, 3000)).astype(np.uint32)
    field = rng.integers(0, 255, 6000)
    near = np.stack([field, np.clip(field + rng.integers(-26, 27, 6000), 0, 254)]) << 23
    close = (near | rng.integers(0, 1 << 23, (2, 6000)) | rng.integers(0, 2, (2, 6000)) << 31).astype(np.uint32)
    return np.concatenate([a, wild[0], close[0]]), np.concatenate([b, wild[1], close[1]])


@pytest.mark.parametrize(("name", "exact"), [("add", judge.add_fp32), ("mul", multiply)])
def test_operation_is_the_rounded_rational(name: str, exact, rng: np.random.Generator) -> None:
    a, b = pairs(rng)
    expected = [exact(int(x), int(y)) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(getattr(fp32, name)(a, b), np.array(expected, np.uint32))


def test_fma_is_the_once_rounded_rational(rng: np.random.Generator) -> None:
    a, b = pairs(rng)
    c = np.roll(np.concatenate([b[: b.size // 2], fp32.mul(a, b)[b.size // 2 :]]), 1)
    # Half of the addends all but cancel their product, or lie a tie's width from it.
    near = fp32.mul(a, b) ^ np.uint32(1 << 31)
    c = np.where(rng.random(c.size) < 0.3, near + rng.integers(0, 3, c.size).astype(np.uint32), c)
    expected = [fused(x, y, z) for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    np.testing.assert_array_equal(fp32.fma(a, b, c), np.array(expected, np.uint32))


def test_fma_where_two_roundings_would_differ(rng: np.random.Generator) -> None:
    a, b, c = fp32_triples(rng, 30_000)
    expected = [fused(x, y, z) for x, y, z in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
    np.testing.assert_array_equal(fp32.fma(a, b, c), np.array(expected, np.uint32))


def test_fma_of_a_tie_and_a_crumb(rng: np.random.Generator) -> None:
    """Odd products of 25 bits are ties in FP32; an addend far below decides them, which a float64 sum would lose."""
    a = rng.integers(1 << 11, 1 << 12, 500) | 1
    b = (rng.integers(1 << 24, 1 << 25, 500) // a) | 1
    crumb = np.where(rng.random(500) < 0.5, 2.0**-60, -(2.0**-60))
    bits = [x.astype(np.float32).view(np.uint32) for x in (a, b, crumb)]
    expected = [fused(*(int(v) for v in x)) for x in zip(*bits, strict=True)]
    np.testing.assert_array_equal(fp32.fma(*bits), np.array(expected, np.uint32))


def fused(a: int, b: int, c: int) -> int:
    """a * b + c on bits by rationals."""
    x, y, z = (judge.fp32_value(v) for v in (a, b, c))
    if isinstance(x, str) or isinstance(y, str):
        return judge.add_fp32(multiply(a, b), c)
    if isinstance(z, str) or x * y == 0:
        return judge.add_fp32((a ^ b) & 1 << 31, c)
    return judge.round_to_fp32(x * y + z)


def test_judge_rounds_as_numpy_does(rng: np.random.Generator) -> None:
    x = np.ldexp(rng.normal(0, 1, 5000), rng.integers(-160, 130, 5000))
    with np.errstate(all="ignore"):
        expected = x.astype(np.float32).view(np.uint32)
    got = [judge.round_to_fp32(Fraction(float(v))) | (int(v < 0) << 31) for v in x]
    np.testing.assert_array_equal(np.array(got, np.uint32), expected)


def test_int32_to_fp32_is_the_rounded_integer(rng: np.random.Generator) -> None:
    edges = [0, 1, -1, (1 << 24) + 1, (1 << 24) + 3, -(1 << 24) - 1, (1 << 31) - 1, (1 << 31) - 65, -(1 << 31)]
    x = np.concatenate([edges, rng.integers(-(1 << 31), 1 << 31, 2000)]).astype(np.int32)
    expected = [judge.round_to_fp32(Fraction(int(v))) for v in x]
    np.testing.assert_array_equal(fp32.int32_to_fp32(x), np.array(expected, np.uint32))
    np.testing.assert_array_equal(fp32.int32_to_fp32(x.view(np.uint32)), fp32.int32_to_fp32(x))


def test_relu() -> None:
    x = np.array([0x3F800000, 0xBF800000, 0x80000000, 0, 0xFF800000, 0x7F800000, 0xFFC00001, 0x7F800001, 1], np.uint32)
    expected = [0x3F800000, 0, 0, 0, 0, 0x7F800000, NAN, NAN, 1]
    np.testing.assert_array_equal(fp32.relu(x), np.array(expected, np.uint32))


def test_overflowed_wants_finite_operands() -> None:
    big, inf, one = 0x7F7FFFFF, 0x7F800000, 0x3F800000
    a, b = np.array([big, inf, one], np.uint32), np.array([big, one, one], np.uint32)
    np.testing.assert_array_equal(fp32.overflowed(fp32.add(a, b), a, b), [True, False, False])
