"""Widening of every narrow code against ml_dtypes and NumPy."""

import ml_dtypes
import numpy as np
import pytest

from gemel_golden.formats import FORMATS
from gemel_golden.widen import widen

DTYPES = {
    "bf16": ml_dtypes.bfloat16,
    "fp16": np.float16,
    "e4m3": ml_dtypes.float8_e4m3fn,
    "e5m2": ml_dtypes.float8_e5m2,
    "int8": np.int8,
    "uint8": np.uint8,
    "e2m1": ml_dtypes.float4_e2m1fn,
    "int4": ml_dtypes.int4,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}


@pytest.mark.parametrize("name", DTYPES)
def test_every_code(name: str) -> None:
    fmt = FORMATS[name]
    codes = np.arange(1 << fmt.bits).astype(fmt.storage)
    with np.errstate(invalid="ignore"):
        values = codes.view(DTYPES[name]).astype(np.float32)
    expected = np.where(np.isnan(values), np.uint32(0x7FC0_0000), values.view(np.uint32))
    np.testing.assert_array_equal(widen(codes, name), expected)


def test_every_format_is_tested() -> None:
    assert sorted([*DTYPES, "fp32", "int32"]) == sorted(FORMATS)


def test_32_bits_pass(rng: np.random.Generator) -> None:
    codes = np.concatenate([[0x7FA0_0001, 0xFFFF_FFFF, 0, 1 << 31], rng.integers(0, 1 << 32, 1000)]).astype(np.uint32)
    for name in ("fp32", "int32"):
        np.testing.assert_array_equal(widen(codes, name), codes)
    assert int(widen(np.array(0), "e8m0")) == 0x0040_0000
