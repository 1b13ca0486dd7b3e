"""Gather, scatter, sums and constants on the simulated chip; shares of the bus as `gemel bench dma` measures them."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.bench.dma import run
from gemel.driver.faults import DeviceFault


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("nano", "rtl", memory_bytes=64 << 20, latency=600) as opened:
        yield opened


def test_library_on_the_chip(device: gemel.Device, rng: np.random.Generator) -> None:
    table = rng.standard_normal((300, 66)).astype(np.float32)
    indices = rng.integers(-1, 300, 1000).astype(np.int32)
    target, where = gemel.tensor(device, table), gemel.tensor(device, indices)
    rows = gemel.gather(target, where)
    expected = gemel.gather(table, indices)
    assert_array_equal(rows.numpy(), expected)
    gemel.scatter_add(target, where, rows)
    for index, row in zip(indices, expected, strict=True):
        if index >= 0:
            table[index] += row
    assert_array_equal(target.numpy(), table)
    gemel.fill(target[3:5, 2:60], 2.5)
    table[3:5, 2:60] = 2.5
    assert_array_equal(target.numpy(), table)
    with pytest.raises(DeviceFault, match="INDEX in LOAD"):
        gemel.gather(target, gemel.tensor(device, np.array([7, 300], np.int32)))


@pytest.mark.parametrize(("row", "bar"), [(64, 0.5), (128, 0.9), (256, 0.95), (1024, 0.95), (8192, 0.95)])
@pytest.mark.parametrize("op", ["load", "store"])
def test_rows_that_touch(device: gemel.Device, op: str, row: int, bar: float) -> None:
    """64 bursts under way, 600 cycles of latency, from the first fetched instruction to the last byte."""
    found = run(device, op, row_bytes=row, total=3 << 20)
    assert found.outstanding == 64
    assert found.exact
    assert found.bandwidth_utilisation is not None and found.bandwidth_utilisation >= bar
