"""Optimizers: SGD with momentum, AdamW with a stochastically rounded copy, clipping by the gradients' norm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.elementwise import scale
from gemel.kernels.reduce import whole
from gemel.kernels.rows import Values, call, elementwise, name_of, same_shape
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor, empty

__all__ = ["REFERENCES", "adamw", "clip_coefficient", "clip_grad_norm", "grad_norm", "sgd"]


def _copy(param: Tile, to: str | None, seed: Tile, part: int) -> tuple[Tile, ...]:
    """The copy in a narrow format, rounded with random bits."""
    return () if to is None else (param.astype(to, random=lang.random_bits(param, seed, stream=part)),)


@kernel
def _sgd(
    param: Tile,
    grad: Tile,
    velocity: Tile | None,
    factor: Tile | None,
    rate: Tile,
    seed: Tile,
    *,
    momentum: float,
    decay: float,
    nesterov: bool,
    to: str | None,
    part: int = 0,
) -> tuple[Tile, ...]:
    if factor is not None:
        grad = grad * factor
    if decay:
        grad = lang.fma(param, decay, grad)
    kept: tuple[Tile, ...] = ()
    if velocity is not None:
        velocity = lang.fma(velocity, momentum, grad)
        kept = (velocity,)
        grad = lang.fma(velocity, momentum, grad) if nesterov else velocity
    param = lang.fma(-grad, rate, param)
    return param, *kept, *_copy(param, to, seed, part)


@kernel
def _adamw(
    param: Tile,
    grad: Tile,
    mean: Tile,
    square: Tile,
    factor: Tile | None,
    keep: Tile,
    rate: Tile,
    unbias: Tile,
    seed: Tile,
    *,
    betas: tuple[float, float],
    eps: float,
    to: str | None,
    part: int = 0,
) -> tuple[Tile, ...]:
    if factor is not None:
        grad = grad * factor
    mean = lang.fma(grad - mean, 1.0 - betas[0], mean)
    square = lang.fma(lang.fma(grad, grad, -square), 1.0 - betas[1], square)
    step = mean * lang.reciprocal(lang.fma(lang.sqrt(square), unbias, eps))
    param = lang.fma(-step, rate, param * keep)
    return param, mean, square, *_copy(param, to, seed, part)


@kernel
def _squares(x: Tile) -> Tile:
    return (x * x).sum().sum(axis=0)


@kernel
def _total(x: Tile) -> Tile:
    return x.sum(axis=0)


@kernel
def _root(x: Tile) -> Tile:
    return lang.sqrt(x.sum(axis=0))


@kernel
def _coefficient(norm: Tile, most: Tile) -> Tile:
    return lang.minimum(lang.divide(most, norm + 1e-6), 1.0)


def _updated(
    name: str,
    kept: dict[str, Values],
    copy: Any,
    arguments: tuple[Any, ...],
    *,
    cores: int | None = None,
    **options: Any,
) -> Any:
    """Run an optimizer's kernel in place on tensors; new arrays of arrays."""
    for what, value in kept.items():
        if name_of(value) != "fp32":
            raise ValueError(f"{name}: {what} is {name_of(value)}; it must be fp32")
    formats = ["fp32"] * len(kept)
    targets: list[Any] = list(kept.values())
    to = copy if copy is None or isinstance(copy, str) else name_of(copy)
    if to is not None:
        formats.append(to)
        targets.append(copy)
    run = {"_sgd": _sgd, "_adamw": _adamw}[f"_{name}"]
    out = tuple(targets) if isinstance(targets[0], Tensor) else None
    return elementwise(run, *arguments, formats=formats, out=out, to=to, **options, cores=cores)


def _check(name: str, copy: Any, param: Values, **others: Values | None) -> None:
    same_shape(name, param=param, **{what: value for what, value in others.items() if value is not None})
    if isinstance(param, Tensor) and copy is not None:
        if not isinstance(copy, Tensor):
            raise TypeError(f"{name}: copy is a tensor beside tensors, not {copy!r}")
        same_shape(name, param=param, copy=copy)


def _one(factor: Values | None) -> Any:
    return None if factor is None else factor.reshape(1, 1)


def sgd(
    param: Values,
    grad: Values,
    velocity: Values | None = None,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    copy: Any = None,
    seed: int = 0,
    grad_scale: Values | None = None,
    cores: int | None = None,
) -> Any:
    """One step of gradient descent, in place: g = grad + weight_decay * param; velocity = momentum * velocity + g;
    param = param - lr * velocity (with `nesterov`, lr * (g + momentum * velocity); without a velocity, lr * g).

    param, velocity: FP32, of one shape with grad, which has any format; velocity starts as zeros. copy: a tensor in a
    narrow format that gets the new parameters, rounded stochastically by `seed`. grad_scale: (1,), a factor of the
    gradient, as clip_coefficient gives it. Returns (param, velocity, copy) of what is given; of arrays, for which
    `copy` is a format's name, new ones.
    """
    if velocity is None and (momentum or nesterov):
        raise ValueError(f"sgd: momentum {momentum} needs a velocity")
    _check("sgd", copy, param, grad=grad, velocity=velocity)
    kept = {"param": param} | ({} if velocity is None else {"velocity": velocity})
    arguments = (param, grad, velocity, _one(grad_scale), float(lr), int(seed))
    options = {"momentum": float(momentum), "decay": float(weight_decay), "nesterov": nesterov}
    return _updated("sgd", kept, copy, arguments, **options, cores=cores)


def adamw(
    param: Values,
    grad: Values,
    exp_avg: Values,
    exp_avg_sq: Values,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    copy: Any = None,
    seed: int = 0,
    grad_scale: Values | None = None,
    cores: int | None = None,
) -> Any:
    """One step of AdamW, in place: m = m + (1 - beta1) (g - m); v = v + (1 - beta2) (g^2 - v);
    param = param (1 - lr weight_decay) - lr / (1 - beta1^step) m / (sqrt(v / (1 - beta2^step)) + eps).

    param, exp_avg (m), exp_avg_sq (v): FP32, of one shape with grad, which has any format. step: 1 for the first.
    copy, seed, grad_scale and what is returned as in `sgd`. Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    if step < 1:
        raise ValueError(f"adamw: step counts from 1, it can't be {step}")
    _check("adamw", copy, param, grad=grad, exp_avg=exp_avg, exp_avg_sq=exp_avg_sq)
    keep, rate = 1 - lr * weight_decay, lr / (1 - betas[0] ** step)
    unbias = 1 / math.sqrt(1 - betas[1] ** step)
    kept = {"param": param, "exp_avg": exp_avg, "exp_avg_sq": exp_avg_sq}
    arguments = (param, grad, exp_avg, exp_avg_sq, _one(grad_scale), float(keep), float(rate), unbias, int(seed))
    return _updated("adamw", kept, copy, arguments, betas=tuple(betas), eps=float(eps), cores=cores)


def grad_norm(grads: Sequence[Values], *, cores: int | None = None) -> Any:
    """The root of the sum of all gradients' squares, FP32 (1,)."""
    if not grads:
        raise ValueError("grad_norm: there are no gradients")
    parts = [whole("grad_norm", grad, _squares, _total, cores=cores) for grad in grads]
    if isinstance(parts[0], Tensor):
        column = empty(parts[0].device, (len(parts), 1), "fp32")
        for i, part in enumerate(parts):
            call(_total, part, out=column[i : i + 1, :], cores=cores)
    else:
        column = np.concatenate(parts)
    return call(_root, column, cores=cores).reshape(1)


def clip_coefficient(norm: Values, max_norm: float, *, cores: int | None = None) -> Any:
    """min(1, max_norm / (norm + 1e-6)), FP32 (1,): the factor that brings gradients of this norm down to max_norm."""
    return call(_coefficient, norm.reshape(1, 1), float(max_norm), cores=cores).reshape(1)


def clip_grad_norm(grads: Sequence[Values], max_norm: float, *, cores: int | None = None) -> Any:
    """Scale all gradients, in place, by clip_coefficient of their norm; returns the norm before, FP32 (1,)."""
    norm = grad_norm(grads, cores=cores)
    factor = clip_coefficient(norm, max_norm, cores=cores)
    for grad in grads:
        if isinstance(grad, Tensor):
            scale(grad, factor, out=grad, cores=cores)
        else:
            grad[...] = scale(grad, factor, cores=cores)
    return norm


def _sgd_reference(
    param: Any,
    grad: Any,
    velocity: Any = None,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
) -> Any:
    grad = grad + weight_decay * param
    if velocity is None:
        return param - lr * grad
    velocity = momentum * velocity + grad
    return param - lr * (grad + momentum * velocity if nesterov else velocity), velocity


def _adamw_reference(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Any:
    mean = betas[0] * exp_avg + (1 - betas[0]) * grad
    square = betas[1] * exp_avg_sq + (1 - betas[1]) * grad**2
    root = np.sqrt(square / (1 - betas[1] ** step)) + eps
    return param * (1 - lr * weight_decay) - lr / (1 - betas[0] ** step) * mean / root, mean, square


def _norm_reference(grads: Sequence[Any]) -> Any:
    return np.sqrt([np.sum([(grad.astype(np.float64) ** 2).sum() for grad in grads])])


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "sgd": _sgd_reference,
    "adamw": _adamw_reference,
    "grad_norm": _norm_reference,
    "clip_coefficient": lambda norm, max_norm: np.minimum(1, max_norm / (norm + 1e-6)),
    "clip_grad_norm": _norm_reference,
}
"""The kernels in NumPy, on float64."""
