"""What the benches of the vector core run, with random operands: softmax, norms, functions and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel import lang
from gemel.bench.vector import Work
from gemel.lang import Kernel, Tile, kernel

__all__ = ["ELEMENTWISE", "OPTIMIZERS", "elementwise", "norm", "optimizer", "softmax"]

WIDTH = 128
"""Elements of a row of elementwise work."""


@kernel
def _softmax(x: Tile) -> Tile:
    e = lang.exp(x - x.max())
    return e * lang.reciprocal(e.sum())


@kernel
def _layer_norm(x: Tile, weight: Tile, bias: Tile) -> Tile:
    d = x - x.mean()
    return lang.fma(d * lang.rsqrt((d * d).mean() + 1e-5), weight, bias)


@kernel
def _gelu_tanh(x: Tile) -> Tile:
    half = x * 0.5
    root = math.sqrt(2 / math.pi)
    return lang.fma(lang.tanh(lang.fma(x * x, root * 0.044715, root) * x), half, half)


@kernel
def _adamw(p: Tile, m: Tile, v: Tile, g: Tile, rate: Tile, m_scale: Tile, v_scale: Tile, seed: Tile) -> Any:
    m = lang.fma(g - m, 0.1, m)
    v = lang.fma(lang.fma(g, g, -v), 0.001, v)
    step = m * m_scale * lang.reciprocal(lang.sqrt(v * v_scale) + 1e-8)
    p = lang.fma(-rate, step, p * 0.99999)
    return p, m, v, p.astype("bf16", random=lang.random_bits(p, seed))


def _both(inner: Kernel) -> Callable[..., Any]:
    def run(*args: Any) -> Any:
        return inner.interpret(*args) if isinstance(args[0], np.ndarray) else inner(*args)

    return run


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {"gelu_tanh": _both(_gelu_tanh)}
"""Functions of one operand by name."""
OPTIMIZERS = ("adamw",)


def softmax(rows: int, cols: int, seed: int) -> Work:
    """Softmax of each row."""
    return Work(function=_both(_softmax), operands=(_normal(seed, rows, cols),), elements=rows * cols)


def norm(rows: int, cols: int, seed: int) -> Work:
    """Layer norm of each row, with weight and bias."""
    x = _normal(seed, rows + 2, cols)
    return Work(function=_both(_layer_norm), operands=(x[:rows], x[-2:-1], x[-1:]), elements=rows * cols)


def elementwise(op: str, elements: int, seed: int) -> Work:
    """A function of each element. Raises ValueError for an unknown one."""
    if op not in ELEMENTWISE:
        raise ValueError(f"no elementwise function {op!r}; there are {', '.join(ELEMENTWISE)}")
    return Work(function=ELEMENTWISE[op], operands=(_flat(seed, elements),), elements=elements)


def optimizer(name: str, elements: int, seed: int) -> Work:
    """A step of an optimizer with FP32 weights and a copy in BF16, rounded stochastically."""
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}")
    p, m, v, g = (_flat(seed + i, elements) for i in range(4))
    operands = (p, m * np.float32(0.1), v * v, g, 1e-3, 1.3, 1.1, seed)
    return Work(function=_both(_adamw), operands=operands, elements=elements)


def _flat(seed: int, elements: int) -> NDArray[np.float32]:
    cols = math.gcd(elements, WIDTH)
    return _normal(seed, elements // cols, cols)


def _normal(seed: int, rows: int, cols: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (rows, cols)).astype(np.float32)
