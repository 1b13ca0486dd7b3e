"""Layer norm and RMS norm along the last dimension, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, along, call, like, rows, rowwise, same_shape
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "affine", "layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward"]


def _normal(x: Tile, eps: Tile) -> tuple[Tile, Tile]:
    """(x - mean) / sqrt(variance + eps), and the factor."""
    centred = x - x.mean()
    factor = lang.rsqrt(lang.inner(centred, centred) * (1 / x.shape[1]) + eps)
    return centred * factor, factor


def affine(x: Tile, weight: Tile | None, bias: Tile | None) -> Tile:
    """x * weight + bias, rounded once, of what is given."""
    if weight is not None and bias is not None:
        return lang.fma(x, weight, bias)
    if weight is not None:
        x = x * weight
    return x if bias is None else x + bias


@kernel
def _layer_norm(x: Tile, eps: Tile, weight: Tile | None, bias: Tile | None, *, to: str) -> Tile:
    mean = x.mean()
    centred = x - mean
    factor = lang.rsqrt(lang.fma(lang.inner(centred, centred), 1 / x.shape[1], eps))
    return affine(lang.fma(x, factor, -(mean * factor)), weight, bias).astype(to)


@kernel
def _layer_norm_backward(grad: Tile, x: Tile, eps: Tile, weight: Tile | None, *, to: str, sums: bool) -> Any:
    hat, factor = _normal(x, eps)
    scaled = affine(grad, weight, None)
    gradient = ((scaled - scaled.mean() - hat * (scaled * hat).mean()) * factor).astype(to)
    return (gradient, (grad * hat).sum(axis=0), grad.sum(axis=0)) if sums else gradient


@kernel
def _rms_norm(x: Tile, eps: Tile, weight: Tile | None, *, to: str) -> Tile:
    return affine(x * lang.rsqrt(lang.fma(lang.inner(x, x), 1 / x.shape[1], eps)), weight, None).astype(to)


@kernel
def _rms_norm_backward(grad: Tile, x: Tile, eps: Tile, weight: Tile | None, *, to: str, sums: bool) -> Any:
    factor = lang.rsqrt((x * x).mean() + eps)
    hat = x * factor
    scaled = affine(grad, weight, None)
    gradient = ((scaled - hat * (scaled * hat).mean()) * factor).astype(to)
    return (gradient, (grad * hat).sum(axis=0)) if sums else gradient


def _check(name: str, x: Values) -> None:
    if x.shape[-1] == 0:
        raise ValueError(f"{name}: x has shape {x.shape}; its last dimension needs at least one element")


def layer_norm(
    x: Values,
    weight: Values | None = None,
    bias: Values | None = None,
    *,
    eps: float = 1e-5,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """(x - mean) / sqrt(variance + eps) * weight + bias along the last dimension of x (..., C), all in FP32.

    The variance is the mean square of x - mean. With f = 1 / sqrt(variance + eps), x f - mean f is rounded once, and
    its product with the weight plus the bias once more. weight, bias: (C,), or none. dtype, here and below: the
    result's format, that of the first operand by default.
    """
    _check("layer_norm", x)
    lines = along("layer_norm", x, weight=weight, bias=bias)
    return rowwise(_layer_norm, x, float(eps), *lines, out=out, to=like(x, dtype), cores=cores)


def layer_norm_backward(
    grad: Values,
    x: Values,
    weight: Values | None = None,
    *,
    eps: float = 1e-5,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """The gradient of x, and with a weight those of weight and bias too, FP32 (C,), summed row after row.

    Mean and variance are computed again from x.
    """
    _check("layer_norm_backward", x)
    same_shape("layer_norm_backward", grad=grad, x=x)
    (line,) = along("layer_norm_backward", x, weight=weight)
    options = {"to": like(grad, dtype), "sums": weight is not None}
    return _gradients(x, call(_layer_norm_backward, rows(grad), rows(x), float(eps), line, **options, cores=cores))


def rms_norm(
    x: Values,
    weight: Values | None = None,
    *,
    eps: float = 1e-6,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight along the last dimension of x (..., C), all in FP32. weight: (C,), or none.

    Zhang and Sennrich 2019, arXiv:1910.07467.
    """
    _check("rms_norm", x)
    (line,) = along("rms_norm", x, weight=weight)
    return rowwise(_rms_norm, x, float(eps), line, out=out, to=like(x, dtype), cores=cores)


def rms_norm_backward(
    grad: Values,
    x: Values,
    weight: Values | None = None,
    *,
    eps: float = 1e-6,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """The gradient of x, and with a weight that of weight too, FP32 (C,), summed row after row."""
    _check("rms_norm_backward", x)
    same_shape("rms_norm_backward", grad=grad, x=x)
    (line,) = along("rms_norm_backward", x, weight=weight)
    options = {"to": like(grad, dtype), "sums": weight is not None}
    return _gradients(x, call(_rms_norm_backward, rows(grad), rows(x), float(eps), line, **options, cores=cores))


def _gradients(x: Values, found: Any) -> Any:
    if not isinstance(found, tuple):
        return found.reshape(*x.shape)
    return (found[0].reshape(*x.shape), *(line.reshape(line.size) for line in found[1:]))


def _hat(x: Any, eps: float) -> tuple[Any, Any]:
    centred = x - x.mean(axis=-1, keepdims=True)
    factor = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
    return centred * factor, factor


def _total(x: Any) -> Any:
    return x.reshape(-1, x.shape[-1]).sum(axis=0)


def _mean(x: Any) -> Any:
    return x.mean(axis=-1, keepdims=True)


def _layer_norm_reference(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _hat(x, eps)[0] * (1 if weight is None else weight) + (0 if bias is None else bias)


def _layer_norm_backward_reference(grad: Any, x: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    hat, factor = _hat(x, eps)
    scaled = grad * (1 if weight is None else weight)
    gradient = (scaled - _mean(scaled) - hat * _mean(scaled * hat)) * factor
    return gradient if weight is None else (gradient, _total(grad * hat), _total(grad))


def _rms_norm_reference(x: Any, weight: Any = None, eps: float = 1e-6) -> Any:
    return x / np.sqrt(_mean(x**2) + eps) * (1 if weight is None else weight)


def _rms_norm_backward_reference(grad: Any, x: Any, weight: Any = None, eps: float = 1e-6) -> Any:
    factor = 1 / np.sqrt(_mean(x**2) + eps)
    scaled = grad * (1 if weight is None else weight)
    gradient = (scaled - x * factor * _mean(scaled * x * factor)) * factor
    return gradient if weight is None else (gradient, _total(grad * x * factor))


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "layer_norm": _layer_norm_reference,
    "layer_norm_backward": _layer_norm_backward_reference,
    "rms_norm": _rms_norm_reference,
    "rms_norm_backward": _rms_norm_backward_reference,
}
"""The kernels in NumPy, on float64."""
