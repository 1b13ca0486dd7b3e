"""Copies that convert: elements of a row times a factor, or times the scale of their block of 32."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK, WORD
from gemel_golden.dma.rows import MASK64, first_burst_outside, piece
from gemel_golden.faults import Fault
from gemel_golden.formats import Format, by_code
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.l1 import chunk_addresses, first_outside, read_chunks
from gemel_golden.rounding import from_fp32
from gemel_golden.widen import widen

__all__ = ["BLOCK", "convert", "store_convert"]

BLOCK = 32
"""Elements that share a scale, and that are converted together."""
NAN_CODE = 255


def convert(
    codes: NDArray[Any], source: Format, target: Format, factor: int, mx: bool
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """(codes of the target, E8M0 codes of the scales) of a row; `factor`: FP32 bits. Without `mx`: no scales."""
    wide = widen(codes, source)
    if not mx:
        return from_fp32(fp32.mul(wide, np.uint32(factor)), target)[0], np.zeros(0, np.uint8)
    blocks = np.zeros(-(-len(codes) // BLOCK) * BLOCK, np.uint32)
    blocks[: len(codes)] = wide
    exponent = ((blocks.reshape(-1, BLOCK) & 0x7FFF_FFFF).max(axis=1) >> 23).astype(np.int64)
    emax = target.emax if target.name in ("e4m3", "e5m2") else 0
    scales = np.where(exponent == 255, NAN_CODE, np.maximum(exponent - emax, 0))
    inverse = np.where(exponent == 255, fp32.NAN, (254 - scales) << 23).astype(np.uint32)
    spread = np.repeat(inverse, BLOCK)[: len(codes)]
    return from_fp32(fp32.mul(wide, spread), target)[0], scales.astype(np.uint8)


def store_convert(values: Mapping[str, int], space: Space, l1: NDArray[np.uint8]) -> None:
    """Do one STORE_CONVERT."""
    if values["l1"] % CHUNK:
        raise Fault(FaultCode.L1_ADDRESS, Unit.STORE, values["l1"])
    source, target = by_code(values["source_format"]), by_code(values["target_format"])
    columns = np.arange(-(-values["bytes"] // CHUNK))
    length = values["bytes"] * 8 // source.bits * target.bits // 8
    for r in range(values["count1"]):
        chunks = chunk_addresses(values["layout"], values["l1"] // CHUNK, values["pitch"], r, columns)
        address = (values["mem"] + r * values["stride1"]) & MASK64
        _check(l1, space, chunks, address, length, source, target)
        row = read_chunks(l1, chunks, Unit.STORE).ravel()[: values["bytes"]].view(source.storage)
        codes, scales = convert(row, source, target, values["factor"], bool(values["mx"]))
        piece(space, address, length)[:] = codes.view(np.uint8)
        if values["mx"]:
            beside = (values["mem"] + values["scales"] + r * values["scale_stride"]) & MASK64
            burst = first_burst_outside(beside, len(scales), space)
            if burst is not None:
                raise Fault(FaultCode.MEMORY_WRITE, Unit.STORE, burst)
            piece(space, beside, len(scales))[:] = scales


def _check(
    l1: NDArray[np.uint8],
    space: Space,
    chunks: NDArray[np.int64],
    address: int,
    length: int,
    source: Format,
    target: Format,
) -> None:
    """Raise the fault nearest to the row's first byte in memory; memory's comes first in a beat that has both."""
    faults: list[tuple[int, int, Fault]] = []
    first = first_outside(l1, chunks)
    if first is not None:
        # A block whose source can't be read isn't written, nor the half of a word that waits for it.
        step = first * CHUNK // (BLOCK * source.bits // 8)
        word = step * BLOCK * target.bits // 8 // WORD
        faults.append((word, 1, Fault(FaultCode.L1_ADDRESS, Unit.STORE, int(chunks[first]) * CHUNK)))
    burst = first_burst_outside(address, length, space)
    if burst is not None:
        beat = max(0, burst - (address & -WORD)) // WORD
        faults.append((beat, 0, Fault(FaultCode.MEMORY_WRITE, Unit.STORE, burst)))
    if faults:
        raise min(faults, key=lambda entry: entry[:2])[2]
