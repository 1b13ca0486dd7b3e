"""Attention on the simulated nano chip: the bytes of golden, whatever the memory does to the units' phases."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.kernels.attention import scaled_dot_product_attention
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
    ("queries", "keys", "fmt", "causal"),
    [(64, 128, "bf16", False), (70, 130, "bf16", True), (40, 90, "e4m3", True), (96, 200, "fp16", True)],
)
def test_every_mood_of_memory_gives_the_same_bytes(devices, queries, keys, fmt, causal, rng):
    rtl, golden = devices
    assert isinstance(rtl.backend, RtlBackend)
    values = [rng.standard_normal((tokens, 32)) for tokens in (queries, keys, keys)]

    def run(device: gemel.Device) -> tuple[np.ndarray, ...]:
        q, k, v = (gemel.tensor(device, x, fmt) for x in values)
        out, logarithms = scaled_dot_product_attention(q, k, v, causal=causal, return_logarithms=True)
        return out.codes(), logarithms.codes()

    expected = run(golden)
    for mood in MOODS:
        rtl.backend.configure(**mood)
        for found, wanted in zip(run(rtl), expected, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=str(mood))
