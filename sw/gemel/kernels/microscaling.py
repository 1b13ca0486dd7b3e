"""Quantisation by narrow scales: MX, with a power of two for 32 elements, and NVFP4, with an E4M3 number for 16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gemel import lang
from gemel.dtypes import dtype as format_of
from gemel.kernels.quantise import LEAST, amax, factors
from gemel.kernels.rows import Values, call, like, shaped
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor
from gemel_golden.formats import FORMATS, Format, decode
from gemel_golden.rounding import encode

__all__ = ["REFERENCES", "dequantise_mx", "dequantise_nvfp4", "quantise_mx", "quantise_nvfp4"]

MX_GROUP, NVFP4_GROUP = 32, 16
NVFP4_MOST = 448.0 * 6.0
"""The largest number of an E2M1 code times an E4M3 scale."""
INFINITY, NAN, NAN_CODE = 0x7F80_0000, 0x7FC0_0000, 255


@kernel
def _mx(x: Tile, *, exponent: int, fraction: int, to: str) -> tuple[Tile, Tile]:
    """Codes, and E8M0 codes. exponent, fraction: of the format's largest number; a larger fraction rounds up."""
    largest = abs(x).max().bits()
    power = (largest >> 23) - exponent
    power = power + lang.where((largest & 0x7F_FFFF) > fraction, 1, 0)
    power = lang.maximum(power, 0)
    finite = largest < INFINITY
    factor = lang.where(finite, (254 - power) << 23, NAN).from_bits()
    return (x * factor).astype(to), lang.where(finite, power, NAN_CODE).astype("fp32").astype("uint8")


@kernel
def _from_mx(codes: Tile, scales: Tile, *, to: str) -> Tile:
    scale = scales.astype("int32")
    power = lang.where(scale == NAN_CODE, NAN, lang.maximum(scale << 23, 1 << 22))
    return (codes * power.from_bits()).astype(to)


@kernel
def _nvfp4(x: Tile, inverse: Tile) -> tuple[Tile, Tile]:
    scale = (abs(x).max() * inverse * (1 / 6.0)).astype("e4m3")
    factor = lang.where(scale == 0.0, 0.0, lang.divide(inverse, scale))
    return (x * factor).astype("e2m1"), scale


@kernel
def _from_nvfp4(codes: Tile, scales: Tile, scale: Tile, *, to: str) -> Tile:
    return (codes * (scales * scale)).astype(to)


def _blocks(name: str, x: Values, group: int) -> tuple[int, int, int]:
    """Rows, columns, groups of a row."""
    if x.ndim != 2 or x.shape[1] % group or 0 in x.shape:
        raise ValueError(f"{name}: x has shape {x.shape}; it needs rows of a multiple of {group} elements")
    return x.shape[0], x.shape[1], x.shape[1] // group


def _retyped(x: Any, name: str) -> Any:
    """A tensor's bytes in another format; an array as it is."""
    if not isinstance(x, Tensor):
        return x
    return Tensor(x.device, x.buffer, x.address, x.shape, x.strides, FORMATS[name])


def _element(fmt: Format) -> tuple[int, int]:
    """Exponent and fraction bits, as FP32 has them, of a format's largest number."""
    if fmt.name not in ("e4m3", "e5m2", "e2m1"):
        raise ValueError(f"quantise_mx: {fmt} isn't an element of MX; there are e4m3, e5m2 and e2m1")
    bits = int(np.float32(fmt.max_finite).view(np.uint32))
    return fmt.emax, bits & 0x7F_FFFF


def quantise_mx(x: Values, dtype: str = "e4m3", *, up: bool = False, cores: int | None = None) -> tuple[Any, Any]:
    """(codes, scales) of x (R, C), C a multiple of 32: the OCP's MX formats. scales: E8M0 (R, C / 32), of an array
    their codes, uint8.

    A scale is 2^(floor(log2 amax) - emax), so that elements beyond the largest number saturate; `up` takes
    2^ceil(log2(amax / largest)), which saturates nothing (Mishra and others 2025, arXiv:2506.08027). At least 2^-127.
    A group with a NaN or an infinity has the scale NaN.
    """
    count, columns, groups = _blocks("quantise_mx", x, MX_GROUP)
    fmt = format_of(dtype)
    exponent, fraction = _element(fmt)
    options = {"exponent": exponent, "fraction": fraction if up else 0x7F_FFFF, "to": fmt.name}
    codes, scales = call(_mx, shaped(x, count * groups, MX_GROUP), **options, cores=cores)
    return codes.reshape(count, columns), _retyped(scales.reshape(count, groups), "e8m0")


def dequantise_mx(codes: Values, scales: Values, *, dtype: str = "fp32", cores: int | None = None) -> Any:
    """codes times their scales, as `quantise_mx` gave them; dtype: the result's format."""
    count, columns, groups = _blocks("dequantise_mx", codes, MX_GROUP)
    _match("dequantise_mx", scales, (count, groups))
    column = _retyped(scales, "uint8").reshape(count * groups, 1)
    found = call(_from_mx, shaped(codes, count * groups, MX_GROUP), column, to=like(codes, dtype), cores=cores)
    return found.reshape(count, columns)


def quantise_nvfp4(x: Values, *, cores: int | None = None) -> tuple[Any, Any, Any]:
    """(codes, scales, scale) of x (R, C), C a multiple of 16: E2M1 (R, C), E4M3 (R, C / 16), FP32 (1,).

    scale is amax(x) / 2688; a group's scale is its amax / 6 / scale in E4M3, by nearest even, and codes are
    x * ((2688 / amax(x)) / group's scale), 0 where that scale is 0. NVIDIA 2025, arXiv:2509.25149.
    """
    count, columns, groups = _blocks("quantise_nvfp4", x, NVFP4_GROUP)
    inverse, scale = call(factors, amax(x, cores=cores).reshape(1, 1), most=NVFP4_MOST, cores=cores)
    codes, scales = call(_nvfp4, shaped(x, count * groups, NVFP4_GROUP), inverse, cores=cores)
    return codes.reshape(count, columns), scales.reshape(count, groups), scale.reshape(1)


def dequantise_nvfp4(
    codes: Values, scales: Values, scale: Values, *, dtype: str = "fp32", cores: int | None = None
) -> Any:
    """codes * (scales * scale), as `quantise_nvfp4` gave them; dtype: the result's format."""
    count, columns, groups = _blocks("dequantise_nvfp4", codes, NVFP4_GROUP)
    _match("dequantise_nvfp4", scales, (count, groups))
    matrix = shaped(codes, count * groups, NVFP4_GROUP)
    column = scales.reshape(count * groups, 1)
    found = call(_from_nvfp4, matrix, column, scale.reshape(1, 1), to=like(codes, dtype), cores=cores)
    return found.reshape(count, columns)


def _match(name: str, scales: Values, shape: tuple[int, int]) -> None:
    if scales.shape != shape:
        raise ValueError(f"{name}: scales have shape {scales.shape}; the codes need {shape}")


def _mx_reference(x: Any, dtype: str = "e4m3", up: bool = False) -> tuple[Any, Any]:
    fmt = format_of(dtype)
    groups = np.float32(x).reshape(-1, MX_GROUP)
    largest = np.abs(groups).max(axis=1, keepdims=True).astype(np.float64)
    fine = np.isfinite(largest)
    fraction, exponent = np.frexp(np.where(fine & (largest > 0), largest, 2.0**-149))
    power = exponent - 1 - fmt.emax
    if up:
        power = power + (fraction * 2 > np.frexp(fmt.max_finite)[0] * 2)
    power = np.clip(power, -127, 127)
    with np.errstate(all="ignore"):
        shrunk = groups * np.where(fine, 2.0**-power, np.nan).astype(np.float32)
    codes = decode(encode(shrunk, fmt)[0], fmt).astype(np.float32)
    scales = np.where(fine, power + 127, NAN_CODE).astype(np.uint8)
    return codes.reshape(x.shape), scales.reshape(x.shape[0], -1)


def _nvfp4_reference(x: Any) -> tuple[Any, Any, Any]:
    groups = np.float32(x).reshape(-1, NVFP4_GROUP)
    largest = np.maximum(np.abs(groups).max(), np.float32(LEAST))
    inverse, scale = np.float32(NVFP4_MOST) / largest, largest / np.float32(NVFP4_MOST)
    own = np.abs(groups).max(axis=1, keepdims=True) * inverse * np.float32(1 / 6.0)
    scales = decode(encode(own, FORMATS["e4m3"])[0], "e4m3").astype(np.float32)
    factor = np.divide(inverse, scales, out=np.zeros_like(scales), where=scales != 0)
    codes = decode(encode(groups * factor, FORMATS["e2m1"])[0], "e2m1")
    return codes.reshape(x.shape), scales.reshape(x.shape[0], -1), scale.reshape(1)


def _spread(scales: Any, codes: Any) -> Any:
    return np.repeat(scales, codes.shape[1] // scales.shape[1], axis=1)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "quantise_mx": _mx_reference,
    "dequantise_mx": lambda codes, scales: codes * _spread(decode(scales, "e8m0"), codes),
    "quantise_nvfp4": _nvfp4_reference,
    "dequantise_nvfp4": lambda codes, scales, scale: np.float32(codes) * _spread(scales * scale, codes),
}
"""The kernels in NumPy, with the kernels' bits; codes as numbers, E8M0 scales as codes."""
