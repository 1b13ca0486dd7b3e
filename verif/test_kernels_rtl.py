"""A choice of the kernel library on the simulated nano chip, under random stalls: the interpreter's bytes."""

import numpy as np
import pytest

import gemel
from gemel_verif.kernel_cases import assert_same_bytes, both, special_values, values


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


def shapes(rng, shape, count, fmt="fp32"):
    return [values(rng, shape, fmt) for _ in range(count)]


CASES = {
    "gelu": lambda rng: (gemel.gelu, [special_values(rng, (700,))], {"dtype": "bf16"}),
    "gelu_tanh": lambda rng: (gemel.gelu, [special_values(rng, (3, 40), "bf16")], {"approximate": "tanh"}),
    "gelu_backward": lambda rng: (gemel.gelu_backward, shapes(rng, (5, 33), 2), {}),
    "swiglu": lambda rng: (gemel.swiglu, shapes(rng, (4, 70), 2, "e4m3"), {"dtype": "fp16"}),
    "sin": lambda rng: (gemel.sin, [values(rng, (2, 50), "fp32", 1e4)], {}),
    "add_bias": lambda rng: (gemel.add_bias, [values(rng, (9, 33)), values(rng, (33,), "bf16")], {}),
    "softmax": lambda rng: (gemel.softmax, [special_values(rng, (7, 100), "fp16")], {}),
    "softmax_backward": lambda rng: (gemel.softmax_backward, shapes(rng, (7, 65), 2), {}),
    "cross_entropy": lambda rng: (
        gemel.cross_entropy,
        [values(rng, (9, 50)), np.array([3] * 8 + [-100], np.int32)],
        {},
    ),
    "cross_entropy_backward": lambda rng: (
        gemel.cross_entropy_backward,
        [None, values(rng, (9, 50), "bf16"), np.array([3] * 8 + [-100], np.int32)],
        {"label_smoothing": 0.1},
    ),
    "layer_norm": lambda rng: (gemel.layer_norm, [values(rng, (6, 130)), *shapes(rng, (130,), 2)], {"dtype": "e5m2"}),
    "layer_norm_backward": lambda rng: (
        gemel.layer_norm_backward,
        [*shapes(rng, (6, 64), 2, "bf16"), values(rng, (64,))],
        {},
    ),
    "rms_norm": lambda rng: (gemel.rms_norm, [values(rng, (33, 16), "bf16"), values(rng, (16,))], {}),
    "group_norm": lambda rng: (gemel.group_norm, [values(rng, (2, 4, 9)), 2, *shapes(rng, (4,), 2)], {}),
    "sum": lambda rng: (gemel.sum, [values(rng, (5, 300), "bf16")], {"dtype": "fp32"}),
    "argmax": lambda rng: (gemel.argmax, [special_values(rng, (5, 40))], {"axis": 0}),
    "cumsum": lambda rng: (gemel.cumsum, [values(rng, (3, 70))], {}),
    "dropout": lambda rng: (gemel.dropout, [values(rng, (600,), "bf16"), 0.3, 5], {}),
    "rope": lambda rng: (gemel.rope, [values(rng, (2, 3, 16), "bf16")], {}),
    "rope_interleaved": lambda rng: (gemel.rope, [values(rng, (2, 3, 16))], {"interleaved": True}),
    "top_k": lambda rng: (gemel.top_k, [special_values(rng, (3, 40)), 3], {}),
    "sample": lambda rng: (gemel.sample, [values(rng, (4, 50)), 0.8, 11], {}),
    "amax": lambda rng: (gemel.amax, [values(rng, (5, 120))], {}),
    "quantise_int8": lambda rng: (gemel.quantise, [values(rng, (9, 33)), "int8"], {"by": "row"}),
    "quantise_e4m3": lambda rng: (gemel.quantise, [values(rng, (3, 256)), "e4m3"], {"by": "128x128"}),
    "quantise_nvfp4": lambda rng: (gemel.quantise_nvfp4, [values(rng, (5, 48), "bf16")], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_kernel(upload, name, rng):
    kernel, arguments, options = CASES[name](rng)
    both(upload, kernel, *arguments, **options)


def test_mx(upload, rng):
    x = values(rng, (4, 96))
    codes, scales = gemel.quantise_mx(upload(x), "e2m1")
    expected = gemel.quantise_mx(x, "e2m1")
    assert_same_bytes(codes, expected[0])
    np.testing.assert_array_equal(scales.codes(), expected[1])
    assert_same_bytes(gemel.dequantise_mx(codes, scales), gemel.dequantise_mx(*expected))


def test_adamw_in_place(upload, rng):
    arrays = [*shapes(rng, (700,), 3), values(rng, (700,)) ** 2]
    tensors = [upload(x) for x in arrays]
    copy, narrow = gemel.cast(tensors[0], "bf16"), None
    for step in (1, 2):
        gemel.adamw(*tensors, step=step, copy=copy, seed=step)
        arrays[0], arrays[2], arrays[3], narrow = gemel.adamw(*arrays, step=step, copy="bf16", seed=step)
    assert_same_bytes((*tensors[:1], *tensors[2:], copy), (arrays[0], *arrays[2:], narrow))
