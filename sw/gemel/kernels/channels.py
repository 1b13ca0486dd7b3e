"""Operands with a channel dimension, (N, C, ...): sums over all but the channels, and values for each channel."""

from __future__ import annotations

from typing import Any

from gemel.kernels.rows import Values, call, filled, shaped
from gemel.lang import Kernel, Tile, kernel

__all__ = ["channel_map", "channel_sum", "lengths", "repeat"]


@kernel
def _row_sums(x: Tile) -> Tile:
    return x.sum()


@kernel
def _column_sums(x: Tile, factor: Tile) -> Tile:
    return x.sum(axis=0) * factor


@kernel
def repeat(line: Tile, column: Tile) -> Tile:
    """A line (1, C) of FP32 or of integers below 2^24, N times: FP32 (N, C). column: (N, 1), all -0."""
    return line.astype("fp32") + column


def lengths(name: str, x: Values) -> tuple[int, int, int]:
    """N, C and the elements of one channel of one sample. Raises ValueError for a vector."""
    if x.ndim < 2:
        raise ValueError(f"{name}: x has shape {x.shape}; it needs at least the dimensions (N, C)")
    n, c = x.shape[:2]
    return n, c, x.size // max(1, n * c)


def channel_sum(x: Values, factor: float = 1.0, *, cores: int | None = None) -> Any:
    """FP32 (C,): the sum over all dimensions of x (N, C, ...) but the channels', times `factor`.

    First along each channel of each sample, then over the samples in their order.
    """
    n, c, length = lengths("channel_sum", x)
    if length > 1:
        x = call(_row_sums, shaped(x, n * c, length), cores=cores).reshape(n, c)
    return call(_column_sums, shaped(x, n, c), factor, cores=cores).reshape(c)


def channel_map(
    kernel: Kernel,
    operands: list[Values],
    vectors: list[Values | None],
    *args: Any,
    cores: int | None = None,
    **options: Any,
) -> Any:
    """Run an elementwise kernel on operands (N, C, ...) and vectors (C,) of channels; one result in x's shape."""
    x = operands[0]
    n, c, length = lengths("channel_map", x)
    if length == 1:
        matrices = [shaped(value, n, c) for value in operands]
        lines = [None if v is None else shaped(v, 1, c) for v in vectors]
    else:
        matrices = [shaped(value, n * c, length) for value in operands]
        column = filled(x, (n, 1), -0.0)
        lines = [
            None if v is None else call(repeat, shaped(v, 1, c), column, cores=cores).reshape(n * c, 1) for v in vectors
        ]
    return call(kernel, *matrices, *lines, *args, **options, cores=cores).reshape(*x.shape)
