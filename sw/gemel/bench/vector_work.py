"""What the benches of the vector core run, with random operands: softmax, norms, functions and optimizers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.bench.vector import Work
from gemel.kernels.activations import relu, sigmoid, silu, tanh
from gemel.kernels.functions import exp, log
from gemel.kernels.gelu import gelu
from gemel.kernels.norm import layer_norm
from gemel.kernels.optimizer import adamw
from gemel.kernels.softmax import softmax as softmax_of_rows
from gemel.tensors import Tensor, empty

__all__ = ["ELEMENTWISE", "OPTIMIZERS", "elementwise", "norm", "optimizer", "softmax"]


def _adamw(seed: int, *operands: Any) -> Any:
    """The first step, in place on tensors."""
    weights = operands[0]
    copy = empty(weights.device, weights.shape, "bf16") if isinstance(weights, Tensor) else "bf16"
    return adamw(*operands, step=1, copy=copy, seed=seed)


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "relu": relu,
    "silu": silu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "exp": exp,
    "log": log,
}
"""Functions of one operand by name."""
OPTIMIZERS: Mapping[str, Callable[..., Any]] = {"adamw": _adamw}
"""Steps of optimizers by name: of a seed, weights, gradients and the FP32 states."""


def softmax(rows: int, cols: int, seed: int) -> Work:
    """Softmax of each row."""
    return Work(function=softmax_of_rows, operands=(_normal(seed, rows, cols),), elements=rows * cols)


def norm(rows: int, cols: int, seed: int) -> Work:
    """Layer norm of each row, with weight and bias."""
    operands = _normal(seed, rows, cols), *_normal(seed + 1, 2, cols)
    return Work(function=layer_norm, operands=operands, elements=rows * cols)


def elementwise(op: str, elements: int, seed: int) -> Work:
    """A function of each element. Raises ValueError for an unknown one."""
    if op not in ELEMENTWISE:
        raise ValueError(f"no elementwise function {op!r}; there are {', '.join(ELEMENTWISE)}")
    return Work(function=ELEMENTWISE[op], operands=(_normal(seed, elements),), elements=elements)


def optimizer(name: str, elements: int, seed: int) -> Work:
    """A step of an optimizer with FP32 weights and a copy in BF16, rounded stochastically."""
    if name not in OPTIMIZERS:
        raise ValueError(f"no optimizer {name!r}; there are {', '.join(OPTIMIZERS)}")
    weights, gradients, mean, square = _normal(seed, 4, elements)
    operands = weights, gradients, mean, square * square
    return Work(function=partial(OPTIMIZERS[name], seed), operands=operands, elements=elements)


def _normal(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
