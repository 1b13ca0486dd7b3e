"""Reductions: device and interpreter agree in every bit, and NumPy within FP32's digits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import reduce
from gemel_verif.kernel_cases import both, special_values, values

EXACT = {"max", "min", "argmax", "argmin"}


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("name", [name for name in reduce.REFERENCES if name != "cumsum"])
def test_every_reduction(upload, name, axis, rng):
    if axis is None and name.startswith("arg"):
        return
    for shape, keepdims in (((7, 33), True), ((3, 2, 50), False), ((600,), False)):
        x = values(rng, shape)
        options = {"axis": axis, "keepdims": keepdims}
        found = both(upload, getattr(gemel, name), x, **options)
        expected = reduce.REFERENCES[name](x.astype(np.float64), **options)
        assert found.shape == expected.shape
        assert abs(found - expected).max() <= (0 if name in EXACT else 1e-4)
    both(upload, getattr(gemel, name), special_values(rng, (9, 40), "bf16"), axis=axis)


def test_integers_and_formats(upload, rng):
    x = rng.integers(-1000, 1000, (5, 70)).astype(np.int32)
    assert_array_equal(both(upload, gemel.sum, x, axis=0), x.sum(axis=0))
    assert_array_equal(both(upload, gemel.max, x), [x.max()])
    x = values(rng, (5, 70), "e4m3")
    assert both(upload, gemel.mean, x, axis=-1, dtype="fp32").dtype == np.float32


def test_running_sums(upload, rng):
    x = values(rng, (2, 3, 70))
    assert abs(both(upload, gemel.cumsum, x) - np.cumsum(x.astype(np.float64), axis=-1)).max() < 1e-4
    x = rng.integers(0, 2, (3, 100)).astype(np.int32)
    assert_array_equal(both(upload, gemel.cumsum, x), np.cumsum(x, axis=1))


def test_the_first_of_equal_elements_counts(upload):
    x = np.array([[1, 3, 3, 0], [np.nan, 9, np.nan, 0], [2, 2, 2, 2]], np.float32)
    assert_array_equal(both(upload, gemel.argmax, x), [1, 0, 0])
    assert_array_equal(both(upload, gemel.argmax, x, axis=0), [1, 1, 1, 2])


def test_messages(device):
    x = gemel.empty(device, (2, 3, 4), "fp32")
    with pytest.raises(ValueError, match="sum goes along the first or the last of 3 dimensions, not along 1"):
        gemel.sum(x, axis=1)
    with pytest.raises(ValueError, match=r"max: x has shape \(0, 4\); it needs at least one element"):
        gemel.max(gemel.empty(device, (0, 4), "fp32"))
