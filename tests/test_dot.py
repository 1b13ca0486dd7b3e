"""The block-exact dot product: exhaustive codes against ml_dtypes, blocks against rationals, fast against the judge."""

from fractions import Fraction
from itertools import product

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel_golden import dot, judge
from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, OPERANDS, decode
from gemel_verif.stimulus import KINDS, operands

NAN, INF = 0x7FC00000, 0x7F800000
DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "int8": np.int8,
    "int4": ml_dtypes.int4,
}
EMIN = {"bf16": -126, "fp16": -14, "e4m3": -6, "e5m2": -14, "e2m1": 0}
PAIRS = list(product(OPERANDS, OPERANDS))
FLOAT_PAIRS = [(a, b) for a, b in PAIRS if "int" not in a or "int" not in b]


def is_integer_pair(fmt_a: str, fmt_b: str) -> bool:
    return FORMATS[fmt_a].is_int and FORMATS[fmt_b].is_int


def canonical(x: np.ndarray) -> np.ndarray:
    """FP32 bits of float32 values with the one NaN, and +0 for both zeros: a sum of zeros is +0."""
    with np.errstate(invalid="ignore"):
        bits = (x + np.float32(0)).view(np.uint32)
    return np.where(np.isnan(x), np.uint32(NAN), bits)


def one(fmt: str) -> int:
    codes = np.arange(1 << FORMATS[fmt].bits).astype(FORMATS[fmt].storage)
    return int(np.flatnonzero(decode(codes, fmt) == 1)[0])


@pytest.mark.parametrize(("fmt_a", "fmt_b"), list(product(["e4m3", "e5m2"], repeat=2)))
def test_every_fp8_product(fmt_a: str, fmt_b: str) -> None:
    codes = np.arange(256).astype(np.uint8)
    d, flags = dot.block_matmul(codes[:, None], fmt_a, codes[None, :], fmt_b)
    with np.errstate(invalid="ignore"):
        expected = np.outer(codes.view(DTYPES[fmt_a]).astype(np.float32), codes.view(DTYPES[fmt_b]).astype(np.float32))
    np.testing.assert_array_equal(d, canonical(expected))
    assert flags == Flags(invalid=True)


@pytest.mark.parametrize("other", ["bf16", "fp16", "e4m3", "int8"])
@pytest.mark.parametrize("fmt", ["bf16", "fp16"])
def test_every_16_bit_code_times_one(fmt: str, other: str) -> None:
    codes = np.arange(1 << 16).astype(np.uint16)
    d, _ = dot.block_matmul(codes[:, None], fmt, np.array([[one(other)]]), other)
    with np.errstate(invalid="ignore"):
        expected = codes.view(DTYPES[fmt]).astype(np.float32)
    np.testing.assert_array_equal(d[:, 0], canonical(expected))


def exponent(value: Fraction, fmt: str) -> int:
    """e of a finite value that isn't 0, from the value alone."""
    if "int" in fmt:
        return 7
    size = abs(value)
    e = size.numerator.bit_length() - size.denominator.bit_length()
    return max(e - (size < Fraction(2) ** e), EMIN[fmt])


def contract(a: np.ndarray, fmt_a: str, b: np.ndarray, fmt_b: str) -> int:
    """Steps 1, 2 and 4 of the contract in rationals, on what ml_dtypes says the (finite) codes mean."""
    xs, ys = ([Fraction(float(v)) for v in x.view(DTYPES[f])] for x, f in ((a, fmt_a), (b, fmt_b)))
    terms = [(x * y, exponent(x, fmt_a) + exponent(y, fmt_b)) for x, y in zip(xs, ys, strict=True) if x * y]
    if not terms:
        return 0
    q = Fraction(2) ** (max(e for _, e in terms) - 34)
    total = q * sum((abs(p) // q) * (1 if p > 0 else -1) for p, _ in terms)
    with np.errstate(all="ignore"):
        return int(np.float32(float(total)).view(np.uint32))  # fewer than 53 bits: float() is exact


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "special"])
@pytest.mark.parametrize(("fmt_a", "fmt_b"), FLOAT_PAIRS)
def test_blocks_are_the_contract_in_rationals(fmt_a: str, fmt_b: str, kind: str, rng: np.random.Generator) -> None:
    n = dot.block_elements(fmt_a, fmt_b)
    a, b = operands(rng, fmt_a, (6, n), kind), operands(rng, fmt_b, (6, n), kind)
    finite = (np.isfinite(decode(a, fmt_a)) & np.isfinite(decode(b, fmt_b))).all(axis=1, keepdims=True)
    a, b = np.where(finite, a, 1).astype(a.dtype), np.where(finite, b, 1).astype(b.dtype)
    expected = [contract(x, fmt_a, y, fmt_b) for x, y in zip(a, b, strict=True)]
    np.testing.assert_array_equal(dot.dot_blocks(a, fmt_a, b, fmt_b)[0], np.array(expected, np.uint32))


def random_accumulators(rng: np.random.Generator, integer: bool, shape: tuple[int, int]) -> np.ndarray | None:
    if rng.random() < 0.25:
        return None
    wild = rng.integers(0, 1 << 32, shape).astype(np.uint32)
    return wild if integer or rng.random() < 0.25 else rng.normal(0, 4, shape).astype(np.float32).view(np.uint32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fmt_a", "fmt_b"), PAIRS)
def test_fast_is_the_judge(fmt_a: str, fmt_b: str, kind: str, rng: np.random.Generator) -> None:
    m, n, k = (int(x) for x in rng.integers(1, [5, 5, 80]))
    a, b = operands(rng, fmt_a, (m, k), kind), operands(rng, fmt_b, (n, k), kind).T
    c = random_accumulators(rng, is_integer_pair(fmt_a, fmt_b), (m, n))
    got, flags = dot.block_matmul(a, fmt_a, b, fmt_b, c)
    expected, expected_flags = judge.block_matmul(a, fmt_a, b, fmt_b, c)
    np.testing.assert_array_equal(got, expected)
    assert flags == expected_flags


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("fmt_a", "fmt_b"), PAIRS)
def test_single_blocks_are_products_of_one_row_and_column(
    fmt_a: str, fmt_b: str, kind: str, rng: np.random.Generator
) -> None:
    n = int(rng.integers(1, dot.block_elements(fmt_a, fmt_b) + 1))
    a, b = operands(rng, fmt_a, (8, n), kind), operands(rng, fmt_b, (8, n), kind)
    r, invalid, overflow = dot.dot_blocks(a, fmt_a, b, fmt_b)
    for i in range(8):
        expected, flags = dot.block_matmul(a[i : i + 1], fmt_a, b[i : i + 1].T, fmt_b)
        assert (int(r[i]), Flags(invalid=bool(invalid[i]), overflow=bool(overflow[i]))) == (int(expected[0, 0]), flags)


@pytest.mark.parametrize(("fmt_a", "fmt_b"), [("bf16", "bf16"), ("fp16", "e5m2"), ("e5m2", "e5m2"), ("bf16", "int8")])
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_fast_is_the_judge_on_any_codes(fmt_a: str, fmt_b: str, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 33))
    a, b = (
        np.array(data.draw(st.lists(st.integers(0, (1 << FORMATS[f].bits) - 1), min_size=k, max_size=k)))
        for f in (fmt_a, fmt_b)
    )
    got, expected = (f.block_matmul(a[None, :], fmt_a, b[:, None], fmt_b) for f in (dot, judge))
    assert (int(got[0][0, 0]), got[1]) == (int(expected[0][0, 0]), expected[1])


@pytest.mark.parametrize(("m", "n", "k"), [(400, 300, 48), (160, 200, 112)])
def test_many_rows_and_columns_that_truncate(m: int, n: int, k: int, rng: np.random.Generator) -> None:
    """More than is worked on in one go, where some rows and columns lose bits and others don't."""
    kinds = ("normal", "cancelling")
    a, b = (np.concatenate([operands(rng, "fp16", (x // 2, k), kind) for kind in kinds]) for x in (m, n))
    d, _ = dot.block_matmul(a, "fp16", b.T, "fp16")
    acc = None
    rows, columns = (x.ravel() for x in np.meshgrid(np.arange(m), np.arange(n), indexing="ij"))
    for i in range(0, k, 16):
        r = dot.dot_blocks(a[rows, i : i + 16], "fp16", b[columns, i : i + 16], "fp16")[0]
        acc = r if acc is None else (acc.view(np.float32) + r.view(np.float32)).view(np.uint32)
    np.testing.assert_array_equal(d.ravel(), acc)
    untruncated = (decode(a[:, :16], "fp16") @ decode(b[:, :16], "fp16").T).astype(np.float32)
    truncated, _ = dot.block_matmul(a[:, :16], "fp16", b[:, :16].T, "fp16")
    assert 0 < np.count_nonzero(untruncated.view(np.uint32) != truncated) < untruncated.size / 2


def bf16(*values: float) -> np.ndarray:
    return np.array(values, ml_dtypes.bfloat16).view(np.uint16)


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "flags"),
    [
        # The tail is kept down to 2^-34 below the largest product, its sign apart: magnitudes are truncated.
        ([1, -1, 2.0**-34], [1, 1, 1], None, 0x2E800000, Flags()),
        ([1, -1, 2.0**-35], [1, 1, 1], None, 0, Flags()),
        ([1, -1, -(2.0**-35)], [1, 1, 1], None, 0, Flags()),
        # -0 is what a tiny negative T rounds to, never what zeros add up to.
        ([-0.0], [1], None, 0, Flags()),
        ([-(2.0**-100)], [2.0**-100], None, 0x80000000, Flags()),
        ([-(2.0**-100)], [2.0**-100], 0x80000000, 0x80000000, Flags()),
        ([-0.0], [1], 0x80000000, 0, Flags()),
        ([2.0**-75], [2.0**-74], None, 1, Flags()),
        # Infinities and NaN.
        ([np.inf, 1], [2, 3], None, INF, Flags()),
        ([np.inf, 1], [-2, np.inf], None, NAN, Flags(invalid=True)),
        ([np.inf], [0], None, NAN, Flags(invalid=True)),
        ([np.nan], [0], None, NAN, Flags(invalid=True)),
        ([-np.inf], [1], INF, NAN, Flags(invalid=True)),
        ([1], [1], 0xFFC00001, NAN, Flags(invalid=True)),
        ([1], [1], INF, INF, Flags()),
        # Overflow of the block, and of the addition.
        ([2.0**100], [2.0**100], None, INF, Flags(overflow=True)),
        ([2.0**64, 2.0**64], [2.0**64, -(2.0**64)], None, 0, Flags()),
        ([2.0**63], [2.0**64], 0x7F7FFFFF, INF, Flags(overflow=True)),
        # Nearest even of the block, then of the addition.
        ([1, 1], [1, 2.0**-24], None, 0x3F800000, Flags()),
        ([1, 1], [1, 1.5 * 2.0**-24], None, 0x3F800001, Flags()),
        ([1, 1], [2.0**-24, 2.0**-48], 0x3F800000, 0x3F800000, Flags()),
    ],
)
def test_known_bf16_blocks(a: list, b: list, c: int | None, d: int, flags: Flags) -> None:
    acc = None if c is None else np.array([[c]], np.uint32)
    for implementation in (dot, judge):
        got, got_flags = implementation.block_matmul(bf16(*a)[None, :], "bf16", bf16(*b)[:, None], "bf16", acc)
        assert (hex(got[0, 0]), got_flags) == (hex(d), flags)


@pytest.mark.parametrize(("tail", "d"), [(2.0**-27, 0x32000000), (2.0**-28, 0)])
def test_an_integer_counts_as_exponent_7_whatever_it_is(tail: float, d: int) -> None:
    ones = np.ones((1, 3), np.int8)
    for implementation in (dot, judge):
        got, _ = implementation.block_matmul(ones, "int8", bf16(1, -1, tail)[:, None], "bf16")
        assert hex(got[0, 0]) == hex(d)


def test_blocks_round_one_after_the_other() -> None:
    """1 in the first block and 2^-24 in each of the next two: each is a tie that goes back to 1."""
    a = np.zeros((1, 48), np.uint16)
    a[0, [0, 16, 32]] = bf16(1, 2.0**-24, 2.0**-24)
    ones = np.full((48, 1), bf16(1)[0])
    assert dot.block_matmul(a, "bf16", ones, "bf16")[0][0, 0] == 0x3F800000
    a[0, [0, 16, 32]] = bf16(2.0**-24, 2.0**-24, 1)
    assert dot.block_matmul(a, "bf16", ones, "bf16")[0][0, 0] == 0x3F800001


def test_int8_is_modulo_2_32(rng: np.random.Generator) -> None:
    a, b = rng.integers(-128, 128, (9, 300)), rng.integers(-128, 128, (300, 7))
    c = rng.integers(-(1 << 31), 1 << 31, (9, 7)).astype(np.int32)
    d, _ = dot.block_matmul(a, "int8", b, "int8", c)
    np.testing.assert_array_equal(d, (c.astype(np.int64) + a @ b).astype(np.uint32))
    for value, k in ((-128, 4096), (127, 4095)):
        edge = np.full((1, k), value)
        exact, flags = dot.block_matmul(edge, "int8", edge.T, "int8")
        assert (int(exact[0, 0]), flags) == (k * value * value, Flags())


def test_int8_flags_a_wrap_that_later_blocks_undo() -> None:
    a = np.concatenate([np.full(32, 127), np.full(32, -127)])[None, :]
    top = np.array([[(1 << 31) - 5]], np.int32)
    for implementation in (dot, judge):
        d, flags = implementation.block_matmul(a, "int8", np.full((64, 1), 127), "int8", top)
        assert (int(d[0, 0]), flags) == ((1 << 31) - 5, Flags(overflow=True))


@pytest.mark.parametrize(("m", "n", "k"), [(0, 3, 5), (3, 0, 5), (2, 3, 0), (0, 0, 0)])
@pytest.mark.parametrize("fmt", ["bf16", "e4m3", "int8"])
def test_zero_sizes(fmt: str, m: int, n: int, k: int) -> None:
    storage = FORMATS[fmt].storage
    d, flags = dot.block_matmul(np.ones((m, k), storage), fmt, np.ones((k, n), storage), fmt)
    np.testing.assert_array_equal(d, np.zeros((m, n), np.uint32))
    c = np.full((m, n), 0x40000000, np.uint32)
    kept, _ = dot.block_matmul(np.zeros((m, 0), storage), fmt, np.zeros((0, n), storage), fmt, c)
    np.testing.assert_array_equal(kept, c)
    assert flags == Flags()


def test_errors_name_the_value() -> None:
    x = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"a has shape \(2, 3\), b \(2, 3\)"):
        dot.block_matmul(x, "e4m3", x, "e4m3")
    with pytest.raises(ValueError, match=r"fp32 is no operand of the dot product; the operands are bf16, "):
        dot.block_matmul(x, "fp32", x.T, "e4m3")
    with pytest.raises(ValueError, match=r"c has shape \(3, 3\), the product \(2, 2\)"):
        dot.block_matmul(x, "e4m3", x.T, "e4m3", np.zeros((3, 3), np.uint32))
    with pytest.raises(ValueError, match="int32 codes must be integers, not float32"):
        dot.block_matmul(x, "int8", x.T, "int8", np.zeros((2, 2), np.float32))
    with pytest.raises(ValueError, match="k at most 16"):
        dot.dot_blocks(np.zeros((1, 17), np.uint16), "bf16", np.zeros((1, 17), np.uint16), "bf16")
