"""Exponentials, logarithms, roots, sines of every element, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, backward, forward
from gemel.lang import Kernel, Tile, kernel
from gemel.tensors import Tensor

__all__ = [
    "REFERENCES",
    "cos",
    "erf",
    "exp",
    "exp2",
    "exp_backward",
    "log",
    "log2",
    "log_backward",
    "reciprocal",
    "rsqrt",
    "sin",
    "sqrt",
    "turns",
]

PER_TURN = 1 / (2 * math.pi)
PER_TURN_HIGH = float(np.float32(PER_TURN))
PER_TURN_LOW = PER_TURN - PER_TURN_HIGH


def turns(radians: Tile) -> Tile:
    """An angle as turns between -1/2 and 1/2, within 2^-24 of itself up to 2^16 radians: the whole turns go first."""
    high = radians * PER_TURN_HIGH
    low = lang.fma(radians, PER_TURN_LOW, lang.fma(radians, PER_TURN_HIGH, -high))
    return (high - lang.rint(high)) + low


def _of(function: Callable[[Tile], Tile], name: str) -> Kernel:
    def one(x: Tile, *, to: str) -> Tile:
        return function(x).astype(to)

    one.__name__ = name
    return kernel(one)


_exp, _exp2, _log, _log2 = (_of(getattr(lang, name), name) for name in ("exp", "exp2", "log", "log2"))
_sqrt, _rsqrt, _reciprocal = (_of(getattr(lang, name), name) for name in ("sqrt", "rsqrt", "reciprocal"))
_erf = _of(lang.erf, "erf")
_sin, _cos = _of(lambda x: lang.sin(turns(x)), "sin"), _of(lambda x: lang.cos(turns(x)), "cos")


@kernel
def _exp_backward(grad: Tile, y: Tile, *, to: str) -> Tile:
    return (grad * y).astype(to)


@kernel
def _log_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    return (grad / x).astype(to)


def exp(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """e^x. dtype, here and below: the result's format, that of the first operand by default."""
    return forward(_exp, x, dtype=dtype, out=out, cores=cores)


def exp2(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """2^x."""
    return forward(_exp2, x, dtype=dtype, out=out, cores=cores)


def exp_backward(
    grad: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad y with y the result of exp."""
    return backward(_exp_backward, grad, y, dtype=dtype, out=out, cores=cores)


def log(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The natural logarithm."""
    return forward(_log, x, dtype=dtype, out=out, cores=cores)


def log2(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The logarithm to base 2."""
    return forward(_log2, x, dtype=dtype, out=out, cores=cores)


def log_backward(
    grad: Values, x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad / x."""
    return backward(_log_backward, grad, x, dtype=dtype, out=out, cores=cores)


def sqrt(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The square root."""
    return forward(_sqrt, x, dtype=dtype, out=out, cores=cores)


def rsqrt(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """1 / sqrt(x)."""
    return forward(_rsqrt, x, dtype=dtype, out=out, cores=cores)


def reciprocal(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """1 / x."""
    return forward(_reciprocal, x, dtype=dtype, out=out, cores=cores)


def sin(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The sine of radians."""
    return forward(_sin, x, dtype=dtype, out=out, cores=cores)


def cos(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The cosine of radians."""
    return forward(_cos, x, dtype=dtype, out=out, cores=cores)


def erf(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The error function."""
    return forward(_erf, x, dtype=dtype, out=out, cores=cores)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "exp_backward": lambda grad, y: grad * y,
    "log": np.log,
    "log2": np.log2,
    "log_backward": lambda grad, x: grad / x,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "sin": np.sin,
    "cos": np.cos,
    "erf": np.vectorize(math.erf, otypes=[np.float64]),
}
"""The kernels in NumPy, on float64."""
