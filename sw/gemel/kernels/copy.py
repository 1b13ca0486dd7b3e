"""Copies by the DMA units alone: of any view to any view, in another format, or quantised on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from gemel.dtypes import dtype as format_of
from gemel.dtypes import from_codes
from gemel.kernels import microscaling, quantise
from gemel.kernels.copy_program import Axis, CopySpec, copy_program, share_copy
from gemel.kernels.rows import Values
from gemel.kernels.split import movers_for
from gemel.tensors import Tensor, empty
from gemel_golden.formats import FORMATS, Format
from gemel_golden.isa import BlockScale
from gemel_golden.rounding import encode

__all__ = ["REFERENCES", "conversion", "copy", "copy_fp8", "copy_mx"]

FLOATS = ("fp32", "bf16", "fp16", "e4m3", "e5m2")
NARROW = ("e4m3", "e5m2")
MX_BLOCK, FP8_BLOCK = 32, 128
"""Elements that share a scale."""


def copy(
    x: Values,
    dtype: str | None = None,
    *,
    scale: float = 1.0,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Any:
    """x, any view, in a new dense tensor, or in `out`, any view of x's shape; in format `dtype` (out's or x's own).

    With another format, or a scale, elements are x * scale rounded to FP32 and then to the format, nearest even; e4m3
    and e5m2 saturate. Between fp32, bf16, fp16, e4m3 and e5m2; every other format is copied as it is. What is
    side by side in x and not in out is transposed on the way (not in 4-bit formats); where nothing is side by side, in
    x or in out, elements go one by one. cores: so many of the chip's share the copy; default: one for each channel of
    memory, which a core fills.
    """
    target = format_of(dtype) if dtype is not None else out.format if out is not None else format_of(x.dtype)
    if out is not None and (out.shape != x.shape or out.format is not target):
        raise ValueError(f"out is {out.dtype} {out.shape}; the copy is {target} {x.shape}")
    how = conversion("copy", x, target, scale)
    if not isinstance(x, Tensor):
        return _copied(x, target.name, scale)
    found = empty(x.device, x.shape, target) if out is None else out
    spec = CopySpec(axes=_axes(x, found, whole=out is not None), source=_size(x), target=_size(found), how=how)
    _run(spec, x, found, cores)
    return found


def copy_mx(x: Values, dtype: str = "e4m3", *, cores: int | None = None) -> tuple[Any, Any]:
    """(codes, scales) of x (..., C) in MX, as `quantise_mx` gives them, by a copy: the vector core has no part in it.

    x: fp32, bf16, fp16 or FP8, any view; dtype: e4m3 or e5m2; scales: e8m0 (..., ceil(C / 32)), of an array their
    codes. cores: as `copy`'s.
    """
    target = format_of(dtype)
    _check("copy_mx", x, target, NARROW)
    if not isinstance(x, Tensor):
        return _padded(microscaling.REFERENCES["quantise_mx"], x, target.name, MX_BLOCK)
    scales = empty(x.device, _blocks(x, MX_BLOCK), FORMATS["e8m0"])
    return _quantised(x, target, scales, MX_BLOCK, BlockScale.MX, cores), scales


def copy_fp8(x: Values, dtype: str = "e4m3", *, by_group: bool = False, cores: int | None = None) -> tuple[Any, Any]:
    """(codes, scales) of x (..., C) in FP8 with an fp32 scale for each 1 x 128 elements, by a copy.

    As `quantise(x, dtype, by="1x128")` gives them for amax below 2^126. x: fp32, bf16, fp16 or FP8, any view; dtype:
    e4m3 or e5m2; scales: (..., ceil(C / 128)). by_group: those of a matrix are the view of a (ceil(C / 128), R) tensor,
    which `matmul` takes as `a_scale`. cores: as `copy`'s.
    """
    target = format_of(dtype)
    _check("copy_fp8", x, target, NARROW)
    if by_group and x.ndim != 2:
        raise ValueError(f"copy_fp8: scales by group are of a matrix; x has shape {x.shape}")
    if not isinstance(x, Tensor):
        return _padded(quantise.REFERENCES["quantise"], x, target.name, FP8_BLOCK, by="1x128")
    shape = _blocks(x, FP8_BLOCK)
    scales = empty(x.device, shape[::-1], "fp32").T if by_group else empty(x.device, shape, "fp32")
    return _quantised(x, target, scales, FP8_BLOCK, BlockScale.FP32, cores), scales


def conversion(name: str, x: Values, target: Format, scale: float = 1.0) -> dict[str, int]:
    """The fields of STORE_CONVERT that make x * scale in a format; none where it is x's own, and nothing is to be done.

    Raises ValueError, in the name of a kernel, for formats that can't be converted.
    """
    source = format_of(x.dtype)
    if target is source and scale == 1.0:
        return {}
    _check(name, x, target, FLOATS)
    return {
        "factor": int(np.float32(scale).view(np.uint32)),
        "source_format": source.code,
        "target_format": target.code,
    }


def _check(name: str, x: Values, target: Format, targets: tuple[str, ...]) -> None:
    source = format_of(x.dtype)
    if source.name not in FLOATS or target.name not in targets:
        verb = "converts" if targets is FLOATS else "quantises"
        raise ValueError(f"{name} {verb} {', '.join(FLOATS)} to {', '.join(targets)}, not {source} to {target}")


def _size(x: Tensor) -> int:
    return max(8, x.format.bits) // 8


def _blocks(x: Tensor, block: int) -> tuple[int, ...]:
    return (*x.shape[:-1], -(-x.shape[-1] // block))


def _axes(x: Tensor, out: Tensor, scales: Tensor | None = None, *, whole: bool = False) -> tuple[Axis, ...]:
    """The dimensions of a copy; bytes that 4-bit elements share are one. `whole`: no half of a byte may change."""
    shape, strides = list(x.shape), [list(x.strides), list(out.strides)]
    if x.format.bits < 8:
        packed = [stride.index(0) for stride in strides]
        if packed[0] != packed[1]:
            raise ValueError(
                f"a copy can't transpose {x.dtype}, whose elements share bytes along dimension {packed[0]}"
            )
        if whole and shape[packed[0]] % 2:
            raise ValueError(f"out has {shape[packed[0]]} {x.dtype} elements side by side; a copy takes an even number")
        shape[packed[0]] = -(-shape[packed[0]] // 2)
        for stride in strides:
            stride[packed[0]] = 1
    beside = [0] * len(shape) if scales is None else list(scales.strides)
    return tuple(Axis(*axis) for axis in zip(shape, *strides, beside, strict=True))


def _run(spec: CopySpec, x: Tensor, found: Tensor, cores: int | None, scales: Tensor | None = None) -> None:
    available = movers_for(x.device, cores)
    if not x.size:
        return
    piece, steps = share_copy(spec, 1 if x.buffer is found.buffer else len(available))
    arguments = [[x.address + source, found.address + target] for source, target, _ in steps]
    if scales is not None and piece.staged:
        places = empty(x.device, (steps[-1][1] + piece.scale_bytes,), "int8")
        piece = replace(piece, scales=places.address - found.address)
        arguments = [
            [*both, places.address + target, scales.address + to]
            for both, (_, target, to) in zip(arguments, steps, strict=True)
        ]
    x.device.run(copy_program(x.device.config, piece), arguments, cores=available[: len(steps)], name="copy")


def _quantised(x: Tensor, target: Format, scales: Tensor, block: int, kind: BlockScale, cores: int | None) -> Tensor:
    codes = empty(x.device, x.shape, target)
    spec = CopySpec(
        axes=_axes(x, codes, scales),
        source=_size(x),
        target=1,
        block=block,
        scales=scales.address - codes.address,
        scale=_size(scales),
        split=scales.shape[-1] > 1 and scales.strides[-1] != _size(scales),
        how={"source_format": x.format.code, "target_format": target.code, "block_scale": kind},
    )
    _run(spec, x, codes, cores, scales)
    return codes


def _copied(x: Any, dtype: str, scale: float = 1.0) -> Any:
    target = format_of(dtype)
    if target is format_of(x.dtype) and scale == 1.0:
        return x.copy()
    return from_codes(encode(np.float32(x) * np.float32(scale), target)[0], target)


def _padded(reference: Callable[..., Any], x: Any, dtype: str, block: int, **options: Any) -> tuple[Any, Any]:
    """A reference for matrices of whole blocks, of any array."""
    columns = x.shape[-1]
    wide = np.pad(np.float32(x), [(0, 0)] * (x.ndim - 1) + [(0, -columns % block)])
    codes, scales = reference(wide.reshape(-1, wide.shape[-1]), dtype, **options)
    return codes.reshape(wide.shape)[..., :columns], scales.reshape(*wide.shape[:-1], -1)


REFERENCES: Mapping[str, Callable[..., Any]] = {
    "copy": _copied,
    "copy_mx": lambda x, dtype="e4m3": _padded(microscaling.REFERENCES["quantise_mx"], x, dtype, MX_BLOCK),
    "copy_fp8": lambda x, dtype="e4m3": _padded(quantise.REFERENCES["quantise"], x, dtype, FP8_BLOCK, by="1x128"),
}
"""The kernels in NumPy on float32; codes as numbers."""
