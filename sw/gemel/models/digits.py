"""Handwritten digits: the data, a small network in INT8 and FP8, and its layers on a chip, compared byte for byte."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemel.driver.device import Device, TraceEvent
from gemel.dtypes import from_codes
from gemel.kernels.matmul import matmul
from gemel.kernels.matmul_reference import matmul_reference
from gemel.models.mlp import Dense, forward, train
from gemel.models.quantise import QuantisedDense, quantise
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.formats import Format
from gemel_golden.rounding import encode

__all__ = ["FORMATS", "Digits", "LayerRun", "NetworkRun", "load_digits", "run_network", "train_network"]

FORMATS = ("int8", "e4m3")
"""Formats of weights and activations that the demo runs."""
SIZES = (64, 64, 32, 10)
TEST_IMAGES = 360
PIXEL_LEVELS = np.float32(16)
"""Pixels are 0..16, whole numbers that both formats hold exactly."""


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Images (count, 64) of pixels 0..16 and labels (count,), split by a fixed seed."""

    train_images: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def load_digits(seed: int = 0) -> Digits:
    """The 1797 UCI digits of scikit-learn, 360 of them for the test."""
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the handwritten digits are a file of scikit-learn: pip install 'gemel[demo]'")
    # The file alone: importing the package takes seconds.
    table = np.loadtxt(Path(package.origin).parent / "datasets/data/digits.csv.gz", np.float32, delimiter=",")
    images, labels = table[:, :-1], table[:, -1].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(images))
    test, rest = order[:TEST_IMAGES], order[TEST_IMAGES:]
    return Digits(
        train_images=images[rest], train_labels=labels[rest], test_images=images[test], test_labels=labels[test]
    )


def train_network(digits: Digits, seed: int = 0) -> list[Dense]:
    """Train 64-64-32-10 on pixels scaled to 0..1."""
    return train(digits.train_images / PIXEL_LEVELS, digits.train_labels, SIZES, seed=seed)


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer on a chip: its shape, output codes (m, n), cycles and the instructions of its launch."""

    m: int
    n: int
    k: int
    out: Format
    codes: NDArray[np.generic]
    cycles: int
    total_cycles: int
    events: list[TraceEvent] = field(repr=False)

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return self.m * self.n * self.k


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """A network on a chip, with the host's seconds for all its layers."""

    layers: list[LayerRun]
    seconds: float

    @property
    def logits(self) -> NDArray[np.float32]:
        """The last layer's values (images, classes)."""
        last = self.layers[-1]
        return from_codes(last.codes, last.out)

    @property
    def predictions(self) -> NDArray[np.int64]:
        """The class of the largest logit of each image."""
        return self.logits.argmax(axis=1)


def quantised_network(layers: Sequence[Dense], digits: Digits, fmt: str) -> list[QuantisedDense]:
    """The trained network in one format, calibrated on the training images."""
    return quantise(layers, digits.train_images / PIXEL_LEVELS, fmt, input_scale=1 / float(PIXEL_LEVELS))


def float_accuracy(layers: Sequence[Dense], digits: Digits) -> float:
    """Accuracy of the unquantised network on the test images."""
    logits = forward(layers, digits.test_images / PIXEL_LEVELS)[-1]
    return float((logits.argmax(axis=1) == digits.test_labels).mean())


def run_network(device: Device, layers: Sequence[QuantisedDense], images: NDArray[np.float32]) -> NetworkRun:
    """All layers on `device`, each one matrix product of what the one before left in device memory."""
    x = tensor(device, images, layers[0].fmt)
    placed = [_place(device, layer) for layer in layers]
    device.events()
    runs = []
    outputs = []
    begun = time.monotonic()
    for layer, (weight, scale, bias) in zip(layers, placed, strict=True):
        epilogue = "relu_bias" if layer.relu else "bias"
        outputs.append(matmul(x, weight.T, out_dtype=layer.out, scale=scale, bias=bias, epilogue=epilogue))
        result = device.last
        assert result is not None
        runs.append((x.shape, result.cycles, result.total_cycles, device.events()))
        x = outputs[-1]
    seconds = time.monotonic() - begun
    return NetworkRun(
        layers=[
            LayerRun(
                m=shape[0],
                k=shape[1],
                n=output.shape[1],
                out=output.format,
                codes=output.codes(),
                cycles=cycles,
                total_cycles=total,
                events=events,
            )
            for (shape, cycles, total, events), output in zip(runs, outputs, strict=True)
        ],
        seconds=seconds,
    )


def _place(device: Device, layer: QuantisedDense) -> tuple[Tensor, Tensor, Tensor]:
    weight = empty(device, layer.weight.shape, layer.fmt)
    weight.write_codes(layer.weight)
    return weight, tensor(device, layer.scale), tensor(device, layer.bias)


def reference_codes(layers: Sequence[QuantisedDense], images: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    """Every layer's output codes in NumPy, by the numerics contract alone."""
    x, fmt = encode(images, layers[0].fmt)[0], layers[0].fmt
    codes = []
    for layer in layers:
        x, _ = matmul_reference(
            x, fmt, layer.weight.T, layer.fmt, layer.out, scale=layer.scale, bias=layer.bias, relu=layer.relu
        )
        fmt = layer.out
        codes.append(x)
    return codes


def first_difference(found: NDArray[np.generic], expected: NDArray[np.generic]) -> str | None:
    """Where two arrays of codes differ first, as words, or ``None``."""
    if found.shape != expected.shape:
        return f"shape {found.shape} is not {expected.shape}"
    places = np.argwhere(found != expected)
    if not len(places):
        return None
    place = tuple(map(int, places[0]))
    return (
        f"{len(places)} of {found.size} elements differ, first {place}: "
        f"{int(found[place]):#x} instead of {int(expected[place]):#x}"
    )
