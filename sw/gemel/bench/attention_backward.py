"""The backward pass of attention from memory to memory, measured and compared with its reference."""

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

__all__ = ["run_attention_backward"]

PRODUCTS = 5
"""Matrix products of the pass: S, dP, dV, dQ and dK."""


def run_attention_backward(device: Device, case: Attention) -> dict[str, Any]:
    """Run it after its forward pass and check every bit; the figures by name. Utilisation counts the scores that
    queries see, five products for each."""
    q, k, v, grad = case.operands(device, 4)
    forward = scaled_dot_product_attention(q, k, v, heads=case.heads, causal=case.causal, return_logarithms=True)
    assert isinstance(forward, tuple)
    out, logarithms = forward
    one = (x[:, case.columns(0)] for x in (q, k, v, grad, out, q, k, v))
    spec = backward_spec(*one, keys=case.tokens, group=1, causal=case.causal, scale=None)
    compiled = compile_backward(device.config, spec)
    begun = time.monotonic()
    gradients = scaled_dot_product_attention_backward(
        grad, q, k, v, out, logarithms, heads=case.heads, causal=case.causal
    )
    seconds = time.monotonic() - begun
    assert device.last is not None
    exact = True
    for head in range(case.heads):
        part = case.columns(head)
        own = [x[:, part].codes() for x in (q, grad, out)]
        codes = HeadCodes(own[0], own[1], own[2], logarithms.codes()[head])
        (dq,), dk, dv = attention_backward_reference(spec, [codes], k[:, part].codes(), v[:, part].codes())
        exact &= all(np.array_equal(x[:, part].codes(), y) for x, y in zip(gradients, (dq, dk, dv), strict=True))
    cycles = device.last.cycles or None
    macs = PRODUCTS * case.scores * case.head_dim
    peak = len(device.library_cores) * device.config.macs_16bit
    moved = 8 * q.size * q.format.bits // 8 + 4 * logarithms.size
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
        "exact": exact,
    }
