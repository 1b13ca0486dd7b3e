"""The largest elements of rows, and samples of the next token from logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.reduce import argmax
from gemel.kernels.rows import Values, call, filled, like, rows
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor, empty
from gemel_golden.philox import element_words

__all__ = ["REFERENCES", "sample", "top_k"]

AT_ONCE = 2
"""Elements that one program finds."""


def _order(x: Tile) -> Tile:
    """Integers in the order of FP32 numbers: -0 below +0, NaN above all."""
    bits = x.bits()
    return lang.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)


@kernel
def _top(x: Tile, slots: Tile, before: Tile | None, place: Tile | None, *, count: int, to: str) -> tuple[Tile, Tile]:
    """The largest elements behind the one that comes last in `before` and `place` (rows, 1)."""
    order, columns, slot = _order(x), lang.index(x, 1), lang.index(slots, 1)
    last = None if before is None or place is None else (_order(before), place)
    values: Tile | float = 0.0
    places: Tile | int = 0
    for number in range(count):
        left = order
        if last is not None:
            available = (order < last[0]) | ((order == last[0]) & (columns > last[1]))
            left = lang.where(available, order, -(1 << 31))
        largest = left.max()
        found = lang.where(left == largest, columns, x.shape[1]).min()
        last = largest, found
        value = lang.where(largest < 0, largest ^ 0x7FFF_FFFF, largest).from_bits()
        values = lang.where(slot == number, value, values)
        places = lang.where(slot == number, found, places)
    assert isinstance(values, Tile) and isinstance(places, Tile), "count is at least 1"
    return values.astype(to), places


@kernel
def _noisy(x: Tile, seed: Tile, factor: Tile, least: Tile | None) -> Tile:
    """Logits with Gumbel noise: the largest has the softmax's probability."""
    random = lang.shift_right(lang.random_bits(x, seed), 9).astype("fp32")
    uniform = (random + 0.5) * (1.0 / (1 << 23))
    noisy = lang.fma(x, factor, -lang.log(-lang.log(uniform)))
    if least is not None:
        noisy = lang.where(x < least, -np.inf, noisy)
    return noisy


def top_k(x: Values, k: int, *, dtype: str | None = None, cores: int | None = None) -> tuple[Any, Any]:
    """The k largest elements of each row of x (..., C), the largest first, and their columns, int32: both (..., k).

    Of equal elements the first comes first; NaN is above all others, -0 below +0. dtype: the values' format, x's by
    default. A pass over the row finds each element, so that k is meant to be small.
    """
    if not 1 <= k <= x.shape[-1]:
        raise ValueError(f"top_k: k is {k}; rows of {x.shape[-1]} have 1 to {x.shape[-1]} largest elements")
    matrix, to = rows(x), like(x, dtype)
    count = matrix.shape[0]
    parts: list[tuple[Any, Any]] = []
    last: tuple[Any, Any] = (None, None)
    whole = (empty(x.device, (count, k), to), empty(x.device, (count, k), "int32")) if isinstance(x, Tensor) else None
    for start in range(0, k, AT_ONCE):
        size = min(AT_ONCE, k - start)
        slots = filled(x, (1, size), 0.0)
        out = None if whole is None else (whole[0][:, start : start + size], whole[1][:, start : start + size])
        parts.append(call(_top, matrix, slots, *last, out=out, count=size, to=to, cores=cores))
        last = parts[-1][0][:, size - 1 :], parts[-1][1][:, size - 1 :]
    values, places = whole or (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
    shape = (*x.shape[:-1], k)
    return values.reshape(*shape), places.reshape(*shape)


def sample(
    logits: Values, temperature: float = 1.0, seed: int = 0, *, top_k: int | None = None, cores: int | None = None
) -> Any:
    """A class for each row of logits (..., C), int32 (...): with the probabilities softmax(logits / temperature).

    Temperature 0 takes the largest logit. top_k: only logits that aren't below the k-th largest count. The noise of
    element (r, c) is -log(-log(u)) with u from the high 23 bits of the Philox word r * (C rounded up to 32) + c of
    (seed, 0): another seed for each step, the same tokens on every chip.
    """
    if temperature < 0:
        raise ValueError(f"sample: temperature is at least 0, not {temperature}")
    if temperature == 0:
        return argmax(logits, cores=cores)
    matrix = rows(logits)
    least = None if top_k is None else _TOP_K(matrix, top_k, dtype="fp32", cores=cores)[0][:, top_k - 1 :]
    found = argmax(call(_noisy, matrix, int(seed), 1.0 / temperature, least, cores=cores), cores=cores)
    return found.reshape(*(logits.shape[:-1] or (1,)))


_TOP_K = top_k


def _top_k_reference(x: Any, k: int) -> tuple[Any, Any]:
    bits = np.float32(x).view(np.int32)
    order = np.where(bits < 0, bits ^ 0x7FFF_FFFF, bits).astype(np.int64)
    places = np.argsort(-order, axis=-1, kind="stable")[..., :k]
    return np.take_along_axis(x, places, axis=-1), places


def _sample_reference(logits: Any, temperature: float = 1.0, seed: int = 0, top_k: int | None = None) -> Any:
    if temperature == 0:
        return np.argmax(logits, axis=-1)
    matrix = logits.reshape(-1, logits.shape[-1])
    count, columns = matrix.shape
    index = np.arange(count)[:, None] * (-(-columns // 32) * 32) + np.arange(columns)
    uniform = ((element_words(seed, 0, index) >> 9) + 0.5) / (1 << 23)
    noisy = matrix / temperature - np.log(-np.log(uniform))
    if top_k is not None:
        noisy = np.where(matrix < np.sort(matrix, axis=1)[:, [-top_k]], -np.inf, noisy)
    return np.argmax(noisy, axis=1).reshape(logits.shape[:-1])


REFERENCES: Mapping[str, Callable[..., Any]] = {"top_k": _top_k_reference, "sample": _sample_reference}
"""The kernels in NumPy, on float64; samples are the same unless two noisy logits are closer than FP32 tells."""
