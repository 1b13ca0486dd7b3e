"""Quantisation by FP32 scales: of the whole tensor, a row, a column, 1 x 128 elements or 128 x 128 elements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from gemel import lang
from gemel.dtypes import dtype as format_of
from gemel.kernels.channels import repeat
from gemel.kernels.reduce import whole
from gemel.kernels.rows import Values, call, elementwise, filled, like, rows, shaped
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor, empty
from gemel_golden.formats import Format, decode
from gemel_golden.rounding import encode

__all__ = ["LEAST", "REFERENCES", "amax", "dequantise", "factors", "quantise", "scaled"]

BLOCK = 128
KINDS = ("tensor", "row", "column", "1x128", "128x128")
LEAST = 2.0**-100
"""The amax of a group whose own is smaller: its scale and the scale's reciprocal stay normal numbers."""


@kernel
def _amax(x: Tile, *, axis: int) -> Tile:
    return abs(x).max(axis)


@kernel
def _amax_all(x: Tile) -> Tile:
    return abs(x).max().max(axis=0)


@kernel
def _largest(x: Tile, *, axis: int) -> Tile:
    return x.max(axis)


def _inverse(largest: Tile, most: float) -> tuple[Tile, Tile]:
    """What elements are multiplied by, and the scale that undoes it."""
    largest = lang.maximum(largest, LEAST)
    return lang.divide(most, largest), lang.divide(largest, most)


@kernel
def factors(largest: Tile, *, most: float) -> tuple[Tile, Tile]:
    """(most / amax, amax / most), each rounded once."""
    return _inverse(largest, most)


@kernel
def scaled(x: Tile, factor: Tile, *, to: str) -> Tile:
    """x * factor in a format."""
    return (x * factor).astype(to)


@kernel
def _by_row(x: Tile, *, most: float, to: str) -> tuple[Tile, Tile]:
    inverse, scale = _inverse(abs(x).max(), most)
    return (x * inverse).astype(to), scale


def amax(x: Values, axis: int | None = None, *, cores: int | None = None) -> Any:
    """The largest magnitude, FP32: of all elements, (1,), or along the last dimension (-1) or the first of two (0)."""
    if axis is None:
        each = partial(call, _amax, axis=1)
        return whole("amax", x, _amax_all, _largest, axis=0, each=each, cores=cores).reshape(1)
    if axis not in (-1, 0):
        raise ValueError(f"amax goes along the last dimension (-1), the first (0), or over all (None), not {axis}")
    matrix = _matrix("amax", x) if axis == 0 else rows(x)
    found = call(_amax, matrix, axis=-axis, cores=cores)
    return found.reshape(*((x.shape[:-1] or (1,)) if axis else x.shape[1:]))


def _matrix(name: str, x: Values) -> Any:
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name}: x has shape {x.shape}; it needs rows and columns")
    return x


def _most(name: str, fmt: Format) -> float:
    if fmt.bits > 8 or fmt.kind == "scale":
        raise ValueError(f"{name}: {fmt} isn't a format to quantise to; there are e4m3, e5m2, e2m1, int8, uint8, int4")
    return fmt.max_finite


def _check(name: str, x: Values, by: str) -> Any:
    if by not in KINDS:
        raise ValueError(f"{name}: by is one of {', '.join(KINDS)}, not {by!r}")
    if "128" in by and x.shape[-1] % BLOCK:
        raise ValueError(f"{name}: rows of {x.shape[-1]} elements don't fall into blocks of {BLOCK}")
    return _matrix(name, x)


def quantise(x: Values, dtype: str, *, by: str = "tensor", cores: int | None = None) -> tuple[Any, Any]:
    """(codes, scales) of a matrix x (R, C): x is about codes * scale, and a group's largest magnitude becomes the
    format's largest number.

    dtype: e4m3, e5m2, e2m1, int8 or int4. by: what shares a scale, and the scales' shape: "tensor" (1,), "row" (R,)
    (a token, or an output channel), "column" (C,), "1x128" (R, C / 128), "128x128" (ceil(R / 128), C / 128). With
    amax the group's largest magnitude, at least 2^-100, codes are x * (largest / amax) to nearest even, scales
    amax / largest, both quotients rounded once in FP32 for every amax below 2^126.
    """
    _check("quantise", x, by)
    fmt = format_of(dtype)
    options = {"most": _most("quantise", fmt), "to": fmt.name}
    count, columns = x.shape
    if by == "row":
        codes, scales = call(_by_row, x, **options, cores=cores)
        return codes, scales.reshape(count)
    if by == "1x128":
        blocks = shaped(x, count * columns // BLOCK, BLOCK)
        codes, scales = call(_by_row, blocks, **options, cores=cores)
        return codes.reshape(count, columns), scales.reshape(count, columns // BLOCK)
    if by == "tensor":
        inverse, scales = call(factors, amax(x, cores=cores).reshape(1, 1), most=options["most"], cores=cores)
        return elementwise(scaled, x, inverse, formats=[fmt.name], to=fmt.name, cores=cores), scales.reshape(1)
    if by == "column":
        inverse, scales = call(factors, call(_amax, x, axis=0, cores=cores), most=options["most"], cores=cores)
        return call(scaled, x, inverse, to=fmt.name, cores=cores), scales.reshape(columns)
    inverse, scales = call(factors, _block_amax(x, cores=cores), most=options["most"], cores=cores)
    return _by_block(x, inverse, fmt.name, cores=cores), scales


def dequantise(
    codes: Values, scales: Values, *, by: str = "tensor", dtype: str = "fp32", cores: int | None = None
) -> Any:
    """codes * scale of each element, as `quantise` gave them; dtype: the result's format."""
    _check("dequantise", codes, by)
    count, columns = codes.shape
    shapes = {
        "tensor": (1,),
        "row": (count,),
        "column": (columns,),
        "1x128": (count, columns // BLOCK),
        "128x128": (-(-count // BLOCK), columns // BLOCK),
    }
    if scales.shape != shapes[by]:
        raise ValueError(f"dequantise: scales have shape {scales.shape}; {codes.shape} by {by} needs {shapes[by]}")
    to = like(codes, dtype)
    if by == "128x128":
        return _by_block(codes, scales, to, cores=cores)
    if by == "1x128":
        blocks = shaped(codes, count * columns // BLOCK, BLOCK)
        return call(scaled, blocks, scales.reshape(scales.size, 1), to=to, cores=cores).reshape(count, columns)
    if by == "tensor":
        return elementwise(scaled, codes, scales.reshape(1, 1), formats=[to], to=to, cores=cores)
    return call(scaled, codes, scales.reshape(*((count, 1) if by == "row" else (1, columns))), to=to, cores=cores)


def _stacked(x: Values, pieces: list[Callable[..., Any]], heights: list[int], columns: int) -> Any:
    """FP32 results of calls, one below the other; each takes `out`."""
    if not isinstance(x, Tensor):
        return np.concatenate([piece() for piece in pieces])
    found = empty(x.device, (int(np.sum(heights)), columns), "fp32")
    start = 0
    for piece, height in zip(pieces, heights, strict=True):
        piece(out=found[start : start + height, :])
        start += height
    return found


def _block_amax(x: Values, *, cores: int | None = None) -> Any:
    """The largest magnitude of each 128 x 128 block."""
    count, columns = x.shape
    width = columns // BLOCK
    row = call(_amax, shaped(x, count * width, BLOCK), axis=1, cores=cores).reshape(count, width)
    groups = [row[start : start + BLOCK, :] for start in range(0, count, BLOCK)]
    pieces = [lambda out=None, group=group: call(_largest, group, axis=0, out=out, cores=cores) for group in groups]
    return _stacked(x, pieces, [1] * len(groups), width)


def _by_block(x: Values, factor: Any, to: str, *, cores: int | None = None) -> Any:
    """x times the factor of each 128 x 128 block."""
    count, columns = x.shape
    width = columns // BLOCK
    heights = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
    pieces = [
        lambda out=None, i=i, height=height: call(
            repeat, factor[i : i + 1, :], filled(x, (height, 1), -0.0), out=out, cores=cores
        )
        for i, height in enumerate(heights)
    ]
    wide = _stacked(x, pieces, heights, width).reshape(count * width, 1)
    return call(scaled, shaped(x, count * width, BLOCK), wide, to=to, cores=cores).reshape(count, columns)


def _groups(x: Any, by: str) -> Any:
    """The amax of each element's group."""
    magnitude = np.abs(x)
    if by in ("tensor", "row", "column"):
        axis = {"tensor": None, "row": 1, "column": 0}[by]
        return np.broadcast_to(magnitude.max(axis=axis, keepdims=True), x.shape)
    height = BLOCK if by == "128x128" else 1
    starts = np.arange(0, x.shape[0], height), np.arange(0, x.shape[1], BLOCK)
    found = np.maximum.reduceat(np.maximum.reduceat(magnitude, starts[0], axis=0), starts[1], axis=1)
    return np.repeat(np.repeat(found, height, axis=0)[: x.shape[0]], BLOCK, axis=1)


def _reference(x: Any, dtype: str, by: str = "tensor") -> tuple[Any, Any]:
    fmt = format_of(dtype)
    most = np.float32(fmt.max_finite)
    x = np.float32(x)
    largest = np.maximum(_groups(x, by), np.float32(LEAST))
    codes = decode(encode(x * (most / largest), fmt)[0], fmt)
    steps = {"tensor": x.shape, "row": (1, x.shape[1]), "column": (x.shape[0], 1)}
    rows_, columns = steps.get(by, (BLOCK if by == "128x128" else 1, BLOCK))
    scales = (largest / most)[::rows_, ::columns]
    return codes, scales if "128" in by else scales.reshape(-1)


def _dequantise_reference(codes: Any, scales: Any, by: str = "tensor") -> Any:
    if "128" in by:
        height = BLOCK if by == "128x128" else 1
        scales = np.repeat(np.repeat(scales, height, axis=0)[: codes.shape[0]], BLOCK, axis=1)
    return np.float32(codes) * (scales[:, None] if by == "row" else scales)


def _amax_reference(x: Any, axis: int | None = None) -> Any:
    return np.abs(x).max(axis=axis).reshape(-1 if axis is None else np.abs(x).max(axis=axis).shape)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "amax": _amax_reference,
    "quantise": _reference,
    "dequantise": _dequantise_reference,
}
"""The kernels in NumPy on float32, with the kernels' bits; codes as numbers."""
