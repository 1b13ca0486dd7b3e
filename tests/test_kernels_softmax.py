"""Softmax and cross-entropy: device and interpreter agree in every bit, and NumPy within FP32's digits."""

import numpy as np
import pytest

import gemel
from gemel.kernels import cross_entropy, softmax
from gemel_verif.kernel_cases import DTYPES, both, special_values, values

SHAPES = [(1, 1), (7, 33), (2, 3, 64), (130, 2), (300,)]
REDUCTIONS = ["mean", "sum", "none"]


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", softmax.REFERENCES)
def test_softmax(upload, name, shape, rng):
    kernel = getattr(gemel, name)
    x = values(rng, shape)
    given = [values(rng, shape), getattr(gemel, name.removesuffix("_backward"))(x)] if "backward" in name else [x]
    found = both(upload, kernel, *given)
    expected = softmax.REFERENCES[name](*(value.astype(np.float64) for value in given))
    assert abs(found - expected).max() <= 1e-6 * (1 + abs(expected).max() + abs(given[0]).sum(axis=-1).max())
    fmt = str(rng.choice([*DTYPES]))
    both(upload, kernel, *(special_values(rng, shape, fmt) for _ in given), dtype=str(rng.choice([*DTYPES])))


def test_softmax_of_large_logits_and_masks(upload):
    x = np.array([[1000, 1000, -1000], [-np.inf, 0, -np.inf]], np.float32)
    expected = np.array([[0.5, 0.5, 0], [0, 1, 0]], np.float32)
    np.testing.assert_array_equal(both(upload, gemel.softmax, x), expected)


def labels_for(rng, shape):
    found = rng.integers(0, shape[-1], shape[:-1]).astype(np.int32)
    found[rng.random(found.shape) < 0.2] = -100
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy(upload, reduction, smoothing, rng):
    options = {"reduction": reduction, "label_smoothing": smoothing}
    for shape in ((9, 50), (2, 5, 130)):
        x, labels = values(rng, shape), labels_for(rng, shape)
        labels.reshape(-1)[0] = 1
        found = both(upload, gemel.cross_entropy, x, labels, **options)
        expected = cross_entropy.REFERENCES["cross_entropy"](x.astype(np.float64), labels, **options)
        assert abs(found - expected).max() <= 1e-6 * (1 + abs(expected).max())
        grad = None if shape[0] == 2 else values(rng, shape[:-1] if reduction == "none" else (1,))
        found = both(upload, gemel.cross_entropy_backward, grad, x, labels, **options)
        expected = cross_entropy.REFERENCES["cross_entropy_backward"](grad, x.astype(np.float64), labels, **options)
        assert abs(found - expected).max() <= 1e-6 * (1 + (0 if grad is None else abs(grad).max()))


def test_cross_entropy_formats_and_the_ignored_label(upload, rng):
    x, labels = values(rng, (40, 10), "bf16"), rng.integers(0, 10, 40).astype(np.int32)
    both(upload, gemel.cross_entropy, x, labels, ignore_index=3)
    found = both(upload, gemel.cross_entropy_backward, None, x, labels, ignore_index=3)
    assert (found[labels == 3] == 0).all() and (found[labels != 3] != 0).any(axis=1).all()


def test_messages(device):
    x, labels = gemel.empty(device, (4, 5), "fp32"), gemel.empty(device, (4,), "int32")
    with pytest.raises(ValueError, match=r"labels have shape \(5,\); logits of shape \(4, 5\) need \(4,\)"):
        gemel.cross_entropy(x, gemel.empty(device, (5,), "int32"))
    with pytest.raises(ValueError, match="labels are int32, not fp32"):
        gemel.cross_entropy(x, gemel.empty(device, (4,), "fp32"))
    with pytest.raises(ValueError, match="reduction is one of mean, sum, none, not 'max'"):
        gemel.cross_entropy(x, labels, reduction="max")
    with pytest.raises(ValueError, match=r"grad has shape \(4, 5\); that of 'mean' is \(1,\)"):
        gemel.cross_entropy_backward(x, x, labels)
    with pytest.raises(ValueError, match=r"y has shape \(4,\), grad has \(4, 5\)"):
        gemel.softmax_backward(x, labels)
