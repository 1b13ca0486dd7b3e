"""Dropout by counter-based random bits, which the backward pass makes again instead of keeping a mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import WIDTH, Values, elementwise, like
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor
from gemel_golden.philox import element_words

__all__ = ["REFERENCES", "dropout", "dropout_backward"]

BITS = 24
"""Random bits that are compared with the probability."""


@kernel
def _dropout(x: Tile, threshold: Tile, factor: Tile, seed: Tile, *, to: str, part: int = 0) -> Tile:
    random = lang.shift_right(lang.random_bits(x, seed, stream=part), 32 - BITS)
    return lang.where(random < threshold, 0.0, x * factor).astype(to)


def _numbers(name: str, p: float) -> tuple[int, float]:
    if not 0 <= p < 1:
        raise ValueError(f"{name}: p is a probability below 1, not {p}")
    return round(p * 2**BITS), 1 / (1 - p)


def dropout(
    x: Values,
    p: float = 0.5,
    seed: int = 0,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """Each element 0 with probability p, else x / (1 - p).

    An element is dropped when the high 24 bits of its Philox word are below p 2^24. Element i of a dense tensor has
    the word i of `gemel_golden.philox.element_words(seed, 0)`, and those beyond the last whole row of 512 elements
    begin again at 0 of stream 1. Of other views, element (r, c) has the word r * (columns rounded up to 32) + c.
    dtype: the result's format, x's by default.
    """
    threshold, factor = _numbers("dropout", p)
    to = like(x, dtype)
    return elementwise(_dropout, x, threshold, factor, int(seed), formats=[to], out=out, to=to, cores=cores)


def dropout_backward(
    grad: Values,
    p: float = 0.5,
    seed: int = 0,
    *,
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """grad / (1 - p) where `dropout` with the same p and seed kept the element, else 0; grad in the same shape."""
    return dropout(grad, p, seed, dtype=dtype, out=out, cores=cores)


def _reference(x: Any, p: float = 0.5, seed: int = 0) -> Any:
    whole = x.size // WIDTH * WIDTH
    streams = [(0, whole), (1, x.size - whole)] if whole else [(0, x.size)]
    words = np.concatenate([element_words(seed, stream, np.arange(count)) for stream, count in streams])
    kept = (words >> np.uint32(32 - BITS)) >= round(p * 2**BITS)
    return np.where(kept.reshape(x.shape), x * np.float32(1 / (1 - p)), 0)


REFERENCES: Mapping[str, Callable[..., Any]] = {"dropout": _reference, "dropout_backward": _reference}
"""The kernels in NumPy; float32 operands give the kernels' bits."""
