"""Block-scaled products against the contract's steps 3 and 9 in rationals."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from gemel_golden import dot, fp32, judge
from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, by_name, decode
from gemel_golden.scaled import fp32_scaled_matmul, scaled_matmul
from gemel_verif.stimulus import operands

NAN = 0x7FC00000
KINDS = ("uniform_codes", "normal", "cancelling", "special")


def scaled_block(a: list[int], fmt_a: str, b: list[int], fmt_b: str, x: int, y: int) -> int:
    """R of one block under one pair of E8M0 scales: T * 2^(x + y - 254), rounded once."""
    if 255 in (x, y):
        return NAN
    r, exact = judge.dot_block(a, by_name(fmt_a), b, by_name(fmt_b))
    return r if exact is None else judge.round_to_fp32(exact * Fraction(2) ** (x + y - 254))


def floor_log2(x: Fraction) -> int:
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e - (x < Fraction(2) ** e)


def grouped_block(a: np.ndarray, b: np.ndarray, scales: list[tuple[int, int]], fmt: str) -> int:
    """R of 64 E2M1 pairs under several pairs of scales."""
    x, y = (v.astype(np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float64) for v in (a, b))
    dtype = ml_dtypes.float8_e8m0fnu if fmt == "e8m0" else ml_dtypes.float8_e4m3fn
    group = 64 // len(scales)
    terms = []
    for g, pair in enumerate(scales):
        values = np.abs(np.array(pair, np.uint8).view(dtype).astype(np.float64))
        if np.isnan(values).any():
            return NAN
        part = slice(g * group, (g + 1) * group)
        p = Fraction(float(x[part] @ y[part])) * Fraction(float(values[0])) * Fraction(float(values[1]))
        if p:
            exponents = [max(floor_log2(Fraction(float(v))), -6 if fmt == "e4m3" else -127) for v in values]
            terms.append((p, 11 + sum(exponents)))
    if not terms:
        return 0
    q = Fraction(2) ** (max(e for _, e in terms) - 34)
    return judge.round_to_fp32(q * sum((abs(p) // q) * (1 if p > 0 else -1) for p, _ in terms))


def accumulated(blocks: list[int]) -> int:
    total = blocks[0]
    for r in blocks[1:]:
        total = judge.add_fp32(total, r)
    return total


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("fmt_a", "fmt_b"), [("e4m3", "e4m3"), ("e5m2", "e4m3"), ("bf16", "fp16"), ("bf16", "int4"), ("e2m1", "e4m3")]
)
def test_mx_scales_of_blocks(fmt_a: str, fmt_b: str, kind: str, rng: np.random.Generator) -> None:
    k, block = 80, dot.block_elements(fmt_a, fmt_b)
    a, b = operands(rng, fmt_a, (3, k), kind), operands(rng, fmt_b, (4, k), kind)
    spread = int(rng.choice([3, 120]))
    x, y = (rng.integers(127 - spread, 128 + spread, (n, 3)).astype(np.uint8) for n in (3, 4))
    x[0, 1] = 255
    d, _ = scaled_matmul(a, fmt_a, b.T, fmt_b, scale_a=x, scale_b=y.T)
    expected = np.zeros((3, 4), np.uint32)
    for i, j in np.ndindex(3, 4):
        expected[i, j] = accumulated(
            [
                scaled_block(
                    [int(v) for v in a[i, s : s + block]], fmt_a, [int(v) for v in b[j, s : s + block]], fmt_b,
                    int(x[i, s // 32]), int(y[j, s // 32]),
                )
                for s in range(0, k, block)
            ]
        )  # fmt: skip
    np.testing.assert_array_equal(d, expected)


@pytest.mark.parametrize("kind", ["uniform_codes", "cancelling"])
@pytest.mark.parametrize("spread", [4, 40])
@pytest.mark.parametrize("fmt", ["e8m0", "e4m3"])
def test_scale_groups_of_4_bit_blocks(fmt: str, spread: int, kind: str, rng: np.random.Generator) -> None:
    a, b = operands(rng, "e2m1", (6, 128), kind), operands(rng, "e2m1", (5, 128), kind)
    group = 32 if fmt == "e8m0" else 16
    low, high = (127 - spread, 128 + spread) if fmt == "e8m0" else (0, 256 if spread > 4 else 127)
    x, y = (rng.integers(low, high, (n, 128 // group)).astype(np.uint8) for n in (6, 5))
    d, _ = scaled_matmul(a, "e2m1", b.T, "e2m1", scale_a=x, scale_b=y.T, scale_fmt=fmt)
    expected = np.zeros((6, 5), np.uint32)
    for i, j in np.ndindex(6, 5):
        blocks = []
        for s in (0, 64):
            pairs = [(int(x[i, g]), int(y[j, g])) for g in range(s // group, (s + 64) // group)]
            blocks.append(grouped_block(a[i, s : s + 64], b[j, s : s + 64], pairs, fmt))
        expected[i, j] = accumulated(blocks)
    np.testing.assert_array_equal(d, expected)


@pytest.mark.parametrize("fmt", ["bf16", "e4m3", "e2m1"])
def test_no_scale_is_a_scale_of_one(fmt: str, rng: np.random.Generator) -> None:
    a, b = operands(rng, fmt, (5, 100), "normal"), operands(rng, fmt, (100, 6), "normal")
    c = rng.normal(0, 1, (5, 6)).astype(np.float32)
    plain = dot.block_matmul(a, fmt, b, fmt, c)[0]
    np.testing.assert_array_equal(scaled_matmul(a, fmt, b, fmt, c)[0], plain)
    ones = np.full((5, 4), 127, np.uint8)
    np.testing.assert_array_equal(scaled_matmul(a, fmt, b, fmt, c, scale_a=ones)[0], plain)


def test_fp32_scales_are_fused_multiply_adds(rng: np.random.Generator) -> None:
    a, b = operands(rng, "e4m3", (4, 300), "normal"), operands(rng, "e4m3", (300, 5), "normal")
    sa, sb = rng.uniform(0.1, 2, (4, 3)).astype(np.float32), rng.uniform(0.1, 2, (3, 5)).astype(np.float32)
    d, flags = fp32_scaled_matmul(a, "e4m3", b, "e4m3", scale_a=sa, scale_b=sb)
    expected = np.zeros((4, 5), np.uint32)
    for i, j in np.ndindex(4, 5):
        total = 0
        for g in range(3):
            part = slice(128 * g, 128 * (g + 1))
            partial, _ = judge.block_matmul(a[i : i + 1, part], "e4m3", b[part, j : j + 1], "e4m3")
            s = Fraction(float(np.float32(sa[i, g] * sb[g, j])))
            values = [Fraction(float(np.uint32(bits).view(np.float32))) for bits in (partial[0, 0], total)]
            total = judge.round_to_fp32(values[0] * s + values[1])
        expected[i, j] = total
    np.testing.assert_array_equal(d, expected)
    assert flags == Flags()
    kept, _ = fp32_scaled_matmul(a * 0, "e4m3", b, "e4m3", d, scale_a=sa, scale_b=sb)
    np.testing.assert_array_equal(kept, d)


def test_flags_of_scaled_sums() -> None:
    one = np.full((1, 1), int(np.flatnonzero(decode(np.arange(256), "e4m3") == 1)[0]))
    _, flags = scaled_matmul(one, "e4m3", one, "e4m3", scale_a=[[254]], scale_b=[[128]])
    assert flags == Flags(overflow=True)
    _, flags = scaled_matmul(one, "e4m3", one, "e4m3", scale_a=[[255]])
    assert flags == Flags(invalid=True)
    big = np.full((1, 1), 1e30, np.float32)
    d, flags = fp32_scaled_matmul(one, "e4m3", one, "e4m3", scale_a=big, scale_b=big)
    assert (int(d[0, 0]), flags) == (fp32.INF, Flags(overflow=True))


def test_errors_name_the_value() -> None:
    x = np.zeros((2, 64), FORMATS["e4m3"].storage)
    with pytest.raises(
        ValueError, match=r"scale_a has \(1, 2\) groups and vectors; 2 groups of 32 elements and 2 vectors"
    ):
        scaled_matmul(x, "e4m3", x.T, "e4m3", scale_a=np.zeros((2, 1), np.uint8))
    with pytest.raises(ValueError, match="e4m3 scales belong to two 4-bit operands, not to e4m3 x e4m3"):
        scaled_matmul(x, "e4m3", x.T, "e4m3", scale_fmt="e4m3")
    with pytest.raises(ValueError, match="int8 x int8 accumulates integers"):
        scaled_matmul(x, "int8", x.T, "int8")
    with pytest.raises(ValueError, match="bf16 is no scale format; the scale formats are e8m0, e4m3"):
        scaled_matmul(x, "e4m3", x.T, "e4m3", scale_fmt="bf16")
    with pytest.raises(ValueError, match=r"\[\(2, 1\), \(1, 2\)\] are needed"):
        fp32_scaled_matmul(
            x, "e4m3", x.T, "e4m3", scale_a=np.ones((2, 2), np.float32), scale_b=np.ones((1, 2), np.float32)
        )
