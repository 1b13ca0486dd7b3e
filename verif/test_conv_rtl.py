"""Convolutions on the simulated chip under random stalls: golden's and NumPy's bits."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel

CASES = [
    ((2, 7, 9, 32), (40, 3, 3, 32), {"padding": 1}),
    ((1, 12, 20, 3), (16, 5, 7, 3), {"stride": (2, 3)}),
    ((1, 9, 8, 24), (7, 3, 3, 24), {"stride": 2, "padding": (4, 3), "dilation": 2}),
    ((1, 5, 5, 320), (34, 3, 3, 320), {"padding": 1}),
]


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_bits_are_numpy_s(device: gemel.Device, rng: np.random.Generator, kind: type) -> None:
    """Boxes of every kind, padding, channels that fill no chunk, an inner dimension in pieces."""
    for shape, kernel, how in CASES:
        x, weight = (rng.standard_normal(size).astype(kind) for size in (shape, kernel))
        bias = rng.standard_normal(kernel[0]).astype(np.float32)
        options: dict[str, Any] = {**how, "activation": "relu", "out_dtype": "bf16"}
        found = gemel.conv2d(
            gemel.tensor(device, x), gemel.tensor(device, weight), gemel.tensor(device, bias), **options
        )
        assert_array_equal(found.numpy(), gemel.conv2d(x, weight, bias, **options))
