"""Reductions along the last or the first dimension or over all elements, and running sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, call, cut, like, rows, shaped
from gemel.kernels.split import cores_for
from gemel.lang import Kernel, Tile, kernel
from gemel.tensors import Tensor, empty

__all__ = ["REFERENCES", "argmax", "argmin", "cumsum", "max", "mean", "min", "sum", "whole"]

Axis = int | None
SHARED = 1 << 15
"""Elements from which on cores share what one number is made of, in a launch more."""


@kernel
def _reduce(x: Tile, factor: Tile | None = None, *, name: str, axis: int, to: str) -> Tile:
    found = getattr(x, name)(axis)
    return (found if factor is None else found * factor).astype(to)


@kernel
def _first(x: Tile, *, largest: bool) -> Tile:
    return lang.argmax(x) if largest else lang.argmin(x)


@kernel
def _first_row(x: Tile, extreme: Tile) -> Tile:
    return lang.where(lang.isnan(x) | (x == extreme), lang.index(x, 0), x.shape[0]).min(axis=0)


@kernel
def _cumsum(x: Tile, *, to: str) -> Tile:
    return x.cumsum().astype(to)


def whole(
    what: str,
    x: Values,
    of: Kernel,
    fold: Kernel,
    *args: Any,
    each: Callable[..., Any] | None = None,
    cores: int | None = None,
    **options: Any,
) -> Any:
    """One number (1, 1) of all elements: `of` for matrices of them, `fold` for a column of what it gives.

    Dense operands are cut into rows of 128 elements, and what is left is a matrix of its own. each: `of` of each row,
    where rows may be taken in any order: cores share them, and one goes on with what they give.
    """
    if not x.size:
        raise ValueError(f"{what}: x has shape {x.shape}; it needs at least one element")
    if each is not None and isinstance(x, Tensor) and x.size >= SHARED and len(cores_for(x.device, cores)) > 1:
        x = _of_rows(x, each, cores)
    pieces = [piece for (piece,) in cut([x])]
    if isinstance(x, Tensor):
        parts = empty(x.device, (len(pieces), 1), _wide(x))
        for i, piece in enumerate(pieces):
            call(of, piece, out=parts[i : i + 1, :], cores=cores)
    else:
        parts = np.concatenate([call(of, piece, cores=cores) for piece in pieces])
    return call(fold, parts, *args, **options, cores=cores)


def _wide(x: Values) -> str:
    """The format of what is found."""
    return "int32" if like(x, None) == "int32" else "fp32"


def _of_rows(x: Tensor, each: Callable[..., Any], cores: int | None) -> Tensor:
    """What `each` gives of every row."""
    pieces = [piece for (piece,) in cut([x])]
    ends = np.cumsum([piece.shape[0] for piece in pieces])
    found = empty(x.device, (int(ends[-1]), 1), _wide(x))
    for piece, end in zip(pieces, ends, strict=True):
        each(piece, out=found[int(end) - piece.shape[0] : int(end), :], cores=cores)
    return found.reshape(found.size)


def _shape(x: Values, axis: int, keepdims: bool) -> tuple[int, ...]:
    one = (1,) if keepdims else ()
    found = (*x.shape[:-1], *one) if axis == 1 else (*one, *x.shape[1:])
    return found or (1,)


def _axis(name: str, x: Values, axis: int) -> int:
    """1 for the last dimension, 0 for the first."""
    if axis not in (-1, 0, x.ndim - 1):
        raise ValueError(f"{name} goes along the first or the last of {x.ndim} dimensions, not along {axis}")
    found = 1 if axis in (-1, x.ndim - 1) else 0
    if not x.shape[-1 if found else 0]:
        raise ValueError(f"{name}: x has shape {x.shape}; it needs at least one element along dimension {axis}")
    return found


def _matrix(x: Values, axis: int) -> Any:
    return rows(x) if axis == 1 else shaped(x, x.shape[0], x.size // x.shape[0]) if x.ndim != 2 else x


def _reduced(
    name: str, x: Values, axis: Axis, keepdims: bool, dtype: str | None, *, mean: bool = False, cores: int | None = None
) -> Any:
    to = like(x, dtype)
    if axis is None:
        factor = (1.0 / x.size,) if mean and x.size else ()
        each = None if name == "sum" else partial(call, _reduce, name=name, axis=1, to=_wide(x))
        found = whole(
            "mean" if mean else name, x, _ALL[name], _reduce, *factor, name=name, axis=0, to=to, each=each, cores=cores
        )
        return found.reshape(*(1,) * (x.ndim if keepdims else 1))
    along = _axis("mean" if mean else name, x, axis)
    factor = (1.0 / x.shape[-1 if along else 0],) if mean else ()
    found = call(_reduce, _matrix(x, along), *factor, name=name, axis=along, to=to, cores=cores)
    return found.reshape(*_shape(x, along, keepdims))


def _of_all(name: str) -> Kernel:
    def reduce(x: Tile) -> Tile:
        return getattr(getattr(x, name)(1), name)(0)

    return kernel(reduce)


_ALL = {name: _of_all(name) for name in ("sum", "max", "min")}


def sum(
    x: Values, axis: Axis = None, *, keepdims: bool = False, dtype: str | None = None, cores: int | None = None
) -> Any:
    """The sum along the last dimension (-1), the first (0), or over all (``None``: (1,)), in FP32; int32 wraps.

    The order is the language's, the same on every chip. dtype, here and below: the result's format, x's by default.
    """
    return _reduced("sum", x, axis, keepdims, dtype, cores=cores)


def mean(
    x: Values, axis: Axis = None, *, keepdims: bool = False, dtype: str | None = None, cores: int | None = None
) -> Any:
    """The sum times the FP32 number nearest to 1 / count."""
    return _reduced("sum", x, axis, keepdims, dtype, mean=True, cores=cores)


def max(
    x: Values, axis: Axis = None, *, keepdims: bool = False, dtype: str | None = None, cores: int | None = None
) -> Any:
    """The largest element, NaN where there is one; -0 is below +0."""
    return _reduced("max", x, axis, keepdims, dtype, cores=cores)


def min(
    x: Values, axis: Axis = None, *, keepdims: bool = False, dtype: str | None = None, cores: int | None = None
) -> Any:
    """The smallest element, NaN where there is one; -0 is below +0."""
    return _reduced("min", x, axis, keepdims, dtype, cores=cores)


def argmax(x: Values, axis: int = -1, *, keepdims: bool = False, cores: int | None = None) -> Any:
    """The number of the first largest element (of the first NaN, where there is one) along a dimension, int32."""
    return _position("argmax", x, axis, keepdims, cores=cores)


def argmin(x: Values, axis: int = -1, *, keepdims: bool = False, cores: int | None = None) -> Any:
    """The number of the first smallest element (of the first NaN, where there is one) along a dimension, int32."""
    return _position("argmin", x, axis, keepdims, cores=cores)


def _position(name: str, x: Values, axis: int, keepdims: bool, *, cores: int | None = None) -> Any:
    along = _axis(name, x, axis)
    matrix = _matrix(x, along)
    if along == 1:
        found = call(_first, matrix, largest=name == "argmax", cores=cores)
    else:
        found = call(
            _first_row, matrix, call(_reduce, matrix, name=name[3:], axis=0, to="fp32", cores=cores), cores=cores
        )
    return found.reshape(*_shape(x, along, keepdims))


def cumsum(x: Values, *, dtype: str | None = None, out: Tensor | None = None, cores: int | None = None) -> Any:
    """Running sums along the last dimension, in FP32 (int32 wraps)."""
    found = call(_cumsum, rows(x), out=None if out is None else rows(out), to=like(x, dtype), cores=cores)
    return found.reshape(*x.shape) if out is None else out


def _reference(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=None, keepdims=False: np.reshape(
        found := function(x, axis=axis, keepdims=keepdims), np.shape(found) or (1,)
    )


REFERENCES: Mapping[str, Callable[..., Any]] = {
    **{name: _reference(getattr(np, name)) for name in ("sum", "mean", "max", "min", "argmax", "argmin")},
    "cumsum": lambda x: np.cumsum(x, axis=-1),
}
"""The kernels in NumPy, on float64."""
