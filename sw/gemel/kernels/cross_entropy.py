"""Cross-entropy of logits and integer labels, and its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, call, filled, like, name_of, rows
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "cross_entropy", "cross_entropy_backward"]

IGNORE = -100
"""The label of rows that don't count, as in PyTorch."""
REDUCTIONS = ("mean", "sum", "none")


@kernel
def _losses(x: Tile, labels: Tile, ignore: Tile, *, smoothing: float, reduction: str) -> Tile:
    shifted = x - x.max()
    log_sum = lang.log(lang.exp(shifted).sum())
    loss = log_sum - lang.where(lang.index(x, 1) == labels, shifted, 0.0).sum()
    if smoothing:
        loss = loss * (1.0 - smoothing) + (log_sum - shifted.mean()) * smoothing
    loss = lang.where(labels == ignore, 0.0, loss)
    if reduction == "none":
        return loss
    total = loss.sum(axis=0)
    return total if reduction == "sum" else lang.divide(total, _counted(labels, ignore))


def _counted(labels: Tile, ignore: Tile) -> Tile:
    return lang.where(labels == ignore, 0.0, 1.0).sum(axis=0)


@kernel
def _share(grad: Tile, labels: Tile, ignore: Tile) -> Tile:
    """What a row that counts has of the mean's gradient."""
    return lang.divide(grad, _counted(labels, ignore))


@kernel
def _backward(grad: Tile, x: Tile, labels: Tile, ignore: Tile, *, smoothing: float, to: str) -> Tile:
    e = lang.exp(x - x.max())
    hit = lang.index(x, 1) == labels
    rest = smoothing / x.shape[1]
    wanted = lang.where(hit, 1.0 - smoothing + rest, rest)
    gradient = (e * lang.reciprocal(e.sum()) - wanted) * grad
    return lang.where(labels == ignore, 0.0, gradient).astype(to)


def _labels(name: str, x: Values, labels: Values, reduction: str) -> Any:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{name}: reduction is one of {', '.join(REDUCTIONS)}, not {reduction!r}")
    if labels.shape != x.shape[:-1]:
        raise ValueError(f"{name}: labels have shape {labels.shape}; logits of shape {x.shape} need {x.shape[:-1]}")
    if name_of(labels) != "int32":
        raise ValueError(f"{name}: labels are int32, not {name_of(labels)}")
    return labels.reshape(labels.size, 1)


def cross_entropy(
    x: Values,
    labels: Values,
    *,
    ignore_index: int = IGNORE,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    cores: int | None = None,
) -> Any:
    """-log softmax(x)[label] of each row of logits x (..., C), FP32: labels' shape for "none", else (1,).

    labels: int32, 0 to C - 1, or `ignore_index`: such rows give 0 and don't count in the mean. label_smoothing: the
    share of the target that all classes have in common.
    """
    column = _labels("cross_entropy", x, labels, reduction)
    options = {"smoothing": float(label_smoothing), "reduction": reduction}
    losses = call(_losses, rows(x), column, int(ignore_index), **options, cores=cores)
    return losses.reshape(*labels.shape) if reduction == "none" else losses.reshape(1)


def cross_entropy_backward(
    grad: Values | None,
    x: Values,
    labels: Values,
    *,
    ignore_index: int = IGNORE,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """(softmax(x) - target) grad, in x's shape; 0 for rows whose label is `ignore_index`.

    grad: the gradient of the loss, (1,), or in labels' shape for "none"; ``None`` stands for 1. dtype: the result's
    format, x's by default.
    """
    column = _labels("cross_entropy_backward", x, labels, reduction)
    wanted = labels.shape if reduction == "none" else (1,)
    given = filled(x, wanted, 1.0) if grad is None else grad
    if given.shape != wanted:
        raise ValueError(f"cross_entropy_backward: grad has shape {given.shape}; that of {reduction!r} is {wanted}")
    given = given.reshape(given.size, 1)
    if reduction == "mean":
        given = call(_share, given, column, int(ignore_index), cores=cores)
    found = call(
        _backward,
        *(given, rows(x), column, int(ignore_index)),
        out=None if out is None else rows(out),
        smoothing=float(label_smoothing),
        to=like(x, dtype),
        cores=cores,
    )
    return found.reshape(*x.shape) if out is None else out


def _parts(x: Any, labels: Any, ignore_index: int, label_smoothing: float) -> tuple[Any, Any, Any]:
    """Log-probabilities, targets and which rows count, all of rows."""
    x, labels = x.reshape(-1, x.shape[-1]), labels.reshape(-1, 1)
    shifted = x - x.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    target = (np.arange(x.shape[1]) == labels) * (1 - label_smoothing) + label_smoothing / x.shape[1]
    return logs, target, labels[:, 0] != ignore_index


def _reference(
    x: Any, labels: Any, ignore_index: int = IGNORE, label_smoothing: float = 0.0, reduction: str = "mean"
) -> Any:
    logs, target, counts = _parts(x, labels, ignore_index, label_smoothing)
    losses = np.where(counts, -(logs * target).sum(axis=1), 0)
    if reduction == "none":
        return losses.reshape(labels.shape)
    return np.array([losses.sum() / (counts.sum() if reduction == "mean" else 1)])


def _backward_reference(
    grad: Any,
    x: Any,
    labels: Any,
    ignore_index: int = IGNORE,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Any:
    logs, target, counts = _parts(x, labels, ignore_index, label_smoothing)
    grad = (1.0 if grad is None else grad.reshape(-1, 1)) / (counts.sum() if reduction == "mean" else 1)
    return ((np.exp(logs) - target) * counts[:, None] * grad).reshape(x.shape)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "cross_entropy": _reference,
    "cross_entropy_backward": _backward_reference,
}
"""The kernels in NumPy, on float64."""
