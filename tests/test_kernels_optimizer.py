"""Optimizers: device and interpreter agree in every bit, NumPy within FP32's digits, copies in their random bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import optimizer
from gemel.kernels.rows import WIDTH
from gemel_golden.formats import FORMATS
from gemel_golden.philox import rounding_bits
from gemel_golden.rounding import from_fp32
from gemel_verif.kernel_cases import assert_same_bytes, values

SHAPES = [(3, 5), (2, 300), (700,)]


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


def run(device, kernel, arrays, copy, **options):
    """A step on the device, in place, and by the interpreter: equal bytes, which are returned."""
    tensors = [gemel.tensor(device, x) for x in arrays]
    kept = [tensors[0], *tensors[2:]]
    target = None if copy is None else gemel.empty(device, arrays[0].shape, copy)
    kernel(*tensors, copy=target, **options)
    given = {name: value.numpy() if isinstance(value, gemel.Tensor) else value for name, value in options.items()}
    expected = kernel(*arrays, copy=copy, **given)
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert_same_bytes((*kept, *([target] if target is not None else [])), expected)
    return expected, target


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("copy", [None, "bf16"])
def test_adamw(device, shape, copy, rng):
    arrays = [values(rng, shape) for _ in range(3)] + [values(rng, shape) ** 2]
    options = {"step": int(rng.integers(1, 50)), "lr": 0.01, "weight_decay": 0.1, "eps": 1e-6}
    found, target = run(device, gemel.adamw, arrays, copy, **options, seed=7)
    expected = optimizer.REFERENCES["adamw"](*(x.astype(np.float64) for x in arrays), **options)
    for got, want in zip(found, expected, strict=False):
        assert abs(got - want).max() < 2e-6 * (1 + abs(want).max())
    if target is not None:
        assert_array_equal(target.codes(), stochastic(found[0], 7))


def stochastic(param, seed):
    """BF16 codes of parameters: elements beyond whole rows of 128 have a stream of their own."""
    flat = param.reshape(-1)
    whole = flat.size // WIDTH * WIDTH
    words = [rounding_bits(seed, 0, np.arange(whole), 16)] if whole else []
    words.append(rounding_bits(seed, int(whole > 0), np.arange(flat.size - whole), 16))
    codes = from_fp32(flat, FORMATS["bf16"], mode="stochastic", random=np.concatenate(words))[0]
    return codes.reshape(param.shape)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("velocity", [False, True])
def test_sgd(device, velocity, nesterov, rng):
    if nesterov and not velocity:
        return
    for copy in (None, "fp16"):
        arrays = [values(rng, (5, 70)) for _ in range(3 if velocity else 2)]
        options = {"lr": 0.1, "weight_decay": 0.01, "momentum": 0.9 * velocity, "nesterov": nesterov}
        found, _ = run(device, gemel.sgd, arrays, copy, **options, seed=9)
        expected = optimizer.REFERENCES["sgd"](*(x.astype(np.float64) for x in arrays), **options)
        for got, want in zip(found, expected if velocity else (expected,), strict=False):
            assert abs(got - want).max() < 1e-6 * (1 + abs(want).max())


@pytest.mark.parametrize("max_norm", [1.0, 1000.0])
def test_clipping(device, max_norm, rng):
    grads = [values(rng, (3, 7)), values(rng, (700,)), values(rng, (2, 3, 4), "bf16")]
    tensors = [gemel.tensor(device, grad) for grad in grads]
    expected = optimizer.REFERENCES["grad_norm"](grads)
    factor = optimizer.REFERENCES["clip_coefficient"](expected, max_norm)
    narrow = gemel.scale(gemel.tensor(device, grads[2]), gemel.tensor(device, factor.astype(np.float32))).numpy()
    norm = gemel.clip_grad_norm(tensors, max_norm)
    assert abs(norm.numpy() / expected - 1) < 1e-6
    assert abs(tensors[1].numpy() - grads[1] * factor).max() < 1e-6
    assert abs(tensors[2].numpy() - narrow).max() <= 2**-7 * abs(narrow).max()
    arrays = [grad.astype(np.float32) for grad in grads]
    assert_array_equal(gemel.clip_grad_norm(arrays, max_norm), norm.numpy())
    assert_array_equal(arrays[1], tensors[1].numpy())


def test_a_clipped_step(device, rng):
    arrays = [values(rng, (4, 40)) for _ in range(2)]
    factor = gemel.clip_coefficient(gemel.grad_norm([gemel.tensor(device, arrays[1])]), 0.5)
    found, _ = run(device, gemel.sgd, arrays, None, lr=1.0, grad_scale=factor)
    expected = arrays[0] - arrays[1] * (0.5 / np.linalg.norm(arrays[1]))
    assert abs(found[0] - expected).max() < 1e-6


def test_messages(device):
    x, y = gemel.empty(device, (3, 4), "fp32"), gemel.empty(device, (3, 4), "bf16")
    with pytest.raises(ValueError, match="adamw: exp_avg is bf16; it must be fp32"):
        gemel.adamw(x, y, y, x, step=1)
    with pytest.raises(ValueError, match="adamw: step counts from 1, it can't be 0"):
        gemel.adamw(x, y, x, x, step=0)
    with pytest.raises(ValueError, match=r"sgd: momentum 0\.9 needs a velocity"):
        gemel.sgd(x, y, lr=1, momentum=0.9)
    with pytest.raises(ValueError, match="grad_norm: there are no gradients"):
        gemel.grad_norm([])
