"""Conversions against gfloat, ml_dtypes, NumPy and rationals: nearest even, stochastic, saturation and flags."""

from fractions import Fraction

import gfloat
import gfloat.formats as gf
import ml_dtypes
import numpy as np
import pytest

from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, decode
from gemel_golden.rounding import encode, from_fp32, from_int32

INFOS = {
    "fp16": gf.format_info_binary16,
    "bf16": gf.format_info_bfloat16,
    "e4m3": gf.format_info_ocp_e4m3,
    "e5m2": gf.format_info_ocp_e5m2,
    "e2m1": gf.format_info_ocp_e2m1,
}
NARROW_INTS = ("int8", "uint8", "int4")


def float64_bits(x: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(x), np.nan, x).view(np.uint64)


def fp32_inputs(rng: np.random.Generator, name: str) -> np.ndarray:
    """FP32 bits: every tie between neighbours of the format and one ulp beside, the top, specials, and random bits."""
    fmt = FORMATS[name]
    codes = np.arange(min(fmt.largest + 1, 1 << 15))
    values = np.concatenate([decode(codes, name).astype(np.float64), [2.0 * fmt.max_finite]])
    with np.errstate(over="ignore"):
        ties = ((values[1:] + values[:-1]) / 2).astype(np.float32)
        top = np.float32(fmt.max_finite)
    steps = [np.nextafter(ties, np.float32(d)) for d in (-np.inf, np.inf)]
    edge = np.array([top, np.nextafter(top, np.float32(np.inf)), 0.0, np.inf, np.nan, 1e-45, 1e-38, 3e38], np.float32)
    positive = np.concatenate([ties, *steps, edge, np.abs(rng.normal(0, 2, 4096)).astype(np.float32)])
    bits = np.concatenate([positive.view(np.uint32), rng.integers(0, 1 << 31, 1 << 14).astype(np.uint32)])
    return np.concatenate([bits, bits | np.uint32(1 << 31)])


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("name", INFOS)
def test_nearest_even_as_gfloat(name: str, saturate: bool, rng: np.random.Generator) -> None:
    bits = fp32_inputs(rng, name)
    values = decode(bits, "fp32")
    fmt = FORMATS[name]
    if not fmt.has_nan:
        keep = np.isfinite(values) & (saturate | (np.abs(values) <= fmt.max_finite))
        bits, values = bits[keep], values[keep]
    codes, _ = from_fp32(bits, name, saturate=saturate)
    assert codes.dtype == fmt.storage
    expected = gfloat.round_ndarray(INFOS[name], values, sat=saturate)
    np.testing.assert_array_equal(float64_bits(decode(codes, name)), float64_bits(expected))
    np.testing.assert_array_equal(codes[np.isnan(expected)], np.full(np.isnan(expected).sum(), fmt.nan or 0))


@pytest.mark.parametrize(("name", "dtype"), [("bf16", ml_dtypes.bfloat16), ("fp16", np.float16)])
def test_default_of_the_16_bit_formats_is_ieee(name: str, dtype: type, rng: np.random.Generator) -> None:
    bits = fp32_inputs(rng, name)
    with np.errstate(all="ignore"):
        expected = bits.view(np.float32).astype(dtype).astype(np.float64)
    np.testing.assert_array_equal(float64_bits(decode(from_fp32(bits, name)[0], name)), float64_bits(expected))


def test_fp32_from_float64_is_one_rounding(rng: np.random.Generator) -> None:
    x = np.ldexp(rng.normal(0, 1, 1 << 16), rng.integers(-160, 130, 1 << 16))
    with np.errstate(all="ignore"):
        expected = x.astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(encode(x, "fp32")[0], expected)


@pytest.mark.parametrize("name", INFOS)
def test_stochastic_as_gfloat(name: str, rng: np.random.Generator) -> None:
    fmt = FORMATS[name]
    bits = fp32_inputs(rng, name)
    values = decode(bits, "fp32")
    bits, values = bits[np.isfinite(values)], values[np.isfinite(values)]
    random = rng.integers(0, 1 << fmt.stochastic_bits, bits.size)
    codes, _ = from_fp32(bits, name, mode="stochastic", random=random, saturate=True)
    mode = gfloat.RoundMode.StochasticFastest
    expected = gfloat.round_ndarray(INFOS[name], values, mode, True, random, fmt.stochastic_bits)
    np.testing.assert_array_equal(float64_bits(decode(codes, name)), float64_bits(expected))


@pytest.mark.parametrize("name", ["bf16", "fp16", "e4m3"])
def test_stochastic_rounds_up_as_often_as_its_fraction_says(name: str) -> None:
    """Over all random numbers the mean of a normal FP32 value's roundings is the value itself, exactly."""
    fmt = FORMATS[name]
    random = np.arange(1 << fmt.stochastic_bits)
    for x in np.array([1.2345678, -0.7654321, 3.0], np.float32):
        codes, _ = from_fp32(np.full(random.size, x), name, mode="stochastic", random=random)
        total = sum(
            Fraction(float(v)) * int(n)
            for v, n in zip(*np.unique(decode(codes, name), return_counts=True), strict=True)
        )
        assert total == Fraction(float(x)) * random.size


@pytest.mark.parametrize("name", NARROW_INTS)
def test_integers_round_to_even_and_clamp(name: str, rng: np.random.Generator) -> None:
    fmt = FORMATS[name]
    halves = np.arange(-600, 601) / 2
    x = np.concatenate([halves, rng.normal(0, 60, 500), [np.inf, -np.inf, 3e38, -3e38]]).astype(np.float32)
    codes, flags = from_fp32(x, name)
    exact = [round(Fraction(float(v))) if np.isfinite(v) else int(np.sign(v)) * 10**9 for v in x]
    expected = [min(max(v, fmt.min_int), fmt.max_int) for v in exact]
    np.testing.assert_array_equal(decode(codes, name), expected)
    assert flags == Flags(saturated=sum(a != b for a, b in zip(exact, expected, strict=True)))


def test_int32_clamps_at_its_ends() -> None:
    x = np.array([2147483520.0, 2147483648.0, -2147483648.0, -2147483904.0, 2.5, np.nan], np.float32)
    codes, flags = from_fp32(x, "int32")
    np.testing.assert_array_equal(codes.view(np.int32), [2147483520, 2147483647, -2147483648, -2147483648, 2, 0])
    assert flags == Flags(invalid=True, saturated=2)


def test_int32_goes_through_fp32() -> None:
    # 2^24 + 1 is a tie in FP32; rounding it straight to BF16 or FP16 would never see that.
    x = np.array([(1 << 24) + 1, (1 << 24) + 3, 257 << 16, -5, (1 << 31) - 1], np.int32)
    np.testing.assert_array_equal(from_int32(x, "fp32")[0].view(np.float32), x.astype(np.float32))
    np.testing.assert_array_equal(from_int32(x, "int32")[0].view(np.int32), x)
    expected = x.astype(np.float32).astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(from_int32(x, "bf16")[0], expected)


INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("name", "x", "saturate", "code", "flags"),
    [
        ("e4m3", 464.0, None, 0x7E, Flags()),
        ("e4m3", 465.0, None, 0x7E, Flags(saturated=1)),
        ("e4m3", -INF, None, 0xFE, Flags(saturated=1)),
        ("e4m3", -465.0, False, 0x7F, Flags(overflow=True)),
        ("e4m3", INF, False, 0x7F, Flags(overflow=True)),
        ("e4m3", -NAN, None, 0x7F, Flags()),
        ("e5m2", 61440.0, None, 0x7B, Flags(saturated=1)),
        ("e5m2", -61440.0, False, 0xFC, Flags(overflow=True)),
        ("e5m2", INF, False, 0x7C, Flags()),
        ("e5m2", NAN, False, 0x7E, Flags()),
        ("e2m1", 7.0, False, 0x7, Flags(saturated=1)),
        ("e2m1", -NAN, None, 0x7, Flags(invalid=True)),
        ("bf16", -3.4e38, None, 0xFF80, Flags(overflow=True)),
        ("bf16", -3.4e38, True, 0xFF7F, Flags(saturated=1)),
        ("bf16", INF, True, 0x7F7F, Flags(saturated=1)),
        ("fp16", 65520.0, None, 0x7C00, Flags(overflow=True)),
        ("fp16", NAN, True, 0x7E00, Flags()),
        ("int8", NAN, None, 0, Flags(invalid=True)),
        ("uint8", -1.0, False, 0, Flags(saturated=1)),
        ("int4", -0.5, None, 0, Flags()),
    ],
)
def test_edges_and_flags(name: str, x: float, saturate: bool | None, code: int, flags: Flags) -> None:
    codes, got = from_fp32(np.array([x], np.float32), name, saturate=saturate)
    assert (int(codes[0]), got) == (code, flags)


def test_errors_name_the_value() -> None:
    x = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="unknown rounding mode 'up'; the modes are nearest, stochastic"):
        from_fp32(x, "bf16", mode="up")
    with pytest.raises(ValueError, match="stochastic rounding to bf16 needs random: 16 bits per element"):
        from_fp32(x, "bf16", mode="stochastic")
    with pytest.raises(ValueError, match=r"random bits for bf16 lie in 0..65535, not 0..65536"):
        from_fp32(x, "bf16", mode="stochastic", random=[0, 65536])
    with pytest.raises(ValueError, match="stochastic rounding is not defined for int8"):
        from_fp32(x, "int8", mode="stochastic", random=[0, 0])
    with pytest.raises(ValueError, match="e8m0 codes are made by to_e8m0"):
        from_fp32(x, "e8m0")
