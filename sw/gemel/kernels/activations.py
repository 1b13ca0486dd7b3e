"""Activations and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, backward, elementwise, forward, like, same_shape
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = [
    "REFERENCES",
    "elu",
    "elu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
    "swiglu",
    "swiglu_backward",
    "tanh",
    "tanh_backward",
]


@kernel
def _relu(x: Tile, *, to: str) -> Tile:
    return lang.maximum(x, 0.0).astype(to)


@kernel
def _relu_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    return lang.where(x > 0.0, grad, 0.0).astype(to)


@kernel
def _leaky_relu(x: Tile, slope: Tile, *, to: str) -> Tile:
    return lang.where(x > 0.0, x, x * slope).astype(to)


@kernel
def _leaky_relu_backward(grad: Tile, x: Tile, slope: Tile, *, to: str) -> Tile:
    return lang.where(x > 0.0, grad, grad * slope).astype(to)


@kernel
def _elu(x: Tile, alpha: Tile, *, to: str) -> Tile:
    return lang.where(x > 0.0, x, (lang.exp(x) - 1.0) * alpha).astype(to)


@kernel
def _elu_backward(grad: Tile, x: Tile, alpha: Tile, *, to: str) -> Tile:
    return lang.where(x > 0.0, grad, grad * lang.exp(x) * alpha).astype(to)


@kernel
def _silu(x: Tile, *, to: str) -> Tile:
    return (x * lang.sigmoid(x)).astype(to)


@kernel
def _silu_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    s = lang.sigmoid(x)
    return (grad * s * lang.fma(x, 1.0 - s, 1.0)).astype(to)


@kernel
def _sigmoid(x: Tile, *, to: str) -> Tile:
    return lang.sigmoid(x).astype(to)


@kernel
def _sigmoid_backward(grad: Tile, y: Tile, *, to: str) -> Tile:
    return (grad * y * (1.0 - y)).astype(to)


@kernel
def _tanh(x: Tile, *, to: str) -> Tile:
    return lang.tanh(x).astype(to)


@kernel
def _tanh_backward(grad: Tile, y: Tile, *, to: str) -> Tile:
    return (grad * lang.fma(-y, y, 1.0)).astype(to)


@kernel
def _softplus(x: Tile, *, to: str) -> Tile:
    return (lang.maximum(x, 0.0) + lang.log(1.0 + lang.exp(-abs(x)))).astype(to)


@kernel
def _softplus_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    return (grad * lang.sigmoid(x)).astype(to)


@kernel
def _swiglu(gate: Tile, up: Tile, *, to: str) -> Tile:
    return (gate * lang.sigmoid(gate) * up).astype(to)


@kernel
def _swiglu_backward(grad: Tile, gate: Tile, up: Tile, *, to: str) -> tuple[Tile, Tile]:
    s = lang.sigmoid(gate)
    slope = s * lang.fma(gate, 1.0 - s, 1.0)
    return (grad * up * slope).astype(to), (grad * (gate * s)).astype(to)


def relu(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """max(x, 0); a NaN stays. dtype, here and below: the result's format, that of the first operand by default."""
    return forward(_relu, x, dtype=dtype, out=out, cores=cores)


def relu_backward(
    grad: Values, x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad where x > 0, else 0; x may be relu's result as well."""
    return backward(_relu_backward, grad, x, dtype=dtype, out=out, cores=cores)


def leaky_relu(
    x: Values,
    negative_slope: float = 0.01,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x where it is positive, else negative_slope * x."""
    return forward(_leaky_relu, x, float(negative_slope), dtype=dtype, out=out, cores=cores)


def leaky_relu_backward(
    grad: Values,
    x: Values,
    negative_slope: float = 0.01,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """grad where x > 0, else negative_slope * grad."""
    return backward(_leaky_relu_backward, grad, x, float(negative_slope), dtype=dtype, out=out, cores=cores)


def elu(
    x: Values, alpha: float = 1.0, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """x where it is positive, else alpha * (e^x - 1)."""
    return forward(_elu, x, float(alpha), dtype=dtype, out=out, cores=cores)


def elu_backward(
    grad: Values,
    x: Values,
    alpha: float = 1.0,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """grad where x > 0, else grad * alpha * e^x."""
    return backward(_elu_backward, grad, x, float(alpha), dtype=dtype, out=out, cores=cores)


def silu(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """x sigmoid(x), also called swish."""
    return forward(_silu, x, dtype=dtype, out=out, cores=cores)


def silu_backward(
    grad: Values, x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad times the derivative of silu at x."""
    return backward(_silu_backward, grad, x, dtype=dtype, out=out, cores=cores)


def sigmoid(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """1 / (1 + e^-x)."""
    return forward(_sigmoid, x, dtype=dtype, out=out, cores=cores)


def sigmoid_backward(
    grad: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad y (1 - y) with y the result of sigmoid."""
    return backward(_sigmoid_backward, grad, y, dtype=dtype, out=out, cores=cores)


def tanh(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """The hyperbolic tangent."""
    return forward(_tanh, x, dtype=dtype, out=out, cores=cores)


def tanh_backward(
    grad: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad (1 - y^2) with y the result of tanh."""
    return backward(_tanh_backward, grad, y, dtype=dtype, out=out, cores=cores)


def softplus(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """log(1 + e^x)."""
    return forward(_softplus, x, dtype=dtype, out=out, cores=cores)


def softplus_backward(
    grad: Values, x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad sigmoid(x)."""
    return backward(_softplus_backward, grad, x, dtype=dtype, out=out, cores=cores)


def swiglu(
    gate: Values, up: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """silu(gate) * up, the gated unit of Llama's feed-forward layer (Shazeer 2020, arXiv:2002.05202)."""
    same_shape("swiglu", gate=gate, up=up)
    to = like(gate, dtype)
    return elementwise(_swiglu, gate, up, formats=[to], out=out, to=to, cores=cores)


def swiglu_backward(
    grad: Values, gate: Values, up: Values, *, dtype: str | None = None, cores: int | None = None
) -> Any:
    """The gradients of gate and up."""
    same_shape("swiglu_backward", grad=grad, gate=gate, up=up)
    to = like(grad, dtype)
    return elementwise(_swiglu_backward, grad, gate, up, formats=[to, to], to=to, cores=cores)


def _logistic(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _silu_slope(x: Any) -> Any:
    return _logistic(x) * (1 + x * (1 - _logistic(x)))


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "relu": lambda x: np.maximum(x, 0),
    "relu_backward": lambda grad, x: np.where(x > 0, grad, 0),
    "leaky_relu": lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    "leaky_relu_backward": lambda grad, x, slope=0.01: np.where(x > 0, grad, slope * grad),
    "elu": lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x)),
    "elu_backward": lambda grad, x, alpha=1.0: np.where(x > 0, grad, grad * alpha * np.exp(x)),
    "silu": lambda x: x * _logistic(x),
    "silu_backward": lambda grad, x: grad * _silu_slope(x),
    "sigmoid": _logistic,
    "sigmoid_backward": lambda grad, y: grad * y * (1 - y),
    "tanh": np.tanh,
    "tanh_backward": lambda grad, y: grad * (1 - y * y),
    "softplus": lambda x: np.logaddexp(0, x),
    "softplus_backward": lambda grad, x: grad * _logistic(x),
    "swiglu": lambda gate, up: gate * _logistic(gate) * up,
    "swiglu_backward": lambda grad, gate, up: (grad * up * _silu_slope(gate), grad * gate * _logistic(gate)),
}
"""The kernels in NumPy, on float64."""
