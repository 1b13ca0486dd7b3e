"""Normalisations: device and interpreter agree in every bit, and NumPy within FP32's digits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import batch_norm, norm
from gemel_verif.kernel_cases import DTYPES, both, special_values, values


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


def wide(given):
    return [x.astype(np.float64) if isinstance(x, np.ndarray) else x for x in given]


def assert_close(found, expected, rows):
    """Within the roundings of a sum of `rows` products."""
    found, expected = ((x if isinstance(x, tuple) else (x,)) for x in (found, expected))
    for got, want in zip(found, expected, strict=True):
        assert abs(got - want).max() <= 1e-6 * (rows + abs(want).max())


@pytest.mark.parametrize("shape", [(1, 2), (7, 33), (2, 3, 64), (3, 150)], ids=str)
@pytest.mark.parametrize("name", norm.REFERENCES)
def test_along_rows(upload, name, shape, rng):
    kernel, reference = getattr(gemel, name), norm.REFERENCES[name]
    given = [values(rng, shape) for _ in range(1 + name.endswith("_backward"))]
    assert_close(both(upload, kernel, *given), reference(*wide(given)), 10)
    given += [values(rng, shape[-1:]) for _ in range(1 + (name == "layer_norm"))]
    assert_close(both(upload, kernel, *given), reference(*wide(given)), 40)
    fmt = str(rng.choice([*DTYPES]))
    specials = [special_values(rng, x.shape, fmt) for x in given]
    both(upload, kernel, *specials, eps=0.25, dtype=str(rng.choice([*DTYPES])))


@pytest.mark.parametrize("shape", [(9, 5), (2, 6, 50), (3, 4, 2, 3)], ids=str)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_batch_norm(upload, shape, backward, rng):
    x, weight, bias = values(rng, shape) + np.float32(3), values(rng, shape[1:2]), values(rng, shape[1:2])
    axes = (0, *range(2, x.ndim))
    if backward:
        grad = values(rng, shape)
        given = [grad, x, weight]
        expected = batch_norm.REFERENCES["batch_norm_backward"](*wide(given))
        assert_close(both(upload, gemel.batch_norm_backward, *given), expected, 100)
        return
    mean, variance = x.astype(np.float64).mean(axis=axes), x.astype(np.float64).var(axis=axes)
    expected = batch_norm.REFERENCES["batch_norm"](x.astype(np.float64), mean, variance, *wide([weight, bias]))
    assert_close(both(upload, gemel.batch_norm, x, None, None, weight, bias, training=True), expected, 40)
    given = np.float32(mean), np.float32(variance), weight, bias
    assert_close(both(upload, gemel.batch_norm, x, *given, dtype="bf16"), expected, 1e5)


def test_running_statistics_move(device, rng):
    x, mean, variance = values(rng, (10, 4, 6)), values(rng, (4,)), abs(values(rng, (4,)))
    tensors = [gemel.tensor(device, value) for value in (x, mean, variance)]
    gemel.batch_norm(*tensors, training=True, momentum=0.25)
    expected = (
        0.75 * mean + 0.25 * x.astype(np.float64).mean(axis=(0, 2)),
        0.75 * variance + 0.25 * x.astype(np.float64).var(axis=(0, 2), ddof=1),
    )
    for found, want in zip(tensors[1:], expected, strict=True):
        assert abs(found.numpy() - want).max() < 1e-5
    gemel.batch_norm(x, mean, variance, training=True, momentum=0.25)
    assert_array_equal(mean, tensors[1].numpy())
    assert_array_equal(variance, tensors[2].numpy())


@pytest.mark.parametrize(("shape", "groups"), [((3, 8), 2), ((2, 6, 50), 3), ((2, 4, 2, 3), 1)], ids=str)
def test_group_norm(upload, shape, groups, rng):
    grad, x, weight, bias = (values(rng, size) for size in (shape, shape, shape[1:2], shape[1:2]))
    for given in ([x, groups], [x, groups, weight, bias]):
        expected = batch_norm.REFERENCES["group_norm"](*wide(given))
        assert_close(both(upload, gemel.group_norm, *given), expected, 40)
    for given in ([grad, x, groups], [grad, x, groups, weight]):
        expected = batch_norm.REFERENCES["group_norm_backward"](*wide(given))
        assert_close(both(upload, gemel.group_norm_backward, *given), expected, 100)


def test_messages(device):
    x = gemel.empty(device, (4, 6), "fp32")
    with pytest.raises(ValueError, match=r"layer_norm: bias has shape \(4,\); rows of 6 need \(6,\)"):
        gemel.layer_norm(x, bias=gemel.empty(device, (4,), "fp32"))
    with pytest.raises(ValueError, match="group_norm: 6 channels don't fall into 4 groups"):
        gemel.group_norm(x, 4)
    with pytest.raises(ValueError, match=r"batch_norm: weight has shape \(4,\); 6 channels need \(6,\)"):
        gemel.batch_norm(x, weight=gemel.empty(device, (4,), "fp32"), training=True)
    with pytest.raises(ValueError, match="without training it needs running_mean and running_var"):
        gemel.batch_norm(x)
    with pytest.raises(ValueError, match=r"rms_norm: x has shape \(3, 0\); its last dimension needs at least one"):
        gemel.rms_norm(gemel.empty(device, (3, 0), "fp32"))
