"""Conversions into every number format: nearest even or stochastic, saturating or not."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, Format, as_codes, by_name, decode

MODES = ("nearest", "stochastic")


def _integers(x: NDArray[np.float64], fmt: Format) -> tuple[NDArray[Any], Flags]:
    """Nearest even, always clamped; NaN becomes 0 and is invalid."""
    nan = np.isnan(x)
    rounded = np.rint(np.where(nan, 0.0, x))
    clamped = np.clip(rounded, fmt.min_int, fmt.max_int)
    saturated = int(np.count_nonzero(clamped != rounded))
    codes = as_codes(clamped.astype(np.int64) & ((1 << fmt.bits) - 1), fmt)
    return codes, Flags(invalid=bool(nan.any()), saturated=saturated)


def _magnitude_codes(x: NDArray[np.float64], fmt: Format, random: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Codes of |x| (finite), rounded as if the exponent had no upper end."""
    fraction, exponent = np.frexp(np.abs(x))
    m = np.ldexp(fraction, 53).astype(np.int64)
    e = np.maximum(exponent.astype(np.int64) - 1, fmt.emin)
    shift = (e - fmt.mantissa_bits) - (exponent.astype(np.int64) - 53)
    cut = np.minimum(shift, 62)
    kept = m >> cut
    rest = m & ((np.int64(1) << cut) - 1)
    if random is None:
        half = np.int64(1) << (cut - 1)
        up = (rest > half) | ((rest == half) & (kept & 1 == 1))
    else:
        # Only the first r bits of what is cut off can make a carry with an r-bit number added there.
        r = fmt.stochastic_bits
        below = np.where(shift >= r, rest >> np.clip(shift - r, 0, 63), rest << np.clip(r - shift, 0, 63))
        up = below + random >= 1 << r
    # A carry out of the significand steps the exponent field by itself.
    codes = ((e - fmt.emin) << fmt.mantissa_bits) + kept + up
    return np.where(x == 0, 0, codes)


def encode(
    x: ArrayLike,
    fmt: Format | str,
    *,
    mode: str = "nearest",
    random: ArrayLike | None = None,
    saturate: bool | None = None,
) -> tuple[NDArray[Any], Flags]:
    """Round float64 values (any shape) once to a format; returns (codes, flags).

    mode: "nearest" (ties to even) or "stochastic", which adds `random`, an integer below 2^fmt.stochastic_bits that
    broadcasts to x, just below the kept bits of the magnitude and truncates (floating-point formats up to 16 bits).
    saturate: clamp what is too large, infinities included, to the largest finite value. None means the format's own
    default (`Format.saturates`). Without it E4M3 gives NaN and the others Inf. E2M1 and the integers always clamp.
    NaN becomes the format's one NaN; E2M1 gives its largest value and an integer 0, both flagged invalid.

    Raises ValueError for an unknown mode, for missing or too large random bits, and for E8M0 (see `to_e8m0`).
    """
    fmt = by_name(fmt)
    x = np.asarray(x, np.float64)
    if mode not in MODES:
        raise ValueError(f"unknown rounding mode {mode!r}; the modes are {', '.join(MODES)}")
    if fmt.kind == "scale":
        raise ValueError(f"{fmt} codes are made by to_e8m0, which rounds to a power of two")
    r = None
    if mode == "stochastic":
        r = _checked_random(random, fmt, x.shape)
    if fmt.is_int:
        return _integers(x, fmt)

    nan, inf = np.isnan(x), np.isinf(x)
    codes = _magnitude_codes(np.where(nan | inf, 0.0, x), fmt, r)
    codes = np.where(inf, fmt.largest + 1, codes)
    over = codes > fmt.largest
    clamps = fmt.saturates if saturate is None else saturate
    flags = Flags()
    if clamps or not fmt.has_nan:
        flags = Flags(saturated=int(np.count_nonzero(over)))
        codes = np.where(over, fmt.largest, codes)
    elif fmt.has_inf:
        flags = Flags(overflow=bool((over & ~inf).any()))
        codes = np.where(over, fmt.largest + 1, codes)
    else:
        flags = Flags(overflow=bool(over.any()))
        nan = nan | over
    codes = codes | (np.signbit(x).astype(np.int64) << (fmt.bits - 1))
    if fmt.nan is not None:
        codes = np.where(nan, fmt.nan, codes)
    else:
        flags |= Flags(invalid=bool(nan.any()))
        codes = np.where(nan, fmt.largest, codes)
    return codes.astype(fmt.storage), flags


def _checked_random(random: ArrayLike | None, fmt: Format, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if fmt.stochastic_bits == 0:
        raise ValueError(f"stochastic rounding is not defined for {fmt}")
    if random is None:
        raise ValueError(f"stochastic rounding to {fmt} needs random: {fmt.stochastic_bits} bits per element")
    r = np.broadcast_to(np.asarray(random).astype(np.int64), shape)
    if r.size and (r.min() < 0 or r.max() >> fmt.stochastic_bits):
        raise ValueError(
            f"random bits for {fmt} lie in 0..{(1 << fmt.stochastic_bits) - 1}, not {int(r.min())}..{int(r.max())}"
        )
    return r


def from_fp32(
    x: ArrayLike,
    fmt: Format | str,
    *,
    mode: str = "nearest",
    random: ArrayLike | None = None,
    saturate: bool | None = None,
) -> tuple[NDArray[Any], Flags]:
    """Convert FP32 (uint32 bits, or a float32 array) to a format; returns (codes, flags). See `encode`.

    FP32 to FP32 passes the bits through.
    """
    fmt = by_name(fmt)
    array = np.asarray(x)
    bits = array.view(np.uint32) if array.dtype == np.float32 else as_codes(array, "fp32")
    if fmt.name == "fp32" and mode == "nearest":
        return bits.copy(), Flags()
    return encode(decode(bits, "fp32"), fmt, mode=mode, random=random, saturate=saturate)


def from_int32(x: ArrayLike, fmt: Format | str, *, saturate: bool | None = None) -> tuple[NDArray[Any], Flags]:
    """Convert INT32 (int32, or its uint32 bits) as the core does: to FP32 by nearest even, then to the format.

    INT32 to INT32 passes the bits through.
    """
    fmt = by_name(fmt)
    bits = as_codes(x, "int32")
    if fmt.name == "int32":
        return bits.copy(), Flags()
    rounded, _ = encode(decode(bits, "int32").astype(np.float64), FORMATS["fp32"])
    return from_fp32(rounded, fmt, saturate=saturate)


def to_e8m0(x: ArrayLike, *, up: bool = False) -> NDArray[np.uint8]:
    """E8M0 codes of positive float64 values rounded down (or up) to a power of two; NaN for what isn't positive.

    Results are clamped to 2^-127 .. 2^127; an infinity becomes NaN.
    """
    x = np.asarray(x, np.float64)
    usable = np.isfinite(x) & (x > 0)
    fraction, exponent = np.frexp(np.where(usable, x, 1.0))
    power = exponent.astype(np.int64) - 1 + (up & (fraction > 0.5))
    return np.where(usable, np.clip(power + 127, 0, 254), 255).astype(np.uint8)
