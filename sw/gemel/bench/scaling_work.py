"""What `gemel bench scaling` runs beside products: softmax, attention and convolution of random operands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.device import Device
from gemel.kernels.attention import attention_reference, attention_spec, scaled_dot_product_attention
from gemel.kernels.attention_program import compile_attention
from gemel.kernels.conv import conv2d
from gemel.kernels.softmax import softmax
from gemel.tensors import Tensor, tensor

__all__ = ["OPERATIONS", "ScalingWork"]

HEAD, SIDE, TAPS = 64, 16, 3
"""Columns of a head of attention; pixels of an image's side, and of a kernel's."""


@dataclass(frozen=True)
class ScalingWork:
    """A call on so many cores, and the codes that it gives on any number."""

    title: str
    run: Callable[[int], Tensor]
    expected: NDArray[Any]


def _softmax(device: Device, m: int, n: int, _: int, seed: int) -> ScalingWork:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((m, n), np.float32)
    x = tensor(device, values)
    expected = softmax(values).view(np.uint32)
    return ScalingWork(f"softmax of {m} x {n}", lambda cores: softmax(x, cores=cores), expected)


def _attention(device: Device, m: int, n: int, _: int, seed: int) -> ScalingWork:
    rng = np.random.default_rng(seed)
    if n % HEAD:
        raise ValueError(f"attention has heads of {HEAD} columns; n = {n} isn't a multiple")
    q, k, v = (tensor(device, rng.standard_normal((m, n)), "bf16") for _ in "qkv")
    heads, found = n // HEAD, []
    for head in range(heads):
        own = [x[:, head * HEAD : (head + 1) * HEAD] for x in (q, k, v)]
        spec = attention_spec(own[0], own[1], own[2], own[0], keys=m, causal=False, scale=None)
        block = compile_attention(device.config, spec).block
        found.append(attention_reference(spec, block, own[0].codes(), own[1].codes(), own[2].codes())[0])

    def run(cores: int) -> Tensor:
        out = scaled_dot_product_attention(q, k, v, heads=heads, cores=cores)
        assert isinstance(out, Tensor)
        return out

    return ScalingWork(f"attention of {m} tokens in {heads} heads of {HEAD}", run, np.concatenate(found, 1))


def _conv2d(device: Device, m: int, n: int, k: int, seed: int) -> ScalingWork:
    rng = np.random.default_rng(seed)
    if m % SIDE**2:
        raise ValueError(f"conv2d has images of {SIDE**2} pixels; m = {m} isn't a multiple")
    shapes = (m // SIDE**2, SIDE, SIDE, k), (n, TAPS, TAPS, k)
    arrays = [rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes]
    x, weight = (tensor(device, values) for values in arrays)
    return ScalingWork(
        f"conv2d of {m // SIDE**2} x {SIDE} x {SIDE} x {k} by {n} kernels of {TAPS} x {TAPS}, int8",
        lambda cores: conv2d(x, weight, padding=TAPS // 2, cores=cores),
        conv2d(*arrays, padding=TAPS // 2).view(np.uint32),
    )


OPERATIONS: Mapping[str, Callable[[Device, int, int, int, int], ScalingWork]] = {
    "softmax": _softmax,
    "attention": _attention,
    "conv2d": _conv2d,
}
"""Work by name, of a device, three sizes and a seed."""
