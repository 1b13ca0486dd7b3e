"""Tensors of any number of dimensions: what they hold, and views in other shapes."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel


@pytest.fixture(scope="module")
def device():
    with gemel.open("nano", backend="golden", memory_bytes=16 << 20) as opened:
        yield opened


@pytest.mark.parametrize("fmt", ["fp32", "bf16", "int8", "e2m1"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 6), (2, 1, 3, 2), (2, 0, 4)], ids=str)
def test_any_number_of_dimensions(device, shape, fmt, rng):
    values = rng.integers(-1, 2, shape).astype(np.float32)
    x = gemel.tensor(device, values, fmt)
    assert (x.shape, x.ndim, x.size) == (shape, len(shape), values.size)
    assert_array_equal(x.numpy(), values)


def test_a_reshaped_tensor_is_a_view(device, rng):
    values = rng.normal(size=(2, 3, 4)).astype(np.float32)
    x = gemel.tensor(device, values)
    view = x.reshape(6, -1)
    assert view.shape == (6, 4)
    assert_array_equal(view[1:4, 2:].numpy(), values.reshape(6, 4)[1:4, 2:])
    assert_array_equal(x.reshape(6, 4)[2:3, 1:3].reshape(2).numpy(), values[0, 2, 1:3])
    view.write_codes(np.zeros((6, 4), np.uint32))
    assert_array_equal(x.numpy(), np.zeros((2, 3, 4)))


def test_rows_of_four_bits(device, rng):
    values = rng.integers(-1, 2, (4, 6)).astype(np.float32)
    assert_array_equal(gemel.tensor(device, values, "e2m1").reshape(12, 2).numpy(), values.reshape(12, 2))


def test_messages(device):
    x = gemel.empty(device, (4, 6), "fp32")
    with pytest.raises(ValueError, match=r"24 elements of shape \(4, 6\) don't make a shape \(5, 5\)"):
        x.reshape(5, 5)
    with pytest.raises(ValueError, match=r"a view of shape \(12,\) takes a dense tensor; strides \(24, 4\) leave gaps"):
        x[:, :3].reshape(12)
    with pytest.raises(ValueError, match="rows of 6 e2m1 elements don't become rows of 3"):
        gemel.empty(device, (4, 6), "e2m1").reshape(8, 3)
