"""What attention and its gradients ask of their operands alike: heads, keys and the scale."""

from __future__ import annotations

import math

import numpy as np

from gemel.tensors import Tensor

__all__ = ["check_heads", "factors"]

LARGEST_HEAD = 256


def check_heads(q: Tensor, k: Tensor, v: Tensor, heads: int, kv_heads: int) -> int:
    """The head's dimension, once heads and keys fit; q, k and v are matrices."""
    if heads < 1 or kv_heads < 1 or heads % kv_heads or q.shape[1] % heads:
        raise ValueError(f"{heads} heads and {kv_heads} of keys don't divide {q.shape[1]} columns of q")
    d = q.shape[1] // heads
    if d % 32 or not 32 <= d <= LARGEST_HEAD:
        raise ValueError(f"a head's dimension is a multiple of 32 up to {LARGEST_HEAD}, not {d}")
    if k.shape != v.shape or k.shape[1] != kv_heads * d:
        raise ValueError(f"k {k.shape} and v {v.shape} should be (tokens, {kv_heads * d})")
    return d


def factors(scale: float | None, d: int) -> tuple[float, np.float32]:
    """The scale, 1 / sqrt(d) by default, and what scores are multiplied by for exp2: scale * log2(e)."""
    value = 1 / math.sqrt(d) if scale is None else scale
    factor = np.float32(value * math.log2(math.e))
    if not 0 < factor < np.inf:
        raise ValueError(f"attention takes a positive finite scale, not {scale}")
    return value, factor
