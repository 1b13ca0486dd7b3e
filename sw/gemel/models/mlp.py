"""A multi-layer perceptron in NumPy: training from a fixed seed, and its floating-point inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dense", "forward", "train"]

FloatArray = NDArray[np.floating[Any]]
BATCH = 60
"""Small enough that NumPy's BLAS stays on one thread: its threads wait for each other on a busy machine."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """One layer: x @ weight.T + bias, then ReLU unless it is the last. weight (outputs, inputs), bias (outputs,)."""

    weight: FloatArray
    bias: FloatArray
    relu: bool


def forward(layers: Sequence[Dense], x: FloatArray) -> list[FloatArray]:
    """The output (batch, outputs) of every layer for inputs (batch, inputs)."""
    outputs = []
    for layer in layers:
        x = x @ layer.weight.T + layer.bias
        if layer.relu:
            x = np.maximum(x, np.float32(0))
        outputs.append(x)
    return outputs


def train(
    x: FloatArray, labels: NDArray[np.integer], sizes: Sequence[int], *, seed: int, epochs: int = 40, rate: float = 4e-3
) -> list[Dense]:
    """Fit a classifier by Adam on small batches, with a little noise on the inputs; the same layers for the same seed.

    Parameters: x (count, sizes[0]), labels (count,) in 0..sizes[-1]-1, sizes of all layers from inputs to classes.
    """
    rng = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [rng.standard_normal(shape, np.float32) * np.float32((2 / shape[1]) ** 0.5) for shape in shapes]
    parameters = [*weights, *(np.zeros(outputs, np.float32) for outputs, _ in shapes)]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    wanted = np.eye(sizes[-1], dtype=np.float32)[labels]
    batches = len(x) // BATCH
    steps = epochs * batches
    order = np.arange(len(x))
    for step in range(steps):
        batch = step % batches
        if batch == 0:
            order = rng.permutation(len(x))
        chosen = order[batch * BATCH :][:BATCH]
        noise = rng.standard_normal((BATCH, sizes[0]), np.float32)
        noisy = x[chosen] + np.float32(0.1) * noise
        slope = rate * (1 - step / steps)
        gradients = _gradients(_layers(parameters), noisy, wanted[chosen])
        for p, g, (mean, square) in zip(parameters, gradients, moments, strict=True):
            mean += np.float32(0.1) * (g - mean)
            square += np.float32(0.01) * (g * g - square)
            corrected = np.sqrt(square / np.float32(1 - 0.99 ** (step + 1))) + np.float32(1e-8)
            p -= np.float32(slope / (1 - 0.9 ** (step + 1))) * mean / corrected
    return _layers(parameters)


def _layers(parameters: Sequence[FloatArray]) -> list[Dense]:
    depth = len(parameters) // 2
    pairs = zip(parameters[:depth], parameters[depth:], strict=True)
    return [Dense(weight=w, bias=b, relu=i < depth - 1) for i, (w, b) in enumerate(pairs)]


def _gradients(layers: Sequence[Dense], x: FloatArray, wanted: FloatArray) -> list[FloatArray]:
    """Gradients of the mean cross-entropy (with weight decay) by all weights, then by all biases."""
    outputs = forward(layers, x)
    logits = outputs[-1] - outputs[-1].max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    delta = (exponentials / exponentials.sum(axis=1, keepdims=True) - wanted) / np.float32(len(x))
    by_weight: list[FloatArray] = []
    by_bias: list[FloatArray] = []
    for i in range(len(layers) - 1, -1, -1):
        inputs = outputs[i - 1] if i else x
        by_weight.insert(0, delta.T @ inputs + np.float32(5e-4) * layers[i].weight)
        by_bias.insert(0, delta.sum(axis=0))
        if i:
            delta = (delta @ layers[i].weight) * (inputs > 0)
    return by_weight + by_bias
