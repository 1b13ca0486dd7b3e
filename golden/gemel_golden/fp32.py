"""Canonical FP32 arithmetic on bits: IEEE nearest even with subnormals, and one NaN (0x7FC00000)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.formats import as_codes

NAN = 0x7FC0_0000
INF = 0x7F80_0000
_MAGNITUDE = 0x7FFF_FFFF

Bits = NDArray[np.uint32]


def bits_of(x: ArrayLike) -> Bits:
    """FP32 bits of float32 (or float64, rounded once) values; NaN is made canonical."""
    with np.errstate(all="ignore"):
        bits = np.asarray(x).astype(np.float32).view(np.uint32)
    return np.where((bits & _MAGNITUDE) > INF, np.uint32(NAN), bits)


def value_of(bits: ArrayLike) -> NDArray[np.float32]:
    """float32 values of FP32 bits."""
    return as_codes(bits, "fp32").view(np.float32)


def is_nan(bits: ArrayLike) -> NDArray[np.bool_]:
    return (as_codes(bits, "fp32") & _MAGNITUDE) > INF


def is_inf(bits: ArrayLike) -> NDArray[np.bool_]:
    return (as_codes(bits, "fp32") & _MAGNITUDE) == INF


def overflowed(result: ArrayLike, *operands: ArrayLike) -> NDArray[np.bool_]:
    """Where finite operands gave an infinite result."""
    over = is_inf(result)
    for operand in operands:
        over = over & ((as_codes(operand, "fp32") & _MAGNITUDE) < INF)
    return over


def add(a: ArrayLike, b: ArrayLike) -> Bits:
    """a + b on bits. x + (-x) is +0; (-0) + (-0) is -0."""
    with np.errstate(all="ignore"):
        return bits_of(value_of(a) + value_of(b))


def mul(a: ArrayLike, b: ArrayLike) -> Bits:
    """a * b on bits."""
    with np.errstate(all="ignore"):
        return bits_of(value_of(a) * value_of(b))


def fma(a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Bits:
    """a * b + c on bits, rounded once."""
    with np.errstate(all="ignore"):
        x, y, z = (value_of(v).astype(np.float64) for v in (a, b, c))
        product = x * y  # exact: 48 bits
        total = product + z
        # The error of that sum (Knuth), exact: rounding to odd where there is one makes the second rounding harmless.
        back = total - product
        error = (product - (total - back)) + (z - back)
        even = (np.asarray(total).view(np.uint64) & np.uint64(1)) == 0
        inexact = np.isfinite(total) & np.isfinite(error) & (error != 0) & even
        odd = np.where(inexact, np.nextafter(total, np.where(error > 0, np.inf, -np.inf)), total)
        return bits_of(odd)


def int32_to_fp32(x: ArrayLike) -> Bits:
    """INT32 (int32, or its uint32 bits) to FP32 bits, nearest even; 0 is +0."""
    return as_codes(x, "int32").view(np.int32).astype(np.float32).view(np.uint32)


def relu(a: ArrayLike) -> Bits:
    """max(a, +0) on bits: NaN stays (canonical) NaN; what is negative, -0 and -Inf included, becomes +0."""
    bits = as_codes(a, "fp32")
    positive = np.where(bits >> 31, np.uint32(0), bits)
    return np.where(is_nan(bits), np.uint32(NAN), positive)
