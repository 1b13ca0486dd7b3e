"""Kernels with matrix products: tensor core and vector code in one pipeline, bit for bit as the interpreter."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel import lang
from gemel.dtypes import to_codes


@gemel.kernel
def linear(x, w, bias):
    y = lang.dot(x, w) + bias
    return (y * lang.sigmoid(y)).astype("bf16"), y.max()


@gemel.kernel
def linear_transposed(x, w, bias):
    return lang.maximum(lang.dot(x, w.T) + bias, 0)


@gemel.kernel
def two_products(x, w, v, residual):
    hidden = lang.maximum(lang.dot(x, w), 0).astype("bf16")
    return lang.dot(hidden, v.T) + residual, hidden


@gemel.kernel
def attention(q, k, v, *, scale: float):
    scores = lang.dot(q, k.T)
    weights = lang.exp((scores - scores.max()) * scale)
    return lang.dot(weights.astype("bf16"), v) / weights.sum()


@pytest.fixture(scope="module")
def devices():
    with gemel.open("nano", backend="golden") as nano, gemel.open("training", backend="golden") as training:
        yield {"nano": nano, "training": training}


def compare(kernel, tensors, **options):
    expected, found = kernel.interpret(*tensors, **options), kernel(*tensors, **options)
    expected, found = ((x if isinstance(x, tuple) else (x,)) for x in (expected, found))
    for want, got in zip(expected, found, strict=True):
        assert_array_equal(to_codes(got.numpy())[0], to_codes(want)[0])


@pytest.fixture
def matrix(rng):
    def make(device, rows, cols, fmt="bf16"):
        return gemel.tensor(device, rng.normal(size=(rows, cols)).astype(np.float32), fmt)

    return make


@pytest.mark.parametrize("chip", ["nano", "training"])
@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (5, 7, 3), (33, 64, 40), (100, 96, 70), (64, 32, 32)])
def test_product_and_epilogue(devices, matrix, chip, m, k, n):
    device = devices[chip]
    x, w, flipped, bias = (
        matrix(device, *shape, fmt)
        for shape, fmt in (((m, k), "bf16"), ((k, n), "bf16"), ((n, k), "e4m3"), ((1, n), "fp32"))
    )
    compare(linear, (x, w, bias))
    compare(linear, (x, flipped.T, bias))
    compare(linear_transposed, (x, flipped, bias))
    compare(linear_transposed, (x, w.T, bias))


@pytest.mark.parametrize(("a", "b"), [("fp16", "e5m2"), ("e4m3", "e4m3"), ("int8", "bf16")])
def test_formats_of_operands(devices, matrix, a, b):
    device = devices["nano"]
    compare(linear, (matrix(device, 20, 50, a), matrix(device, 50, 36, b), matrix(device, 1, 36, "fp32")))


def test_integers_stay_integers(devices, rng):
    @gemel.kernel
    def product(x, w):
        y = lang.dot(x, w)
        return y, y.max(), (y.astype("fp32") * 0.01).astype("int8")

    x, w = (gemel.tensor(devices["nano"], rng.integers(-128, 128, (40, 40)).astype(np.int8)) for _ in range(2))
    found, *_ = product(x, w)
    assert_array_equal(found.numpy(), x.numpy().astype(np.int32) @ w.numpy().astype(np.int32))
    compare(product, (x, w))


@pytest.mark.parametrize("rows", [16, 70])
def test_products_of_products(devices, matrix, rows):
    device = devices["training"]
    shapes = ((rows, 48), (48, 96), (33, 96))
    compare(two_products, (*(matrix(device, *shape) for shape in shapes), matrix(device, rows, 33, "fp32")))


@pytest.mark.parametrize(("rows", "keys", "depth"), [(32, 32, 32), (64, 64, 32), (70, 100, 24)])
def test_attention(devices, matrix, rows, keys, depth):
    q, k, v = (matrix(devices["training"], count, depth) for count in (rows, keys, keys))
    compare(attention, (q, k, v), scale=0.125)
    exact = q.numpy().astype(np.float64) @ k.numpy().T * 0.125
    exact = np.exp(exact - exact.max(axis=1, keepdims=True))
    exact = exact @ v.numpy() / exact.sum(axis=1, keepdims=True)
    assert np.abs(attention(q, k, v, scale=0.125).numpy() - exact).max() < 0.02


def test_a_parameter_on_both_sides(devices, matrix):
    @gemel.kernel
    def gram(x):
        return lang.dot(x, x.T) + x.sum()

    compare(gram, (matrix(devices["training"], 70, 40),))
