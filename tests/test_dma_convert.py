"""Converting copies have the bits of the kernel library's quantisation."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel_golden.dma.convert import convert
from gemel_golden.formats import FORMATS, decode
from gemel_golden.isa import BlockScale
from gemel_golden.rounding import from_fp32


def rows(rng: np.random.Generator) -> np.ndarray:
    """FP32 rows of many magnitudes, a block of zeros, one of subnormals, one with a NaN and one with an infinity."""
    x = rng.standard_normal((40, 128)) * np.exp2(rng.integers(-60, 60, (40, 128)))
    x[3, :32] = 0
    x[4, :32] = 1e-42
    x[5, 7], x[6, 9] = np.nan, np.inf
    return x.astype(np.float32)


@pytest.mark.parametrize("target", ["e4m3", "e5m2"])
def test_mx_is_the_kernel_library_s(rng: np.random.Generator, target: str) -> None:
    x = rows(rng)
    codes, scales = gemel.quantise_mx(x, target)
    for row, wanted, wanted_scales in zip(x, codes, scales, strict=True):
        found, found_scales = convert(row.view(np.uint32), FORMATS["fp32"], FORMATS[target], 0, BlockScale.MX)
        assert_array_equal(decode(found, target), np.asarray(wanted, np.float64))
        assert_array_equal(found_scales, wanted_scales)


@pytest.mark.parametrize("target", ["e4m3", "e5m2"])
def test_fp32_scales_are_the_kernel_library_s(rng: np.random.Generator, target: str) -> None:
    """Quotients rounded once: blocks of zeros, subnormals, infinities and NaN too."""
    x = rows(rng)
    codes, scales = gemel.quantise(x, target, by="1x128")
    for row, wanted, wanted_scales in zip(x, codes, scales, strict=True):
        found, found_scales = convert(row.view(np.uint32), FORMATS["fp32"], FORMATS[target], 0, BlockScale.FP32)
        assert_array_equal(decode(found, target), np.asarray(wanted, np.float64))
        assert_array_equal(found_scales.view(np.uint32), wanted_scales.view(np.uint32))


@pytest.mark.parametrize("inverse", [False, True])
def test_no_quotient_lies_between_two_numbers(inverse: bool) -> None:
    """amax / 7 and 7 / amax of every significand: the digit after the 24th says how a quotient is rounded."""
    significands = np.arange(1 << 23, 1 << 24, dtype=np.int64)
    numerator, divisor = (significands << 4, 7) if not inverse else (7 << 46, significands)
    digits = numerator // divisor
    spare = np.where(digits >> 25, 2, 1)
    found = (digits >> spare) + ((digits >> (spare - 1)) & 1)
    exact = np.float32(numerator) / np.float32(divisor)
    assert_array_equal(np.ldexp(found.astype(np.float64), spare), exact.astype(np.float64))


def test_a_factor_rounds_once_before_the_format(rng: np.random.Generator) -> None:
    x = rng.standard_normal(1000).astype(np.float32)
    factor = np.float32(0.37)
    found, scales = convert(
        x.view(np.uint32), FORMATS["fp32"], FORMATS["e4m3"], int(factor.view(np.uint32)), BlockScale.NONE
    )
    assert_array_equal(found, from_fp32(x * factor, "e4m3")[0])
    assert not scales.size
