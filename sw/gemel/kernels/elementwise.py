"""Sums, products and scalings of tensors, element by element or with a bias along the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gemel import lang
from gemel.kernels.rows import Values, along, call, elementwise, like, rows, rowwise, same_shape
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "add", "add_bias", "add_scaled", "bias_backward", "cast", "mul", "scale", "sub"]


@kernel
def _add(x: Tile, y: Tile, *, to: str) -> Tile:
    return (x + y).astype(to)


@kernel
def _sub(x: Tile, y: Tile, *, to: str) -> Tile:
    return (x - y).astype(to)


@kernel
def _mul(x: Tile, y: Tile, *, to: str) -> Tile:
    return (x * y).astype(to)


@kernel
def _scale(x: Tile, factor: Tile, *, to: str) -> Tile:
    return (x * factor).astype(to)


@kernel
def _add_scaled(x: Tile, y: Tile, factor: Tile, *, to: str) -> Tile:
    return lang.fma(y, factor, x).astype(to)


@kernel
def _cast(x: Tile, *, to: str, saturate: bool | None) -> Tile:
    return x.astype(to, saturate=saturate)


@kernel
def _bias(x: Tile, bias: Tile, residual: Tile | None = None, *, to: str) -> Tile:
    y = x + bias
    return (y if residual is None else y + residual).astype(to)


@kernel
def _bias_backward(grad: Tile, *, to: str) -> Tile:
    return grad.sum(axis=0).astype(to)


def add(x: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """x + y of one shape: a residual connection. dtype: the result's format, x's by default."""
    same_shape("add", x=x, y=y)
    to = like(x, dtype)
    return elementwise(_add, x, y, formats=[to], out=out, to=to, cores=cores)


def sub(x: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """x - y of one shape."""
    same_shape("sub", x=x, y=y)
    to = like(x, dtype)
    return elementwise(_sub, x, y, formats=[to], out=out, to=to, cores=cores)


def mul(x: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """x * y of one shape, element by element."""
    same_shape("mul", x=x, y=y)
    to = like(x, dtype)
    return elementwise(_mul, x, y, formats=[to], out=out, to=to, cores=cores)


def scale(
    x: Values, factor: float | Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """x * factor: a number, rounded to FP32, or a tensor of one element."""
    number = float(factor) if isinstance(factor, int | float) else factor.reshape(1, 1)
    to = like(x, dtype)
    return elementwise(_scale, x, number, formats=[to], out=out, to=to, cores=cores)


def add_scaled(
    x: Values,
    y: Values,
    factor: float,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x + factor * y of one shape, one rounding in FP32."""
    same_shape("add_scaled", x=x, y=y)
    to = like(x, dtype)
    return elementwise(_add_scaled, x, y, float(factor), formats=[to], out=out, to=to, cores=cores)


def cast(
    x: Values, dtype: str, *, saturate: bool | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """x in another format, nearest even. saturate: clamp to the largest finite value; FP8 and FP4 do by default."""
    to = like(x, dtype)
    return elementwise(_cast, x, formats=[to], out=out, to=to, saturate=saturate, cores=cores)


def add_bias(
    x: Values,
    bias: Values,
    residual: Values | None = None,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x + bias + residual: bias (C,) along the last dimension of x (..., C), residual in x's shape."""
    (line,) = along("add_bias", x, bias=bias)
    if residual is not None:
        same_shape("add_bias", x=x, residual=residual)
    return rowwise(_bias, x, line, residual, out=out, to=like(x, dtype), cores=cores)


def bias_backward(grad: Values, *, dtype: str | None = None, cores: int | None = None) -> Any:
    """The gradient of a bias (C,): the sum of grad (..., C) over all dimensions but the last, row after row."""
    return call(_bias_backward, rows(grad), to=like(grad, dtype), cores=cores).reshape(grad.shape[-1])


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "scale": lambda x, factor: x * factor,
    "add_scaled": lambda x, y, factor: x + factor * y,
    "cast": lambda x, dtype: x,
    "add_bias": lambda x, bias, residual=0.0: x + bias + residual,
    "bias_backward": lambda grad: grad.reshape(-1, grad.shape[-1]).sum(axis=0),
}
"""The kernels in NumPy, on float64."""
