"""GELU and its gradient, exact and by the usual approximation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.kernels.rows import Values, backward, forward
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor

__all__ = ["REFERENCES", "gelu", "gelu_backward"]

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715
"""Of GELU's approximation by tanh."""


def _normal(x: Tile) -> Tile:
    """2 Phi(x) - 1, Phi the normal distribution."""
    return lang.erf(x * math.sqrt(0.5))


@kernel
def _gelu(x: Tile, *, to: str) -> Tile:
    half = x * 0.5
    return lang.fma(_normal(x), half, half).astype(to)


@kernel
def _gelu_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    density = lang.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return (grad * lang.fma(x, density, lang.fma(_normal(x), 0.5, 0.5))).astype(to)


@kernel
def _gelu_tanh(x: Tile, *, to: str) -> Tile:
    half = x * 0.5
    inner = lang.fma(x * x, ROOT * CUBIC, ROOT) * x
    return lang.fma(lang.tanh(inner), half, half).astype(to)


@kernel
def _gelu_tanh_backward(grad: Tile, x: Tile, *, to: str) -> Tile:
    square = x * x
    t = lang.tanh(lang.fma(square, ROOT * CUBIC, ROOT) * x)
    slope = lang.fma(square, 3 * ROOT * CUBIC, ROOT) * x * 0.5
    total = lang.fma(lang.fma(-t, t, 1.0), slope, lang.fma(t, 0.5, 0.5))
    return (grad * total).astype(to)


def gelu(x: Values, *, approximate: str = "none", dtype: str | None = None, out: Tensor | None = None) -> Any:
    """x Phi(x), Phi the normal distribution, within 4e-7; or, with approximate="tanh", the usual formula by tanh."""
    return forward(_gelus(approximate)[0], x, dtype=dtype, out=out)


def gelu_backward(
    grad: Values, x: Values, *, approximate: str = "none", dtype: str | None = None, out: Tensor | None = None
) -> Any:
    """grad times the derivative of gelu at x."""
    return backward(_gelus(approximate)[1], grad, x, dtype=dtype, out=out)


def _gelus(approximate: str) -> tuple[Any, Any]:
    kinds = {"none": (_gelu, _gelu_backward), "tanh": (_gelu_tanh, _gelu_tanh_backward)}
    if approximate not in kinds:
        raise ValueError(f'gelu: approximate is "none" or "tanh", not {approximate!r}')
    return kinds[approximate]


def _phi(x: Any) -> Any:
    return np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[np.float64])(x)


def _gelu_reference(x: Any, approximate: str = "none") -> Any:
    return x * _phi(x) if approximate == "none" else x / 2 * (1 + np.tanh(ROOT * (x + CUBIC * x**3)))


def _gelu_slope(x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return _phi(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    t = np.tanh(ROOT * (x + CUBIC * x**3))
    return (1 + t) / 2 + x / 2 * (1 - t * t) * ROOT * (1 + 3 * CUBIC * x * x)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "gelu": _gelu_reference,
    "gelu_backward": lambda grad, x, approximate="none": grad * _gelu_slope(x, approximate),
}
"""The kernels in NumPy, on float64."""
