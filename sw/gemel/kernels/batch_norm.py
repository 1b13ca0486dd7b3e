"""Batch norm and group norm of (N, C, ...), and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.channels import channel_map, channel_sum, lengths
from gemel.kernels.norm import affine, layer_norm, layer_norm_backward
from gemel.kernels.rows import Values, call, like, same_shape, shaped
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "batch_norm", "batch_norm_backward", "group_norm", "group_norm_backward"]


@kernel
def _square(x: Tile, mean: Tile) -> Tile:
    return (x - mean) * (x - mean)


@kernel
def _normal(x: Tile, mean: Tile, variance: Tile, weight: Tile | None, bias: Tile | None, eps: Tile, *, to: str) -> Tile:
    return affine((x - mean) * lang.rsqrt(variance + eps), weight, bias).astype(to)


@kernel
def _affine(x: Tile, weight: Tile | None, bias: Tile | None, *, to: str) -> Tile:
    return affine(x, weight, bias).astype(to)


@kernel
def _product(x: Tile, y: Tile) -> Tile:
    return x * y


@kernel
def _running(old: Tile, new: Tile, momentum: Tile, factor: Tile, *, to: str) -> Tile:
    return (old + (new * factor - old) * momentum).astype(to)


@kernel
def _backward(
    grad: Tile, hat: Tile, mean: Tile, slope: Tile, variance: Tile, weight: Tile | None, eps: Tile, *, to: str
) -> Tile:
    factor = lang.rsqrt(variance + eps)
    return ((grad - mean - hat * slope) * (factor if weight is None else factor * weight)).astype(to)


def _vectors(name: str, x: Values, **vectors: Values | None) -> None:
    for what, vector in vectors.items():
        if vector is not None and vector.shape != x.shape[1:2]:
            raise ValueError(f"{name}: {what} has shape {vector.shape}; {x.shape[1]} channels need {x.shape[1:2]}")


def _statistics(x: Values, count: int, *, cores: int | None = None) -> tuple[Any, Any]:
    mean = channel_sum(x, 1.0 / count, cores=cores)
    return mean, channel_sum(channel_map(_square, [x], [mean], cores=cores), 1.0 / count, cores=cores)


def batch_norm(
    x: Values,
    running_mean: Values | None = None,
    running_var: Values | None = None,
    weight: Values | None = None,
    bias: Values | None = None,
    *,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """(x - mean) / sqrt(variance + eps) * weight + bias for each channel of x (N, C, ...), all in FP32.

    training: mean and variance are those of x, and the running ones, (C,), where they are given, move towards them by
    `momentum`, the variance with N - 1 in its denominator; otherwise the running ones are used. weight, bias: (C,), or
    none. dtype, here and below: the result's format, that of the first operand by default.
    """
    n, _, length = lengths("batch_norm", x)
    _vectors("batch_norm", x, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias)
    count = n * length
    if not training:
        if running_mean is None or running_var is None:
            raise ValueError("batch_norm: without training it needs running_mean and running_var")
        mean, variance = running_mean, running_var
    else:
        if count == 0:
            raise ValueError(f"batch_norm: x has shape {x.shape}; a channel's mean needs at least one element")
        mean, variance = _statistics(x, count, cores=cores)
        for old, new, factor in ((running_mean, mean, 1.0), (running_var, variance, count / max(1, count - 1))):
            if old is not None:
                _move(old, new, momentum, factor, cores=cores)
    return channel_map(_normal, [x], [mean, variance, weight, bias], float(eps), to=like(x, dtype), cores=cores)


def _move(old: Values, new: Values, momentum: float, factor: float, *, cores: int | None = None) -> None:
    moved = call(
        _running, shaped(old, 1, old.size), shaped(new, 1, new.size), momentum, factor, to=like(old, None), cores=cores
    )
    if isinstance(old, Tensor):
        old.write_codes(moved.codes().reshape(old.shape))
    else:
        old[...] = moved.reshape(old.shape)


def batch_norm_backward(
    grad: Values,
    x: Values,
    weight: Values | None = None,
    *,
    eps: float = 1e-5,
    dtype: str | None = None,
    cores: int | None = None,
) -> tuple[Any, Any, Any]:
    """The gradients of x, weight and bias in training, the last two FP32 (C,)."""
    n, _, length = lengths("batch_norm_backward", x)
    same_shape("batch_norm_backward", grad=grad, x=x)
    _vectors("batch_norm_backward", x, weight=weight)
    if n * length == 0:
        raise ValueError(f"batch_norm_backward: x has shape {x.shape}; a channel's mean needs at least one element")
    mean, variance = _statistics(x, n * length, cores=cores)
    hat = channel_map(_normal, [x], [mean, variance, None, None], float(eps), to="fp32", cores=cores)
    products = channel_map(_product, [grad, hat], [], cores=cores)
    share = 1.0 / (n * length)
    vectors = [channel_sum(grad, share, cores=cores), channel_sum(products, share, cores=cores), variance, weight]
    found = channel_map(_backward, [grad, hat], vectors, float(eps), to=like(grad, dtype), cores=cores)
    return found, channel_sum(products, cores=cores), channel_sum(grad, cores=cores)


def _grouped(name: str, x: Values, num_groups: int) -> tuple[int, int]:
    n, c, length = lengths(name, x)
    if num_groups < 1 or c % num_groups:
        raise ValueError(f"{name}: {c} channels don't fall into {num_groups} groups")
    return n * num_groups, c // num_groups * length


def group_norm(
    x: Values,
    num_groups: int,
    weight: Values | None = None,
    bias: Values | None = None,
    *,
    eps: float = 1e-5,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """Layer norm of each group of C / num_groups channels of each sample of x (N, C, ...), then * weight + bias.

    weight, bias: (C,), or none. Wu and He 2018, arXiv:1803.08494.
    """
    shape = _grouped("group_norm", x, num_groups)
    _vectors("group_norm", x, weight=weight, bias=bias)
    to = like(x, dtype)
    plain = weight is None and bias is None
    hat = layer_norm(shaped(x, *shape), eps=eps, dtype=to if plain else "fp32", cores=cores).reshape(*x.shape)
    return hat if plain else channel_map(_affine, [hat], [weight, bias], to=to, cores=cores)


def group_norm_backward(
    grad: Values,
    x: Values,
    num_groups: int,
    weight: Values | None = None,
    *,
    eps: float = 1e-5,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """The gradient of x, and with a weight those of weight and bias too, FP32 (C,)."""
    shape = _grouped("group_norm_backward", x, num_groups)
    same_shape("group_norm_backward", grad=grad, x=x)
    _vectors("group_norm_backward", x, weight=weight)
    scaled = grad if weight is None else channel_map(_affine, [grad], [weight, None], to="fp32", cores=cores)
    to = like(grad, dtype)
    found = layer_norm_backward(shaped(scaled, *shape), shaped(x, *shape), eps=eps, dtype=to, cores=cores).reshape(
        *x.shape
    )
    if weight is None:
        return found
    hat = layer_norm(shaped(x, *shape), eps=eps, dtype="fp32", cores=cores).reshape(*x.shape)
    return (
        found,
        channel_sum(channel_map(_product, [grad, hat], [], cores=cores), cores=cores),
        channel_sum(grad, cores=cores),
    )


def _axes(x: Any) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def _wide(vector: Any, x: Any, default: float) -> Any:
    return default if vector is None else np.reshape(vector, (1, -1) + (1,) * (x.ndim - 2))


def _batch_reference(x: Any, mean: Any, variance: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    hat = (x - _wide(mean, x, 0)) / np.sqrt(_wide(variance, x, 1) + eps)
    return hat * _wide(weight, x, 1) + _wide(bias, x, 0)


def _training_reference(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _batch_reference(x, x.mean(axis=_axes(x)), x.var(axis=_axes(x)), weight, bias, eps)


def _batch_backward_reference(grad: Any, x: Any, weight: Any = None, eps: float = 1e-5) -> Any:
    hat, axes = _training_reference(x, eps=eps), _axes(x)
    means = [_wide(value.mean(axis=axes), x, 0) for value in (grad, grad * hat)]
    factor = _wide(weight, x, 1) / np.sqrt(_wide(x.var(axis=axes), x, 1) + eps)
    return (grad - means[0] - hat * means[1]) * factor, (grad * hat).sum(axis=axes), grad.sum(axis=axes)


def _group_reference(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    parts = x.reshape(x.shape[0], groups, -1)
    factor = 1 / np.sqrt(parts.var(axis=2, keepdims=True) + eps)
    hat = ((parts - parts.mean(axis=2, keepdims=True)) * factor).reshape(x.shape)
    return hat * _wide(weight, x, 1) + _wide(bias, x, 0)


def _group_backward_reference(grad: Any, x: Any, groups: int, weight: Any = None, eps: float = 1e-5) -> Any:
    shape = (x.shape[0], groups, -1)
    hat = _group_reference(x, groups, eps=eps)
    scaled, parts = (grad * _wide(weight, x, 1)).reshape(shape), hat.reshape(shape)
    means = [value.mean(axis=2, keepdims=True) for value in (scaled, scaled * parts)]
    factor = 1 / np.sqrt(x.reshape(shape).var(axis=2, keepdims=True) + eps)
    found = ((scaled - means[0] - parts * means[1]) * factor).reshape(x.shape)
    return found if weight is None else (found, (grad * hat).sum(axis=_axes(x)), grad.sum(axis=_axes(x)))


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "batch_norm": _batch_reference,
    "batch_norm_backward": _batch_backward_reference,
    "group_norm": _group_reference,
    "group_norm_backward": _group_backward_reference,
}
"""The kernels in NumPy, on float64; batch_norm's with given mean and variance."""
