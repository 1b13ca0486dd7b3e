"""The FP32 functions of the vector core, on bits and in integers: one table, one polynomial, one rounding.

Every function is brought to the form 2^scale * (addend +- factor * P(u)), where P is a page of `function_tables` and u
its argument in [0, 1) with 27 fraction bits. `docs/functions.md` says what each one does and how exact it is.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.formats import as_codes
from gemel_golden.fp32 import INF, NAN, Bits
from gemel_golden.function_tables import (
    C0_BITS,
    C1_BITS,
    C2_BITS,
    INDEX_BITS,
    OFFSET_BITS,
    ROWS,
    SQUARED_BITS,
    Page,
)

__all__ = ["ARGUMENT_BITS", "LOG2_E", "Function", "evaluate"]

Integers = NDArray[np.int64]
Truths = NDArray[np.bool_]

ARGUMENT_BITS = INDEX_BITS + OFFSET_BITS
"""Fraction bits of u."""

LOG2_E = 0x17_1547_652B
"""log2(e) in units of 2^-36."""

_ONE = 0x3F80_0000
_FACTOR_ONE = 1 << 27
_PRODUCT_BITS = 55
"""Fraction bits of addend + factor * P."""

_ZEROTH = (ROWS & np.uint64((1 << C0_BITS) - 1)).astype(np.int64)
_FIRST = (ROWS << np.uint64(C2_BITS)).view(np.int64) >> (64 - C1_BITS)
_SECOND = ROWS.view(np.int64) >> (64 - C2_BITS)


class Function(IntEnum):
    """Codes of the functions. SIN and COS take turns: sin(2 pi x), cos(2 pi x)."""

    EXP2 = 0
    EXP = 1
    LOG2 = 2
    RECIPROCAL = 3
    RSQRT = 4
    SQRT = 5
    SIN = 6
    COS = 7
    TANH = 8
    ERF = 9


class _Operand(NamedTuple):
    """Finite nonzero |x| is significand * 2^(exponent - 23), with 24 bits in the significand; 0 has none."""

    negative: Truths
    nan: Truths
    inf: Truths
    zero: Truths
    exponent: Integers
    significand: Integers

    @property
    def fraction(self) -> Integers:
        """The significand's 23 bits after the first, as u."""
        return (self.significand & 0x7F_FFFF) << (ARGUMENT_BITS - 23)


class _Reduced(NamedTuple):
    """(-1)^negative * 2^(scale - 55) * |addend +- factor * P(u)|, or the special result where there is one.

    special : FP32 bits, or -1; negative_zero : the sign of a result that is exactly 0
    """

    page: Integers | int
    u: Integers
    factor: Integers | int
    scale: Integers | int
    negative: Truths | bool
    special: Integers
    addend: Integers | int = 0
    subtract: Truths | bool = False
    negative_zero: Truths | bool = False


def evaluate(function: Function | int, bits: ArrayLike) -> Bits:
    """`function` of FP32 bits, as FP32 bits of the same shape; less than 1 ulp from the exact value for every input.

    Subnormals count, in and out; special values are those of C99 and IEEE 754; every NaN is 0x7FC00000.

    Raises ValueError for a code that no function has.
    """
    reduce = _REDUCTIONS[Function(function)]
    codes = as_codes(bits, "fp32")
    return _finish(reduce(_unpack(codes.astype(np.int64))))


def _unpack(bits: Integers) -> _Operand:
    field, mantissa = (bits >> 23) & 0xFF, bits & 0x7F_FFFF
    top, empty = field == 0xFF, mantissa == 0
    significand = mantissa | (1 << 23)
    exponent = field - 127
    subnormal = field == 0
    if subnormal.any():
        # frexp is exact on integers of 23 bits.
        places = 24 - np.frexp(mantissa.astype(np.float64))[1].astype(np.int64)
        significand = np.where(subnormal, mantissa << places, significand)
        exponent = np.where(subnormal, -126 - places, exponent)
    return _Operand(bits >> 31 != 0, top & ~empty, top & empty, subnormal & empty, exponent, significand)


def _special(*cases: tuple[Truths, Integers | int]) -> Integers:
    """The result of the first case that applies, otherwise -1."""
    result: Integers | int = -1
    for condition, bits in reversed(cases):
        result = np.where(condition, bits, result)
    return np.asarray(result, np.int64)


def _signed(negative: Truths, magnitude: int) -> Integers:
    return np.where(negative, magnitude | 1 << 31, magnitude)


def _fixed(product: Integers, shift: Integers) -> Integers:
    """`product` shifted right by `shift`, which is clamped to 0 .. 63."""
    return product >> np.clip(shift, 0, 63)


def _exponential(x: _Operand, log2_base: int) -> _Reduced:
    """2^n * 2^u from x * log2(base) = n + u; minus a fixed-point number is its complement, one unit less."""
    magnitude = _fixed(x.significand * log2_base, 32 - x.exponent)
    power = np.where(x.negative, ~magnitude, magnitude)
    huge = x.exponent >= 8
    special = _special((x.nan, NAN), (huge, np.where(x.negative, 0, INF)), (x.zero, _ONE))
    u = power & ((1 << ARGUMENT_BITS) - 1)
    return _Reduced(Page.EXP2, u, _FACTOR_ONE, (power >> ARGUMENT_BITS) + 1, False, special)


def _exp2(x: _Operand) -> _Reduced:
    return _exponential(x, 1 << 36)


def _exp(x: _Operand) -> _Reduced:
    return _exponential(x, LOG2_E)


def _log2(x: _Operand) -> _Reduced:
    """n + t * (log2(1 + t) / t), where x = 2^n * (1 + t) and t lies in [-1/4, 1/2): exact near 1, where n = 0."""
    upper = x.significand >= 3 << 22
    n = x.exponent + upper
    factor = np.where(upper, ((1 << 24) - x.significand) << 4, (x.significand & 0x7F_FFFF) << 5)
    negative = np.where(n == 0, upper, n < 0)
    special = _special((x.nan, NAN), (x.zero, INF | 1 << 31), (x.negative, NAN), (x.inf, INF))
    addend = np.abs(n) << _PRODUCT_BITS
    return _Reduced(Page.LOG2, x.fraction, factor, 0, negative, special, addend, (n != 0) & (negative != upper))


def _reciprocal(x: _Operand) -> _Reduced:
    special = _special((x.nan, NAN), (x.inf, _signed(x.negative, 0)), (x.zero, _signed(x.negative, INF)))
    return _Reduced(Page.RECIPROCAL, x.fraction, _FACTOR_ONE, -x.exponent, x.negative, special)


def _rsqrt(x: _Operand) -> _Reduced:
    page = Page.RSQRT_EVEN + (x.exponent & 1)
    special = _special((x.nan, NAN), (x.zero, _signed(x.negative, INF)), (x.negative, NAN), (x.inf, 0))
    return _Reduced(page, x.fraction, _FACTOR_ONE, -(x.exponent >> 1), False, special)


def _sqrt(x: _Operand) -> _Reduced:
    """m * (1 / sqrt(m)), m in [1, 4)."""
    odd = x.exponent & 1
    special = _special((x.nan, NAN), (x.zero, _signed(x.negative, 0)), (x.negative, NAN), (x.inf, INF))
    scale = (x.exponent >> 1) + odd
    return _Reduced(Page.RSQRT_EVEN + odd, x.fraction, x.significand << 4, scale, False, special)


def _sine(x: _Operand, negative: Truths | bool, *, quarter: int) -> _Reduced:
    """sin of 2 pi (|x| + quarter / 4), by octants: +-sin(2 pi r) or +-cos(2 pi r), r within [0, 1/8].

    They are r * (sin(2 pi r) / r) and 1 - r * ((1 - cos(2 pi r)) / r). r has 30 fraction bits; where |x| < 1/8 is r
    itself, its own significand is the factor, so that small results are as exact as large ones.
    """
    turn = _fixed(x.significand << 36, 29 - x.exponent) & ((1 << 30) - 1)
    octant = (turn >> 27) + 2 * quarter
    mirrored = octant & 1 != 0
    cosine = mirrored ^ (octant & 2 != 0)
    within = turn & ((1 << 27) - 1)
    r = np.where(mirrored, (1 << 27) - within, within)
    u = (np.where(mirrored, within ^ ((1 << 27) - 1), within) >> 1) | (cosine.astype(np.int64) << 26)
    floating = (x.exponent < -3) & (quarter == 0)
    factor = np.where(floating, x.significand << 4, r)
    scale = np.where(floating, x.exponent + 3, 0)
    special = _special((x.nan | x.inf, NAN), (x.zero, _ONE if quarter else _signed(x.negative, 0)))
    sign = (octant & 4 != 0) ^ negative
    addend = cosine.astype(np.int64) << _PRODUCT_BITS
    return _Reduced(Page.SINE, u, factor, scale, sign, special, addend, cosine, negative)


def _sin(x: _Operand) -> _Reduced:
    return _sine(x, x.negative, quarter=0)


def _cos(x: _Operand) -> _Reduced:
    return _sine(x, False, quarter=1)


def _tanh(x: _Operand) -> _Reduced:
    """x * (tanh(x) / x) below 2, where x = 2u; then tanh on [2, 4) and on [4, 12); above that 1."""
    magnitude = _fixed(x.significand << 36, 33 - x.exponent)
    low, high = x.exponent < 1, x.exponent >= 2
    large = (x.exponent >= 4) | ((x.exponent == 3) & (x.significand >= 3 << 22))
    special = _special((x.nan, NAN), (large, _signed(x.negative, _ONE)), (x.zero, _signed(x.negative, 0)))
    u = np.where(high, (magnitude - (1 << 28)) >> 2, magnitude) & ((1 << ARGUMENT_BITS) - 1)
    page = np.where(high, Page.TANH_HIGH, np.where(low, Page.TANH_LOW, Page.TANH_MIDDLE))
    factor = np.where(low, x.significand << 4, _FACTOR_ONE)
    return _Reduced(page, u, factor, np.where(low, x.exponent, 0), x.negative, special)


def _erf(x: _Operand) -> _Reduced:
    """2x * (erf(x) / 2x) below 1, where x = u; then erf on [1, 2) and on [2, 4); above that 1."""
    low, high = x.exponent < 0, x.exponent >= 1
    u = _fixed(x.significand << 36, 32 + high - x.exponent) & ((1 << ARGUMENT_BITS) - 1)
    special = _special((x.nan, NAN), (x.exponent >= 2, _signed(x.negative, _ONE)), (x.zero, _signed(x.negative, 0)))
    page = np.where(low, Page.ERF_LOW, np.where(high, Page.ERF_HIGH, Page.ERF_MIDDLE))
    factor = np.where(low, x.significand << 4, _FACTOR_ONE)
    return _Reduced(page, u, factor, np.where(low, x.exponent + 1, 0), x.negative, special)


_REDUCTIONS: dict[Function, Callable[[_Operand], _Reduced]] = {
    Function.EXP2: _exp2,
    Function.EXP: _exp,
    Function.LOG2: _log2,
    Function.RECIPROCAL: _reciprocal,
    Function.RSQRT: _rsqrt,
    Function.SQRT: _sqrt,
    Function.SIN: _sin,
    Function.COS: _cos,
    Function.TANH: _tanh,
    Function.ERF: _erf,
}


def _polynomial(page: Integers | int, u: Integers) -> Integers:
    """P(u) in units of 2^-28: c0 + c1 * t + c2 * t^2 summed exactly from a truncated square, rounded half up."""
    row = (page << INDEX_BITS) + (u >> OFFSET_BITS)
    t = u & ((1 << OFFSET_BITS) - 1)
    short = t >> (OFFSET_BITS - SQUARED_BITS)
    square = (short * short) >> SQUARED_BITS
    # In units of 2^-48, those of c1 * t; c2 * square has units of 2^-42.
    total = (_ZEROTH[row] << OFFSET_BITS) + _FIRST[row] * t + ((_SECOND[row] * square) << 6)
    return (total + (1 << (OFFSET_BITS - 1))) >> OFFSET_BITS


def _finish(r: _Reduced) -> Bits:
    product = r.factor * _polynomial(r.page, r.u)
    total = r.addend + np.where(r.subtract, -product, product)
    # float64 may round a number up to the next power of two.
    length = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    length -= (total >> np.maximum(length - 1, 0)) == 0
    exponent = length - 1 - _PRODUCT_BITS + 127 + r.scale
    kept_at = np.maximum(exponent, 1)
    shift = length - 24 + (kept_at - exponent)
    zero = total == 0
    gone = zero | (shift > length)
    shift = np.where(gone, 1, shift)
    total = np.where(gone, 0, total)
    kept = total >> shift
    half = np.int64(1) << (shift - 1)
    rest = total - (kept << shift)
    up = (rest > half) | ((rest == half) & (kept & 1 != 0))
    # A carry out of the significand steps the exponent field by itself, up to infinity.
    magnitude = np.minimum(((kept_at - 1) << 23) + kept + up, INF)
    magnitude = np.where(gone, 0, magnitude)
    negative = np.where(zero, r.negative_zero, r.negative)
    result = magnitude | (np.asarray(negative, np.int64) << 31)
    return np.where(r.special >= 0, r.special, result).astype(np.uint32)
