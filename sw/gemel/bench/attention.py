"""Attention from memory to memory, measured and compared with its reference."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from gemel.driver.device import Device
from gemel.dtypes import dtype
from gemel.kernels.attention import attention_reference, attention_spec, scaled_dot_product_attention
from gemel.kernels.attention_program import compile_attention
from gemel.tensors import Tensor, tensor

__all__ = ["Attention", "run_attention"]

LANES = 32


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Self-attention of a few heads: one for each core of the chip at most, so that one launch has them all."""

    tokens: int
    head_dim: int
    heads: int = 1
    dtype: str = "bf16"
    causal: bool = False
    seed: int = 0

    @property
    def scores(self) -> int:
        """Pairs of a query and a key that it sees."""
        return self.heads * (self.tokens * (self.tokens + 1) // 2 if self.causal else self.tokens**2)

    def operands(self, device: Device, count: int) -> list[Tensor]:
        """So many random tensors (tokens, heads * head_dim). Raises ValueError for more heads than cores."""
        most = len(device.library_cores)
        if not 1 <= self.heads <= most:
            raise ValueError(f"a launch on {most} of the chip's cores has 1..{most} heads here, not {self.heads}")
        rng, shape = np.random.default_rng(self.seed), (self.tokens, self.heads * self.head_dim)
        return [tensor(device, rng.standard_normal(shape), self.dtype) for _ in range(count)]

    def columns(self, head: int) -> slice:
        """Where a head is in the operands."""
        return slice(head * self.head_dim, (head + 1) * self.head_dim)


def run_attention(device: Device, case: Attention) -> dict[str, Any]:
    """Run it and check every bit; the figures by name. Utilisation counts the scores that queries see."""
    q, k, v = case.operands(device, 3)
    scaled_dot_product_attention(q[:1], k[:1], v[:1], heads=case.heads)  # compiles
    begun = time.monotonic()
    out = scaled_dot_product_attention(q, k, v, heads=case.heads, causal=case.causal)
    seconds = time.monotonic() - begun
    assert device.last is not None and not isinstance(out, tuple)
    first = case.columns(0)
    spec = attention_spec(*(x[:, first] for x in (q, k, v, out)), keys=case.tokens, causal=case.causal, scale=None)
    compiled = compile_attention(device.config, spec)
    exact = True
    for head in map(case.columns, range(case.heads)):
        own = [x[:, head].codes() for x in (q, k, v)]
        expected, _ = attention_reference(spec, compiled.block, own[0], own[1], own[2])
        exact &= np.array_equal(out[:, head].codes(), expected)
    cycles = device.last.cycles or None
    fmt = dtype(case.dtype)
    macs = 2 * case.scores * case.head_dim
    peak = len(device.library_cores) * (device.config.macs_16bit if fmt.bits > 8 else device.config.macs_8bit)
    moved = 3 * q.size * fmt.bits // 8 + out.size * out.format.bits // 8
    return {
        "cycles": cycles,
        "macs": macs,
        "peak_macs_per_cycle": peak,
        "utilisation": macs / (cycles * peak) if cycles else None,
        "bandwidth_utilisation": moved / (cycles * device.bandwidth) if cycles else None,
        "cycles_per_vector": cycles * LANES / case.scores if cycles else None,
        "tensor_busy": device.last.counters.get("tensor_busy") or None,
        "vector_busy": device.last.counters.get("vector_busy") or None,
        "keys_per_block": compiled.block,
        "seconds": seconds,
        "mmac_per_second": macs / seconds / 1e6,
        "exact": exact,
    }
