"""The backward pass of attention of one head from memory to memory, measured and compared with its reference."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gemel.bench.attention import LANES, Attention
from gemel.driver.device import Device
from gemel.kernels.attention import scaled_dot_product_attention
from gemel.kernels.attention_backward import (
    HeadCodes,
    attention_backward_reference,
    backward_spec,
    scaled_dot_product_attention_backward,
)
from gemel.kernels.attention_backward_program import compile_backward
from gemel.tensors import tensor

__all__ = ["run_attention_backward"]

PRODUCTS = 5
"""Matrix products of the pass: S, dP, dV, dQ and dK."""


def run_attention_backward(device: Device, case: Attention) -> dict[str, Any]:
    """Run it after its forward pass and check every bit; the figures by name. Utilisation counts the scores that
    queries see, five products for each."""
    rng = np.random.default_rng(case.seed)
    shape = (case.tokens, case.head_dim)
    q, k, v, grad = (tensor(device, rng.standard_normal(shape), case.dtype) for _ in range(4))
    forward = scaled_dot_product_attention(q, k, v, causal=case.causal, return_logarithms=True)
    assert isinstance(forward, tuple)
    out, logarithms = forward
    spec = backward_spec(q, k, v, grad, out, q, k, v, keys=case.tokens, group=1, causal=case.causal, scale=None)
    compiled = compile_backward(device.config, spec)
    begun = time.monotonic()
    gradients = scaled_dot_product_attention_backward(grad, q, k, v, out, logarithms, causal=case.causal)
    seconds = time.monotonic() - begun
    assert device.last is not None
    head = HeadCodes(q.codes(), grad.codes(), out.codes(), logarithms.codes()[0])
    (dq,), dk, dv = attention_backward_reference(spec, [head], k.codes(), v.codes())
    cycles = device.last.cycles or None
    macs = PRODUCTS * case.scores * case.head_dim
    peak = len(device.library_cores) * device.config.macs_16bit
    moved = 8 * case.tokens * case.head_dim * q.format.bits // 8 + 4 * case.tokens
    return {
        "cycles": cycles,
        "macs": macs,
        "peak_macs_per_cycle": peak,
        "utilisation": macs / (cycles * peak) if cycles else None,
        "bandwidth_utilisation": moved / (cycles * device.bandwidth) if cycles else None,
        "cycles_per_vector": cycles * LANES / case.scores if cycles else None,
        "tensor_busy": device.last.counters.get("tensor_busy") or None,
        "vector_busy": device.last.counters.get("vector_busy") or None,
        "keys_per_block": compiled.blocking.keys,
        "queries_per_piece": compiled.blocking.queries,
        "pieces_in_l1": compiled.blocking.pieces,
        "seconds": seconds,
        "mmac_per_second": macs / seconds / 1e6,
        "exact": all(
            np.array_equal(found.codes(), wanted) for found, wanted in zip(gradients, (dq, dk, dv), strict=True)
        ),
    }
