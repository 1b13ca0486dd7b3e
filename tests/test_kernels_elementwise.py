"""Elementwise kernels: the golden device and the interpreter agree in every bit, and NumPy in the stated digits."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import activations, elementwise, functions, gelu
from gemel_verif.kernel_cases import DTYPES, assert_same_bytes, both, special_values, values

MODULES = (activations, elementwise, functions, gelu)
KERNELS = [(module, name, {}) for module in MODULES for name in module.REFERENCES]
KERNELS += [(gelu, name, {"approximate": "tanh"}) for name in gelu.REFERENCES]
POSITIVE = {"log", "log2", "log_backward", "sqrt", "rsqrt", "reciprocal"}
NUMBERS = {"factor": 0.3, "negative_slope": 0.2, "alpha": 1.5, "dtype": "fp32"}
SHAPES = [(1,), (37,), (3, 70), (2, 3, 5), (1, 512), (130, 4)]
RELATIVE = 4e-7
"""Of the operands' product and the result, whichever is larger: what a few roundings in FP32 leave."""


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


def arguments(module, name, make, shape):
    """Operands by the names of the kernel's parameters; `make` makes one of a shape."""
    found = []
    for parameter in inspect.signature(getattr(module, name)).parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY:
            break
        size = shape[-1:] if parameter.name == "bias" else shape
        found.append(NUMBERS[parameter.name] if parameter.name in NUMBERS else make(size))
    return found


def results(found):
    return found if isinstance(found, tuple) else (found,)


def identity(case):
    if isinstance(case, dict):
        return "-".join(case.values()) or "plain"
    return case if isinstance(case, str) else case.__name__.rpartition(".")[2]


@pytest.mark.parametrize(("module", "name", "options"), KERNELS, ids=identity)
def test_every_kernel(upload, module, name, options, rng):
    kernel, reference = getattr(module, name), module.REFERENCES[name]
    given = arguments(module, name, lambda size: values(rng, size), (2, 300))
    if name in POSITIVE:
        given = [abs(x) + np.float32(0.01) if isinstance(x, np.ndarray) else x for x in given]
    found = both(upload, kernel, *given, **options)
    wide = [x.astype(np.float64) if isinstance(x, np.ndarray) else x for x in given]
    expected = reference(*wide, **options)
    largest = 1 + np.prod([abs(x).max() for x in wide if isinstance(x, np.ndarray)])
    for got, want in zip(results(found), results(expected), strict=True):
        assert abs(got - want).max() <= RELATIVE * (largest + abs(want).max())
    fmt, shape = str(rng.choice([*DTYPES])), SHAPES[rng.integers(len(SHAPES))]
    both(upload, kernel, *arguments(module, name, lambda size: special_values(rng, size, fmt), shape), **options)


def test_views_and_given_results(device, rng):
    whole = gemel.tensor(device, values(rng, (40, 100)))
    out = gemel.tensor(device, np.zeros((40, 100), np.float32))
    view = whole[3:30, 7:60]
    assert gemel.relu(view, out=out[5:32, 11:64]).shape == (27, 53)
    expected = np.zeros((40, 100), np.float32)
    expected[5:32, 11:64] = np.maximum(view.numpy(), 0)
    assert_array_equal(out.numpy(), expected)


def test_formats_of_results(device, rng):
    x = values(rng, (3, 200), "bf16")
    for fmt in ("fp32", "e4m3", "fp16"):
        found = gemel.silu(gemel.tensor(device, x), dtype=fmt)
        assert found.dtype == fmt
        assert_same_bytes(found, gemel.silu(x, dtype=fmt))


def test_empty_tensors_stay_empty(device):
    assert gemel.gelu(gemel.empty(device, (0, 7), "bf16")).shape == (0, 7)


def test_angles_of_many_turns(rng):
    x = rng.uniform(-60000, 60000, 1000).astype(np.float32)
    assert abs(gemel.sin(x) - np.sin(x.astype(np.float64))).max() < 2e-7
    assert abs(gemel.cos(x) - np.cos(x.astype(np.float64))).max() < 2e-7


def test_exact_gelu_is_exact():
    x = np.linspace(-12, 12, 20_001, dtype=np.float32)
    wide, one = x.astype(np.float64), np.ones_like(x)
    assert abs(gemel.gelu(x) - gelu.REFERENCES["gelu"](wide)).max() < 4e-7
    assert abs(gemel.gelu_backward(one, x) - gelu.REFERENCES["gelu_backward"](1.0, wide)).max() < 3e-7
    far = np.array([-3e38, -1e5, 1e5, 3e38], np.float32)
    assert_array_equal(gemel.gelu(far), np.maximum(far, 0))


def test_messages(device):
    x, y = gemel.empty(device, (3, 5), "fp32"), gemel.empty(device, (3, 4), "fp32")
    with pytest.raises(ValueError, match=r"add: y has shape \(3, 4\), x has \(3, 5\); they must be equal"):
        gemel.add(x, y)
    with pytest.raises(ValueError, match=r"add_bias: bias has shape \(3, 4\); rows of 5 need \(5,\)"):
        gemel.add_bias(x, y)
    with pytest.raises(ValueError, match='gelu: approximate is "none" or "tanh", not \'fast\''):
        gemel.gelu(x, approximate="fast")
    with pytest.raises(TypeError, match="add takes tensors or arrays, not some of both"):
        gemel.add(x, np.zeros((3, 5), np.float32))
