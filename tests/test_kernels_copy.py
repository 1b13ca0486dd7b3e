"""Copies by the DMA units on the golden chip: the kernel library's bits."""

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel


@pytest.fixture
def device() -> Iterator[gemel.Device]:
    with gemel.open("nano", "golden", memory_bytes=16 << 20) as opened:
        yield opened


@pytest.mark.parametrize("source", [np.float32, ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("target", ["fp32", "bf16", "fp16", "e4m3", "e5m2"])
def test_cast_is_the_vector_core_s(device: gemel.Device, rng: np.random.Generator, source: type, target: str) -> None:
    x = gemel.tensor(device, rng.standard_normal((300, 96)).astype(source))
    assert_array_equal(gemel.copy(x, target).codes(), gemel.cast(x, target).codes())


def test_scale(device: gemel.Device, rng: np.random.Generator) -> None:
    x = rng.standard_normal((30, 64)).astype(np.float32)
    found = gemel.copy(gemel.tensor(device, x), "e4m3", scale=0.37)
    assert_array_equal(found.codes(), gemel.tensor(device, x * np.float32(0.37), "e4m3").codes())


@pytest.mark.parametrize("target", ["e4m3", "e5m2"])
@pytest.mark.parametrize("source", [np.float32, ml_dtypes.bfloat16])
def test_mx(device: gemel.Device, rng: np.random.Generator, source: type, target: str) -> None:
    x = gemel.tensor(device, (rng.standard_normal((200, 256)) * np.exp2(rng.integers(-9, 9, (200, 1)))).astype(source))
    for found, expected in zip(gemel.copy_mx(x, target), gemel.quantise_mx(x, target), strict=True):
        assert_array_equal(found.codes(), expected.codes())


def test_copy_keeps_bits(device: gemel.Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.integers(-8, 8, (40, 70)), "int4")
    assert_array_equal(gemel.copy(x[3:9, 2:40]).codes(), x[3:9, 2:40].codes())


def test_errors_name_formats_and_shapes(device: gemel.Device) -> None:
    with pytest.raises(ValueError, match="not int8 to fp16"):
        gemel.copy(gemel.empty(device, (2, 32), "int8"), "fp16")
    with pytest.raises(ValueError, match=r"\(2, 40\)"):
        gemel.copy_mx(gemel.empty(device, (2, 40), "bf16"))
