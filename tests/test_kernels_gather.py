"""Gather, embedding, scatter, sums into rows and constants on the golden chip, against NumPy."""

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.driver.faults import DeviceFault


@pytest.fixture
def device() -> Iterator[gemel.Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as opened:
        yield opened


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (7, 100), (1000, 33), (300, 1024)])
def test_gather(device: gemel.Device, rng: np.random.Generator, count: int, columns: int) -> None:
    table = rng.standard_normal((211, columns)).astype(np.float32)
    indices = rng.integers(-1, 211, count).astype(np.int32)
    found = gemel.gather(gemel.tensor(device, table), gemel.tensor(device, indices)).numpy()
    assert_array_equal(found, gemel.gather(table, indices))
    assert_array_equal(found[indices >= 0], table[indices[indices >= 0]])
    assert not found[indices < 0].any()


def test_embedding(device: gemel.Device, rng: np.random.Generator) -> None:
    table = rng.standard_normal((50, 64)).astype(ml_dtypes.bfloat16)
    indices = rng.integers(0, 50, (3, 5)).astype(np.int32)
    found = gemel.embedding(gemel.tensor(device, table), gemel.tensor(device, indices)).numpy()
    assert_array_equal(found, table[indices])


@pytest.mark.parametrize(("source", "target"), [(ml_dtypes.float8_e4m3fn, "bf16"), (ml_dtypes.bfloat16, "fp32")])
def test_gather_converts(device: gemel.Device, rng: np.random.Generator, source: type, target: str) -> None:
    table = rng.standard_normal((211, 33)).astype(source)
    indices = rng.integers(-1, 211, 1000).astype(np.int32)
    found = gemel.gather(gemel.tensor(device, table), gemel.tensor(device, indices), dtype=target)
    assert found.dtype == target
    assert_array_equal(found.numpy(), np.where(indices[:, None] < 0, 0, table[indices].astype(np.float32)))
    assert_array_equal(found.numpy(), gemel.gather(table, indices, dtype=target))
    with pytest.raises(ValueError, match="16384, what is converted"):
        gemel.gather(gemel.empty(device, (3, 9000), "bf16"), gemel.tensor(device, indices), dtype="fp32")


def test_scatter(device: gemel.Device, rng: np.random.Generator) -> None:
    """The last row of those with one index stays."""
    table, rows = (rng.integers(0, 1000, (n, 77)).astype(np.int32) for n in (40, 500))
    indices = rng.integers(-1, 40, 500).astype(np.int32)
    target = gemel.tensor(device, table)
    gemel.scatter(target, gemel.tensor(device, indices), gemel.tensor(device, rows))
    for index, row in zip(indices, rows, strict=True):
        if index >= 0:
            table[index] = row
    assert_array_equal(target.numpy(), table)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, ml_dtypes.bfloat16])
def test_scatter_add_sums_in_order(device: gemel.Device, rng: np.random.Generator, dtype: type) -> None:
    table, rows = ((rng.standard_normal((n, 66)) * 100).astype(dtype) for n in (20, 300))
    indices = rng.integers(-1, 20, 300).astype(np.int32)
    target = gemel.tensor(device, table)
    gemel.scatter_add(target, gemel.tensor(device, indices), gemel.tensor(device, rows))
    for index, row in zip(indices, rows, strict=True):
        if index >= 0:
            table[index] += row
    assert_array_equal(target.numpy(), table)


@pytest.mark.parametrize("fmt", ["fp32", "bf16", "e4m3", "int8", "int4"])
def test_fill(device: gemel.Device, fmt: str) -> None:
    whole = gemel.tensor(device, np.zeros((9, 70), np.float32), fmt)
    part = whole[2:5, 4:68]
    gemel.fill(part, 1.5 if not fmt.startswith("int") else 3)
    found = whole.numpy().astype(np.float32)
    assert (found[2:5, 4:68] == (1.5 if not fmt.startswith("int") else 3)).all()
    assert np.count_nonzero(found) == 3 * 64
    gemel.fill(whole, -1)
    assert (whole.numpy().astype(np.float32) == -1).all()


def test_an_index_beyond_the_table_is_a_fault(device: gemel.Device) -> None:
    table, indices = np.zeros((5, 8), np.float32), np.array([1, 5], np.int32)
    with pytest.raises(DeviceFault, match="INDEX"):
        gemel.gather(gemel.tensor(device, table), gemel.tensor(device, indices))
    with pytest.raises(IndexError, match="5 rows"):
        gemel.gather(table, indices)


def test_errors_name_shapes(device: gemel.Device) -> None:
    table, rows = (gemel.empty(device, (n, 8), "fp16") for n in (4, 3))
    indices = gemel.empty(device, (3,), "int32")
    with pytest.raises(ValueError, match="sums are of fp32, int32, bf16, not of fp16"):
        gemel.scatter_add(table, indices, rows)
    with pytest.raises(ValueError, match=r"3 rows need int32 indices \(3,\), not int32 \(2,\)"):
        gemel.scatter(table, indices[0:2], rows)
    with pytest.raises(ValueError, match="don't belong together"):
        gemel.scatter(table, indices, gemel.empty(device, (3, 9), "fp16"))
