"""Softmax and log-softmax along the last dimension, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, like, rowwise, same_shape
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


@kernel
def _softmax(x: Tile, *, to: str) -> Tile:
    e = lang.exp(x - x.max())
    return (e * lang.reciprocal(e.sum())).astype(to)


@kernel
def _softmax_backward(grad: Tile, y: Tile, *, to: str) -> Tile:
    return (y * (grad - (grad * y).sum())).astype(to)


@kernel
def _log_softmax(x: Tile, *, to: str) -> Tile:
    shifted = x - x.max()
    return (shifted - lang.log(lang.exp(shifted).sum())).astype(to)


@kernel
def _log_softmax_backward(grad: Tile, y: Tile, *, to: str) -> Tile:
    return (grad - lang.exp(y) * grad.sum()).astype(to)


def softmax(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """e^x / sum(e^x) along the last dimension, the largest element subtracted first, all in FP32.

    dtype, here and below: the result's format, that of the first operand by default.
    """
    return rowwise(_softmax, x, out=out, to=like(x, dtype), cores=cores)


def softmax_backward(
    grad: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """y (grad - sum(grad y)) with y the result of softmax."""
    same_shape("softmax_backward", grad=grad, y=y)
    return rowwise(_softmax_backward, grad, y, out=out, to=like(grad, dtype), cores=cores)


def log_softmax(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """x - log(sum(e^x)) along the last dimension, the largest element subtracted first."""
    return rowwise(_log_softmax, x, out=out, to=like(x, dtype), cores=cores)


def log_softmax_backward(
    grad: Values, y: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None
) -> Any:
    """grad - e^y sum(grad) with y the result of log_softmax."""
    same_shape("log_softmax_backward", grad=grad, y=y)
    return rowwise(_log_softmax_backward, grad, y, out=out, to=like(grad, dtype), cores=cores)


def _log_softmax_reference(x: Any) -> Any:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "softmax": lambda x: np.exp(_log_softmax_reference(x)),
    "softmax_backward": lambda grad, y: y * (grad - (grad * y).sum(axis=-1, keepdims=True)),
    "log_softmax": _log_softmax_reference,
    "log_softmax_backward": lambda grad, y: grad - np.exp(y) * grad.sum(axis=-1, keepdims=True),
}
"""The kernels in NumPy, on float64."""
