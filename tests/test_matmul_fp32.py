"""FP32 products from BF16 parts: the reference's bits, and the accuracy of FP32."""

import numpy as np
import pytest

import gemel
from gemel.kernels.matmul_fp32 import matmul_fp32, matmul_fp32_reference


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (5, 33, 70), (40, 40, 130)])
def test_bits_and_accuracy(m, n, k, rng):
    a, b = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    with gemel.open("nano", "golden") as device:
        found = matmul_fp32(gemel.tensor(device, a), gemel.tensor(device, b)).numpy()
    np.testing.assert_array_equal(found, matmul_fp32_reference(a, b))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    assert (np.abs(found - exact) <= 2e-7 * bound).all()


def test_what_does_not_fit_is_refused():
    with gemel.open("nano", "golden") as device:
        a = gemel.tensor(device, np.zeros((2, 3), np.float32))
        with pytest.raises(ValueError, match=r"a \(2, 3\) and b \(2, 3\) don't multiply"):
            matmul_fp32(a, a)
        with pytest.raises(ValueError, match=r"b is bf16 \(3, 2\)"):
            matmul_fp32(a, gemel.tensor(device, np.zeros((3, 2)), "bf16"))
