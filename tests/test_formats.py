"""The formats table against ml_dtypes and gfloat, code by code."""

import gfloat
import gfloat.formats as gf
import ml_dtypes
import numpy as np
import pytest

from gemel_golden.formats import FORMATS, by_code, by_name, decode, pack4, unpack4
from gemel_golden.rounding import encode, to_e8m0

FLOATS = {
    "fp16": (np.float16, gf.format_info_binary16),
    "bf16": (ml_dtypes.bfloat16, gf.format_info_bfloat16),
    "e4m3": (ml_dtypes.float8_e4m3fn, gf.format_info_ocp_e4m3),
    "e5m2": (ml_dtypes.float8_e5m2, gf.format_info_ocp_e5m2),
    "e2m1": (ml_dtypes.float4_e2m1fn, gf.format_info_ocp_e2m1),
    "e8m0": (ml_dtypes.float8_e8m0fnu, gf.format_info_ocp_e8m0),
}


def every_code(name: str) -> np.ndarray:
    fmt = FORMATS[name]
    return np.arange(1 << fmt.bits).astype(fmt.storage)


def float64_bits(x: np.ndarray) -> np.ndarray:
    """Bits of float64 values with one NaN, so that signs of zeros count and payloads don't."""
    return np.where(np.isnan(x), np.nan, x).view(np.uint64)


@pytest.mark.parametrize("name", FLOATS)
def test_every_code_means_what_ml_dtypes_says(name: str) -> None:
    codes = every_code(name)
    with np.errstate(invalid="ignore"):
        expected = codes.view(FLOATS[name][0]).astype(np.float64)
    np.testing.assert_array_equal(float64_bits(decode(codes, name)), float64_bits(expected))


@pytest.mark.parametrize("name", FLOATS)
def test_every_code_means_what_gfloat_says(name: str) -> None:
    codes = every_code(name)
    expected = gfloat.decode_ndarray(FLOATS[name][1], codes.astype(np.int64))
    np.testing.assert_array_equal(float64_bits(decode(codes, name)), float64_bits(expected))


@pytest.mark.parametrize(("name", "dtype"), [("int8", np.int8), ("uint8", np.uint8), ("int4", ml_dtypes.int4)])
def test_every_integer_code(name: str, dtype: type) -> None:
    codes = every_code(name)
    np.testing.assert_array_equal(decode(codes, name), codes.view(dtype).astype(np.int64))


@pytest.mark.parametrize(("name", "dtype"), [("fp32", np.float32), ("int32", np.int32)])
def test_wide_codes(name: str, dtype: type, rng: np.random.Generator) -> None:
    corners = np.array([0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7FFFFFFF], np.uint32)
    codes = np.concatenate([corners, corners | np.uint32(1 << 31), rng.integers(0, 1 << 32, 1 << 18).astype(np.uint32)])
    with np.errstate(invalid="ignore"):
        expected = codes.view(dtype).astype(np.float64)
    np.testing.assert_array_equal(float64_bits(decode(codes, name).astype(np.float64)), float64_bits(expected))


@pytest.mark.parametrize("name", [n for n in FORMATS if FORMATS[n].bits <= 16 and n != "e8m0"])
def test_encoding_a_value_gives_its_code_back(name: str) -> None:
    codes = every_code(name)
    values = decode(codes, name)
    known = ~np.isnan(values.astype(np.float64))
    back, _ = encode(values[known].astype(np.float64), name, saturate=False)
    np.testing.assert_array_equal(back, codes[known])


def test_e8m0_round_trip_and_directions() -> None:
    codes = every_code("e8m0")
    np.testing.assert_array_equal(to_e8m0(decode(codes, "e8m0")), codes)
    x = np.array([1.0, 1.5, 2.0, 0.75, 0.0, -1.0, np.inf, 1e300, 1e-300])
    np.testing.assert_array_equal(to_e8m0(x), [127, 127, 128, 126, 255, 255, 255, 254, 0])
    np.testing.assert_array_equal(to_e8m0(x, up=True), [127, 128, 128, 127, 255, 255, 255, 254, 0])


@pytest.mark.parametrize("name", [n for n in FLOATS if n != "e8m0"])
def test_table_agrees_with_ml_dtypes(name: str) -> None:
    fmt, info = FORMATS[name], ml_dtypes.finfo(FLOATS[name][0])
    assert (fmt.max_finite, fmt.p, fmt.emin) == (float(info.max), info.nmant + 1, int(np.log2(float(info.tiny))))
    assert fmt.emax == int(np.floor(np.log2(fmt.max_finite)))


def test_codes_are_the_fixed_ones() -> None:
    names = ["fp32", "int32", "bf16", "fp16", "e4m3", "e5m2", "int8", "uint8", "e2m1", "int4", "e8m0"]
    assert [by_code(i).name for i in range(11)] == names
    nans = {"fp32": 0x7FC00000, "bf16": 0x7FC0, "fp16": 0x7E00, "e4m3": 0x7F, "e5m2": 0x7E, "e8m0": 0xFF}
    assert {n: f.nan for n, f in FORMATS.items() if f.nan is not None} == nans


def test_pack4_is_low_nibble_first(rng: np.random.Generator) -> None:
    np.testing.assert_array_equal(pack4([1, 2, 15, 0]), [0x21, 0x0F])
    codes = rng.integers(0, 16, (3, 5, 8)).astype(np.uint8)
    np.testing.assert_array_equal(unpack4(pack4(codes)), codes)
    np.testing.assert_array_equal(unpack4(pack4(codes)).view(ml_dtypes.int4), codes.view(ml_dtypes.int4))


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=r"unknown number format 'fp7'; the formats are fp32, "):
        by_name("fp7")
    with pytest.raises(ValueError, match="format code 11 is not assigned; codes run from 0 to 10"):
        by_code(11)
    with pytest.raises(ValueError, match="e4m3 codes must be integers, not float64"):
        decode(np.zeros(3), "e4m3")
    with pytest.raises(ValueError, match=r"packed in pairs; a last axis of shape \(2, 3\) is not even"):
        pack4(np.zeros((2, 3), np.uint8))
