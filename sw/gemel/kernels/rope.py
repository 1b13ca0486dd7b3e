"""Rotary position embedding: pairs of elements turned by angles that grow with the position."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.channels import repeat
from gemel.kernels.rows import Values, call, filled, like, rows
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor, empty, tensor

__all__ = ["REFERENCES", "rope", "rope_backward"]


def _angles(positions: Tile, high: Tile, low: Tile, sign: float) -> tuple[Tile, Tile]:
    """Cosine and sine of position * frequency: the product in turns, twice FP32 wide, without its whole turns."""
    positions = positions.astype("fp32")
    first = positions * high
    rest = lang.fma(positions, low, lang.fma(positions, high, -first))
    turns = (first - lang.rint(first)) + rest
    return lang.cos(turns), lang.sin(turns) * sign


@kernel
def _halves(a: Tile, b: Tile, positions: Tile, high: Tile, low: Tile, *, sign: float, to: str) -> tuple[Tile, Tile]:
    cos, sin = _angles(positions, high, low, sign)
    return (a * cos - b * sin).astype(to), (b * cos + a * sin).astype(to)


@kernel
def _first(x: Tile, following: Tile, positions: Tile, high: Tile, low: Tile, *, sign: float, to: str) -> Tile:
    """The first elements of pairs, in the even columns."""
    cos, sin = _angles(positions, high, low, sign)
    return (x * cos - following * sin).astype(to)


@kernel
def _second(
    x: Tile, preceding: Tile, first: Tile, positions: Tile, high: Tile, low: Tile, *, sign: float, to: str
) -> Tile:
    """The second elements of pairs, in the even columns here; the others as they are."""
    cos, sin = _angles(positions, high, low, sign)
    second = (x * cos + preceding * sin).astype(to)
    return lang.where((lang.index(x, 1) & 1) == 0, second, first).astype(to)


def _frequencies(dim: int, base: float) -> tuple[Any, Any]:
    """Turns per position of each pair, as the sum of two float32 numbers."""
    turns = base ** (-np.arange(0, dim, 2) / dim) / (2 * np.pi)
    high = turns.astype(np.float32)
    return high, (turns - high).astype(np.float32)


def rope(
    x: Values,
    positions: Values | None = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """Turn pair i of each row of x (..., S, D) by the angle position * base^(-2 i / D).

    The pair is (x[i], x[i + D/2]), as in Llama's and GPT-NeoX's weights, or (x[2 i], x[2 i + 1]) where `interleaved`.
    positions: (S,), int32 or FP32, 0 to S - 1 by default. dtype: the result's format, x's by default. Angles are exact
    to 2^-24 turns at every position below 2^24. Su and others 2021, arXiv:2104.09864.
    """
    return _turned("rope", x, positions, base, interleaved, 1.0, dtype, cores=cores)


def rope_backward(
    grad: Values,
    positions: Values | None = None,
    *,
    base: float = 10000.0,
    interleaved: bool = False,
    dtype: str | None = None,
    cores: int | None = None,
) -> Any:
    """The gradient of rope's operand: grad turned back."""
    return _turned("rope_backward", grad, positions, base, interleaved, -1.0, dtype, cores=cores)


def _turned(
    name: str,
    x: Values,
    positions: Values | None,
    base: float,
    interleaved: bool,
    sign: float,
    dtype: str | None,
    *,
    cores: int | None = None,
) -> Any:
    if x.ndim < 2 or x.shape[-1] % 2 or not x.shape[-1]:
        raise ValueError(f"{name}: x has shape {x.shape}; it needs (..., S, D) with an even D")
    length, dim = x.shape[-2:]
    column = _like(x, np.arange(length, dtype=np.int32)) if positions is None else positions
    if column.shape != (length,):
        raise ValueError(f"{name}: positions have shape {column.shape}; {length} rows need {(length,)}")
    to = like(x, dtype)
    if not x.size:
        return x.reshape(*x.shape)
    matrix = rows(x)
    count = matrix.shape[0]
    column = column.reshape(length, 1)
    if count != length:
        line = column.reshape(1, length)
        column = call(repeat, line, filled(x, (count // length, 1), -0.0), cores=cores).reshape(count, 1)
    tables = _frequencies(dim, base)
    turn = _interleaved if interleaved else _in_halves
    return turn(matrix, column, tables, {"sign": sign, "to": to}, cores=cores).reshape(*x.shape)


def _like(x: Any, array: Any) -> Any:
    return tensor(x.device, array) if isinstance(x, Tensor) else array


def _in_halves(
    x: Any, column: Any, tables: tuple[Any, Any], options: dict[str, Any], *, cores: int | None = None
) -> Any:
    count, dim = x.shape
    halves = x[:, : dim // 2], x[:, dim // 2 :]
    lines = [_like(x, table.reshape(1, -1)) for table in tables]
    if not isinstance(x, Tensor):
        return np.concatenate(call(_halves, *halves, column, *lines, **options, cores=cores), axis=1)
    out = empty(x.device, (count, dim), options["to"])
    call(_halves, *halves, column, *lines, out=(out[:, : dim // 2], out[:, dim // 2 :]), **options, cores=cores)
    return out


def _interleaved(
    x: Any, column: Any, tables: tuple[Any, Any], options: dict[str, Any], *, cores: int | None = None
) -> Any:
    """In two passes over views that are one column apart: no lane reads its neighbour."""
    count, dim = x.shape
    here, following = x[:, : dim - 1], x[:, 1:]
    lines = [np.repeat(table, 2).reshape(1, -1) for table in tables]
    first = [_like(x, np.ascontiguousarray(line[:, : dim - 1])) for line in lines]
    second = [_like(x, np.ascontiguousarray(line[:, 1:])) for line in lines]
    if not isinstance(x, Tensor):
        out = np.zeros((count, dim), np.float32)
        out[:, : dim - 1] = call(_first, here, following, column, *first, **options, cores=cores)
        out[:, 1:] = call(
            _second, following, here, np.ascontiguousarray(out[:, 1:]), column, *second, **options, cores=cores
        )
        return out
    out = empty(x.device, (count, dim), options["to"])
    call(_first, here, following, column, *first, out=out[:, : dim - 1], **options, cores=cores)
    call(_second, following, here, out[:, 1:], column, *second, out=out[:, 1:], **options, cores=cores)
    return out


def _reference(x: Any, positions: Any = None, base: float = 10000.0, interleaved: bool = False) -> Any:
    length, dim = x.shape[-2:]
    positions = np.arange(length) if positions is None else positions
    angles = np.asarray(positions, np.float64)[:, None] * base ** (-np.arange(0, dim, 2) / dim)
    cos, sin = np.cos(angles), np.sin(angles)
    if interleaved:
        a, b = x[..., ::2], x[..., 1::2]
        return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)
    a, b = x[..., : dim // 2], x[..., dim // 2 :]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _backward_reference(grad: Any, positions: Any = None, base: float = 10000.0, interleaved: bool = False) -> Any:
    positions = np.arange(grad.shape[-2]) if positions is None else positions
    return _reference(grad, -np.asarray(positions, np.float64), base, interleaved)


REFERENCES: Mapping[str, Callable[..., Any]] = {"rope": _reference, "rope_backward": _backward_reference}
"""The kernels in NumPy, on float64."""
