"""The judge of the FP32 functions: their values in float64, 2^29 times finer than FP32, and errors in ulps."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gemel_golden.fp32 import Bits, value_of
from gemel_golden.functions import Function

__all__ = ["reference", "ulp_errors"]

Reals = NDArray[np.float64]


def _turns(x: Reals) -> tuple[Reals, Reals]:
    """r in [-1/4, 1/4] and (-1)^k, where x = r + k / 2: both exact."""
    turn = x - np.trunc(x)
    half = np.rint(2 * turn)
    return turn - half / 2, 1 - 2 * (np.abs(half) % 2)


def _sin(x: Reals) -> Reals:
    r, sign = _turns(x)
    return np.where(r == 0, np.copysign(0, x), sign * np.sin(2 * np.pi * r))


def _cos(x: Reals) -> Reals:
    r, sign = _turns(x)
    r = np.abs(r)
    value = np.where(r < 0.125, np.cos(2 * np.pi * r), np.sin(2 * np.pi * (0.25 - r)))
    return np.where(r == 0.25, 0, sign * value)


_VALUES: dict[Function, Callable[[Reals], Reals]] = {
    Function.EXP2: np.exp2,
    Function.EXP: np.exp,
    Function.LOG2: np.log2,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.RSQRT: lambda x: 1 / np.sqrt(x),
    Function.SQRT: np.sqrt,
    Function.SIN: _sin,
    Function.COS: _cos,
    Function.TANH: np.tanh,
    Function.ERF: lambda x: np.asarray(np.frompyfunc(math.erf, 1, 1)(x), np.float64),
}


def reference(function: Function, bits: Bits) -> Reals:
    """The function's values in float64, where numbers that are finite there but not in FP32 stay finite."""
    with np.errstate(all="ignore"):
        return _VALUES[function](value_of(bits).astype(np.float64))


def ulp_errors(result: Bits, exact: Reals) -> Reals:
    """|result - exact| in units of the last place that FP32 has at `exact`.

    Infinity counts as 2^128, on either side. Infinite where a sign is wrong, or where one of the two alone is NaN or
    where the NaN is not the canonical one.
    """
    with np.errstate(all="ignore"):
        got = np.clip(value_of(result).astype(np.float64), -(2.0**128), 2.0**128)
        wanted = np.clip(exact, -(2.0**128), 2.0**128)
        binade = ((wanted.view(np.int64) >> 52) & 0x7FF) - 1023
        ulp = ((np.clip(binade, -126, 127) - 23 + 1023) << 52).view(np.float64)
        errors = np.abs(got - wanted) / ulp
    nan = np.isnan(exact)
    wrong = np.where(nan, result != 0x7FC0_0000, np.isnan(got) | (np.signbit(got) != np.signbit(wanted)))
    return np.where(wrong, np.inf, np.where(nan, 0, errors))
