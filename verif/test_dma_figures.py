"""The inference chip's DMA in cycles: copies that change bytes, sums into memory, a convolution."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.bench.dma import run
from gemel.sim.rtl_backend import RtlBackend


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("inference", "rtl") as opened:
        yield opened


@pytest.mark.parametrize("op", ["transpose", "convert", "mx", "fp8"])
def test_copies_that_change_bytes_run_at_the_full_rate(device: gemel.Device, op: str) -> None:
    """Of the 64 bytes a cycle that are read: from memory to be transposed, from L1 to be converted."""
    found = run(device, op, row_bytes=1024, total=1 << 20)
    assert found.exact
    assert found.bandwidth_utilisation is not None and found.bandwidth_utilisation >= 0.98


@pytest.mark.parametrize(("row", "total", "least"), [(64, 1 << 20, 0.75), (128, 1 << 20, 0.9), (256, 3 << 20, 0.95)])
def test_sums_into_memory(device: gemel.Device, row: int, total: int, least: float) -> None:
    """Bytes of the rows, which are read and written: both ways at these shares, 600 cycles of latency each; the first
    sum is in memory after 1,200."""
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(latency=600)
    found = run(device, "scatter_add", row_bytes=row, total=total)
    device.backend.configure(latency=100)
    assert found.exact
    assert found.bandwidth_utilisation is not None and found.bandwidth_utilisation >= least


def test_convolution(device: gemel.Device, rng: np.random.Generator) -> None:
    """3 x 3 over 128 channels, from memory to memory: pixels and weights come while tiles are multiplied."""
    shape, kernel = (1, 16, 16, 128), (128, 3, 3, 128)
    x, weight = (gemel.tensor(device, rng.integers(-7, 8, size).astype(np.float32), "e4m3") for size in (shape, kernel))
    gemel.conv2d(x, weight, padding=1, out_dtype="bf16")
    assert device.last is not None
    work = 16 * 16 * 128 * 9 * 128
    assert work / device.last.cycles >= 0.95 * device.config.macs_8bit
