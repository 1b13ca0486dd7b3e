"""The table of number formats and what a code of each of them means, exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Format:
    """One number format.

    A finite floating-point code means (-1)^s * m * 2^(e - p + 1) with m an integer below 2^p; the exponent field 0
    means e = emin without a hidden bit. Opposite a floating-point operand, an integer counts as p = 8, e = 7.
    """

    name: str
    code: int
    """The 4-bit number of the format in instructions and ports."""
    bits: int
    kind: str
    """"float", "int" or "scale" (E8M0: a power of two without sign or zero)."""
    exponent_bits: int = 0
    mantissa_bits: int = 0
    bias: int = 0
    signed: bool = True
    has_inf: bool = False
    has_nan: bool = False
    largest: int = 0
    """Code of the largest finite value."""
    nan: int | None = None
    """Code of the one NaN that results carry."""
    stochastic_bits: int = 0
    """Random bits that stochastic rounding to this format adds below the kept bits; 0 where it isn't defined."""
    operand: bool = False
    """Whether the tensor core's dot product takes it."""

    @property
    def p(self) -> int:
        """Significand bits, the hidden one included; 8 for integer operands up to 8 bits."""
        return self.mantissa_bits + 1 if self.kind != "int" else max(8, self.bits)

    @property
    def emin(self) -> int:
        """Exponent of the smallest normal value."""
        return self.p - 1 if self.kind == "int" else (1 - self.bias if self.kind == "float" else -self.bias)

    @property
    def emax(self) -> int:
        """Exponent of the largest finite value."""
        if self.kind == "int":
            return self.p - 1
        return max(self.largest >> self.mantissa_bits, 1) - self.bias

    @property
    def storage(self) -> np.dtype[Any]:
        """Unsigned dtype that holds one code (4-bit codes: one per uint8 in the low bits)."""
        return np.dtype(np.uint8 if self.bits <= 8 else f"u{self.bits // 8}")

    @property
    def is_int(self) -> bool:
        return self.kind == "int"

    @property
    def min_int(self) -> int:
        """Smallest value of an integer format."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max_int(self) -> int:
        """Largest value of an integer format."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def max_finite(self) -> float:
        """Largest finite value."""
        return float(self.max_int) if self.is_int else float(decode(np.asarray(self.largest), self))

    @property
    def saturates(self) -> bool:
        """Whether a conversion to this format clamps when nothing else is asked: all but FP32, FP16 and BF16 do."""
        return self.bits <= 8 or self.is_int

    def __str__(self) -> str:
        return self.name


def _float(name: str, code: int, exponent: int, mantissa: int, **others: Any) -> Format:
    return Format(
        name=name,
        code=code,
        bits=1 + exponent + mantissa,
        kind="float",
        exponent_bits=exponent,
        mantissa_bits=mantissa,
        bias=(1 << (exponent - 1)) - 1,
        **others,
    )


_TABLE = (
    _float("fp32", 0, 8, 23, has_inf=True, has_nan=True, largest=0x7F7F_FFFF, nan=0x7FC0_0000),
    Format(name="int32", code=1, bits=32, kind="int", largest=0x7FFF_FFFF),
    _float("bf16", 2, 8, 7, has_inf=True, has_nan=True, largest=0x7F7F, nan=0x7FC0, stochastic_bits=16, operand=True),
    _float("fp16", 3, 5, 10, has_inf=True, has_nan=True, largest=0x7BFF, nan=0x7E00, stochastic_bits=16, operand=True),
    _float("e4m3", 4, 4, 3, has_nan=True, largest=0x7E, nan=0x7F, stochastic_bits=20, operand=True),
    _float("e5m2", 5, 5, 2, has_inf=True, has_nan=True, largest=0x7B, nan=0x7E, stochastic_bits=21, operand=True),
    Format(name="int8", code=6, bits=8, kind="int", largest=0x7F, operand=True),
    Format(name="uint8", code=7, bits=8, kind="int", signed=False, largest=0xFF),
    _float("e2m1", 8, 2, 1, largest=0x7, stochastic_bits=22, operand=True),
    Format(name="int4", code=9, bits=4, kind="int", largest=0x7, operand=True),
    Format(
        name="e8m0",
        code=10,
        bits=8,
        kind="scale",
        exponent_bits=8,
        bias=127,
        signed=False,
        has_nan=True,
        largest=0xFE,
        nan=0xFF,
    ),
)

FORMATS: Mapping[str, Format] = MappingProxyType({f.name: f for f in _TABLE})
BY_CODE: Mapping[int, Format] = MappingProxyType({f.code: f for f in _TABLE})
OPERANDS: tuple[str, ...] = tuple(f.name for f in _TABLE if f.operand)


def by_name(fmt: "Format | str") -> Format:
    """The format of this name (a `Format` passes through). Raises ValueError for an unknown name."""
    if isinstance(fmt, Format):
        return fmt
    if fmt not in FORMATS:
        raise ValueError(f"unknown number format {fmt!r}; the formats are {', '.join(FORMATS)}")
    return FORMATS[fmt]


def by_code(code: int) -> Format:
    """The format with this 4-bit code. Raises ValueError for a code that names none."""
    if code not in BY_CODE:
        raise ValueError(f"format code {code} is not assigned; codes run from 0 to {max(BY_CODE)}")
    return BY_CODE[code]


def as_codes(codes: ArrayLike, fmt: Format | str) -> NDArray[Any]:
    """Any integer array as unsigned codes in the format's storage dtype; signed input is taken as two's complement."""
    fmt = by_name(fmt)
    array = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{fmt} codes must be integers, not {array.dtype}")
    array = array.astype(fmt.storage, copy=False)
    return array & array.dtype.type((1 << fmt.bits) - 1) if fmt.bits < 8 else array


def _decode_wide(codes: NDArray[Any], fmt: Format) -> NDArray[Any]:
    u = codes.astype(np.int64)
    if fmt.is_int:
        return np.where(u > fmt.max_int, u - (1 << fmt.bits), u)
    if fmt.kind == "scale":
        return np.where(u == fmt.nan, np.nan, np.ldexp(1.0, (u - fmt.bias).astype(np.int32)))
    mantissa = u & ((1 << fmt.mantissa_bits) - 1)
    field = (u >> fmt.mantissa_bits) & ((1 << fmt.exponent_bits) - 1)
    significand = mantissa + np.where(field > 0, 1 << fmt.mantissa_bits, 0)
    exponent = np.maximum(field, 1) - fmt.bias - fmt.mantissa_bits
    value = np.ldexp(significand.astype(np.float64), exponent.astype(np.int32))
    magnitude = u & ((1 << (fmt.bits - 1)) - 1)
    if fmt.has_inf:
        value = np.where(magnitude == fmt.largest + 1, np.inf, value)
    if fmt.has_nan:
        value = np.where(magnitude > fmt.largest + fmt.has_inf, np.nan, value)
    return np.where(u >> (fmt.bits - 1), -value, value)


@cache
def _values(fmt: Format) -> NDArray[Any]:
    values = _decode_wide(np.arange(1 << fmt.bits), fmt)
    values.flags.writeable = False
    return values


def decode(codes: ArrayLike, fmt: Format | str) -> NDArray[Any]:
    """Exact values of codes (any shape): float64, or int64 for integer formats.

    Every NaN decodes to NaN, and -0.0 keeps its sign.
    """
    fmt = by_name(fmt)
    array = as_codes(codes, fmt)
    return _values(fmt)[array] if fmt.bits <= 16 else _decode_wide(array, fmt)


def pack4(codes: ArrayLike) -> NDArray[np.uint8]:
    """Pack 4-bit codes (..., n), one per element, into bytes (..., n/2), low nibble first; ValueError for odd n."""
    array = np.asarray(codes)
    if array.ndim == 0 or array.shape[-1] % 2:
        raise ValueError(f"4-bit codes are packed in pairs; a last axis of shape {array.shape} is not even")
    low, high = (array[..., i::2].astype(np.uint8) & np.uint8(15) for i in (0, 1))
    return low | (high << np.uint8(4))


def unpack4(packed: ArrayLike) -> NDArray[np.uint8]:
    """Unpack bytes (..., n) into 4-bit codes (..., 2n), low nibble first."""
    array = np.asarray(packed, np.uint8)
    return np.stack((array & np.uint8(15), array >> np.uint8(4)), axis=-1).reshape(
        *array.shape[:-1], 2 * array.shape[-1]
    )
