"""Attention's backward pass on the simulated nano chip: golden's bytes, whatever the memory does."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.kernels.attention import scaled_dot_product_attention
from gemel.kernels.attention_backward import scaled_dot_product_attention_backward
from gemel.sim.rtl_backend import RtlBackend

MOODS = [
    {"latency": 100},
    {"latency": 3, "stalls": 0.3, "seed": 1},
    {"latency": 250, "stalls": 0.6, "reorder": True, "seed": 2},
    {"latency": 40, "bandwidth": 17.0, "stalls": {"r": 0.5, "b": 0.8}, "seed": 3},
]
"""Memories that shift LOAD and STORE against the tensor core and the vector core."""


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[gemel.Device, gemel.Device]]:
    with gemel.open("nano") as rtl, gemel.open("nano", "golden") as golden:
        yield rtl, golden


@pytest.mark.parametrize(
    ("queries", "keys", "heads", "fmt", "causal"),
    [(40, 96, 1, "bf16", False), (70, 130, 1, "bf16", True), (60, 60, 2, "fp16", True)],
)
def test_every_mood_of_memory_gives_the_same_bytes(devices, queries, keys, heads, fmt, causal, rng):
    rtl, golden = devices
    assert isinstance(rtl.backend, RtlBackend)
    shapes = [(queries, 32 * heads), (queries, 32 * heads), (keys, 32), (keys, 32)]
    values = [rng.standard_normal(shape) for shape in shapes]

    def run(device: gemel.Device) -> list[np.ndarray]:
        grad, q, k, v = (gemel.tensor(device, x, fmt) for x in values)
        options = {"heads": heads, "kv_heads": 1, "causal": causal}
        forward = scaled_dot_product_attention(q, k, v, return_logarithms=True, **options)
        assert isinstance(forward, tuple)
        gradients = scaled_dot_product_attention_backward(grad, q, k, v, *forward, **options)
        return [x.codes() for x in (*forward, *gradients)]

    expected = run(golden)
    for mood in MOODS:
        rtl.backend.configure(**mood)
        for found, wanted in zip(run(rtl), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=str(mood))
