"""Copies by the DMA units alone: as they are, in another format, or quantised to MX on the way."""

from __future__ import annotations

from typing import Any

import numpy as np

from gemel.dtypes import dtype as format_of
from gemel.kernels.rows import rows as as_rows
from gemel.kernels.schedule import Region, Schedule
from gemel.tensors import Tensor, empty
from gemel_golden.config import CHUNK
from gemel_golden.formats import FORMATS, Format
from gemel_golden.isa import Opcode

__all__ = ["copy", "copy_mx"]

SOURCE, TARGET = 1, 2
"""Registers with the addresses of what is read and of what is written."""
BUFFERS = 4
ROW_LIMIT = 1 << 15
SOURCES, TARGETS = ("fp32", "bf16", "fp16"), ("fp32", "bf16", "fp16", "e4m3", "e5m2")
MX_TARGETS = ("e4m3", "e5m2")
MX_BLOCK = 32


def copy(x: Tensor, dtype: str | None = None, *, scale: float = 1.0) -> Tensor:
    """x in another tensor, dense; in format `dtype` (or its own) after a multiplication by `scale`.

    The product is rounded to FP32 and then to the format, nearest even; e4m3 and e5m2 saturate. From fp32, bf16 and
    fp16 to these and to e4m3 and e5m2; every other format is copied as it is. x has rows of at most 32 KB, dense.
    """
    target = x.format if dtype is None else format_of(dtype)
    if target is x.format and scale == 1.0:
        return _copied(x)
    if x.dtype not in SOURCES or target.name not in TARGETS:
        raise ValueError(f"copy converts {', '.join(SOURCES)} to {', '.join(TARGETS)}, not {x.dtype} to {target}")
    factor = int(np.float32(scale).view(np.uint32))
    found = empty(x.device, x.shape, target)
    _convert(as_rows(x), as_rows(found), {"factor": factor})
    return found


def copy_mx(x: Tensor, dtype: str = "e4m3") -> tuple[Tensor, Tensor]:
    """(codes, scales) of x (R, C), as `quantise_mx` gives them, by a copy: the vector core has no part in it.

    x: fp32, bf16 or fp16; dtype: e4m3 or e5m2; C a multiple of 32.
    """
    target = format_of(dtype)
    if x.dtype not in SOURCES or target.name not in MX_TARGETS:
        raise ValueError(
            f"copy_mx quantises {', '.join(SOURCES)} to {', '.join(MX_TARGETS)}, not {x.dtype} to {target}"
        )
    if x.ndim != 2 or x.shape[1] % MX_BLOCK:
        raise ValueError(f"copy_mx: x has shape {x.shape}; it needs rows of a multiple of {MX_BLOCK} elements")
    codes = empty(x.device, x.shape, target)
    scales = empty(x.device, (x.shape[0], x.shape[1] // MX_BLOCK), FORMATS["e8m0"])
    beside = {"mx": 1, "scales": scales.address - codes.address, "scale_stride": scales.strides[0]}
    _convert(x, codes, beside)
    return codes, scales


def _row_bytes(x: Tensor, fmt: Format) -> int:
    return -(-x.shape[1] * fmt.bits // 8)


def _copied(x: Tensor) -> Tensor:
    found = empty(x.device, x.shape, x.format)
    _run(as_rows(x), as_rows(found), Opcode.STORE, {})
    return found


def _convert(x: Tensor, found: Tensor, how: dict[str, int]) -> None:
    formats = {"source_format": x.format.code, "target_format": found.format.code}
    _run(x, found, Opcode.STORE_CONVERT, how | formats)


def _run(x: Tensor, found: Tensor, opcode: Opcode, how: dict[str, Any]) -> None:
    """Pieces of rows to L1 and from there to `found`."""
    count, row_bytes = x.shape[0], _row_bytes(x, x.format)
    if not count or not row_bytes:
        return
    if x.format.bits >= 8 and x.strides[1] * 8 != x.format.bits and x.shape[1] > 1:
        raise ValueError(f"a copy takes dense rows; elements of x are {x.strides[1]} bytes apart")
    if row_bytes > ROW_LIMIT or (opcode == Opcode.STORE_CONVERT and row_bytes % 4):
        raise ValueError(f"a copy takes rows of a multiple of 4 bytes up to {ROW_LIMIT}, not of {row_bytes}")
    pitch = -(-row_bytes // CHUNK)
    piece = max(1, min(1024, x.device.config.l1_bytes // (BUFFERS * pitch * CHUNK)))
    places = [Region(i * piece * pitch * CHUNK, piece * pitch * CHUNK) for i in range(BUFFERS)]
    schedule = Schedule()
    for number, start in enumerate(range(0, count, piece)):
        place, rows = places[number % BUFFERS], min(piece, count - start)
        shape = {"l1": place.address, "pitch": pitch, "count1": rows, "bytes": row_bytes}
        source = {"mem_reg": SOURCE, "mem": start * x.strides[0], "stride1": x.strides[0]}
        schedule.emit(Opcode.LOAD, shape | source | {"valid1": rows, "valid_bytes": row_bytes}, writes=[place])
        target = {"mem_reg": TARGET, "mem": start * found.strides[0], "stride1": found.strides[0]}
        if "scales" in how:
            shift = start * (how["scale_stride"] - found.strides[0])
            target |= {"scales": how["scales"] + shift}
        schedule.emit(opcode, shape | how | target, reads=[place])
    x.device.run(schedule.encode(), [x.address, found.address])
