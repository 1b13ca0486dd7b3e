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

__all__ = ["CURVES", "REFERENCES", "check_approximate", "gelu", "gelu_backward"]

ROOT = math.sqrt(2 / math.pi)
CUBIC = 0.044715
"""Of GELU's approximation by tanh."""


def _normal(x: Tile) -> Tile:
    """2 Phi(x) - 1, Phi the normal distribution."""
    return lang.erf(x * math.sqrt(0.5))


def _exact(x: Tile) -> Tile:
    half = x * 0.5
    return lang.fma(_normal(x), half, half)


def _exact_slope(x: Tile) -> Tile:
    density = lang.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))
    return lang.fma(x, density, lang.fma(_normal(x), 0.5, 0.5))


def _tanh(x: Tile) -> Tile:
    half = x * 0.5
    inner = lang.fma(x * x, ROOT * CUBIC, ROOT) * x
    return lang.fma(lang.tanh(inner), half, half)


def _tanh_slope(x: Tile) -> Tile:
    square = x * x
    t = lang.tanh(lang.fma(square, ROOT * CUBIC, ROOT) * x)
    slope = lang.fma(square, 3 * ROOT * CUBIC, ROOT) * x * 0.5
    return lang.fma(lang.fma(-t, t, 1.0), slope, lang.fma(t, 0.5, 0.5))


CURVES: Mapping[str, tuple[Callable[[Tile], Tile], Callable[[Tile], Tile]]] = {
    "none": (_exact, _exact_slope),
    "tanh": (_tanh, _tanh_slope),
}
"""GELU and its derivative on tiles, by `approximate`."""


@kernel
def _gelu(x: Tile, *, approximate: str, to: str) -> Tile:
    return CURVES[approximate][0](x).astype(to)


@kernel
def _gelu_backward(grad: Tile, x: Tile, *, approximate: str, to: str) -> Tile:
    return (grad * CURVES[approximate][1](x)).astype(to)


def gelu(
    x: Values,
    *,
    approximate: str = "none",
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x Phi(x), Phi the normal distribution, within 4e-7; or, with approximate="tanh", the usual formula by tanh."""
    check_approximate("gelu", approximate)
    return forward(_gelu, x, dtype=dtype, out=out, approximate=approximate, cores=cores)


def gelu_backward(
    grad: Values,
    x: Values,
    *,
    approximate: str = "none",
    dtype: str | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """grad times the derivative of gelu at x."""
    check_approximate("gelu", approximate)
    return backward(_gelu_backward, grad, x, dtype=dtype, out=out, approximate=approximate, cores=cores)


def check_approximate(name: str, approximate: str) -> None:
    """Raises ValueError for an unknown approximation."""
    if approximate not in CURVES:
        raise ValueError(f'{name}: approximate is "none" or "tanh", not {approximate!r}')


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
