"""Copies that convert: elements of a row times a factor, or divided by the scale of their block."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK, WORD
from gemel_golden.dma.rows import MASK64, first_burst_outside, piece
from gemel_golden.faults import Fault
from gemel_golden.formats import FORMATS, Format, by_code
from gemel_golden.isa import BlockScale, FaultCode, Unit
from gemel_golden.l1 import chunk_addresses, first_outside, read_chunks
from gemel_golden.rounding import from_fp32
from gemel_golden.widen import widen

__all__ = ["convert", "store_convert"]

STEP = 32
"""Elements that are converted together."""
MX_BLOCK, FP32_BLOCK = 32, 128
"""Elements that share a scale."""
NAN_CODE = 255
LEAST = np.float32(2.0**-100)
"""The amax of a block whose own is smaller, under FP32 scales."""
Codes = NDArray[Any]


def convert(
    codes: Codes, source: Format, target: Format, factor: int, block_scale: int
) -> tuple[Codes, NDArray[np.uint8]]:
    """(codes of the target, bytes of the scales) of a row; `factor`: FP32 bits. Without `block_scale`: no scales."""
    wide = widen(codes, source)
    if block_scale == BlockScale.NONE:
        return from_fp32(fp32.mul(wide, np.uint32(factor)), target)[0], np.zeros(0, np.uint8)
    size = MX_BLOCK if block_scale == BlockScale.MX else FP32_BLOCK
    blocks = np.zeros(-(-len(codes) // size) * size, np.uint32)
    blocks[: len(codes)] = wide
    largest = (blocks.reshape(-1, size) & 0x7FFF_FFFF).max(axis=1)
    scales, inverse = (_mx if block_scale == BlockScale.MX else _fp32)(largest, target)
    spread = np.repeat(inverse, size)[: len(codes)]
    return from_fp32(fp32.mul(wide, spread), target)[0], scales.view(np.uint8)


def _mx(largest: Codes, target: Format) -> tuple[Codes, Codes]:
    """E8M0 codes, and FP32 bits of what elements are multiplied by, for blocks' largest magnitudes (FP32 bits)."""
    exponent = (largest >> 23).astype(np.int64)
    emax = target.emax if target.name in ("e4m3", "e5m2") else 0
    scales = np.where(exponent == 255, NAN_CODE, np.maximum(exponent - emax, 0))
    inverse = np.where(exponent == 255, fp32.NAN, (254 - scales) << 23).astype(np.uint32)
    return scales.astype(np.uint8), inverse


def _fp32(largest: Codes, target: Format) -> tuple[Codes, Codes]:
    """FP32 bits of the scales and of what elements are multiplied by, likewise."""
    most = np.float32(FORMATS["e4m3" if target.name == "e4m3" else "e5m2"].max_finite)
    amax = np.maximum(largest.view(np.float32), LEAST)
    with np.errstate(invalid="ignore"):
        found = [(amax / most).view(np.uint32), (most / amax).view(np.uint32)]
    scales, inverse = (np.where(np.isnan(amax), np.uint32(fp32.NAN), bits) for bits in found)
    return scales, inverse


def store_convert(values: Mapping[str, int], space: Space, l1: NDArray[np.uint8]) -> None:
    """Do one STORE_CONVERT."""
    if values["l1"] % CHUNK:
        raise Fault(FaultCode.L1_ADDRESS, Unit.STORE, values["l1"])
    source, target = by_code(values["source_format"]), by_code(values["target_format"])
    elements = -(-values["bytes"] * 8 // source.bits)
    row_bytes, length = elements * source.bits // 8, elements * target.bits // 8
    columns = np.arange(-(-row_bytes // CHUNK))
    for r in range(values["count1"]):
        chunks = chunk_addresses(values["layout"], values["l1"] // CHUNK, values["pitch"], r, columns)
        address = (values["mem"] + r * values["stride1"]) & MASK64
        _check(l1, space, chunks, address, length, source, target)
        row = read_chunks(l1, chunks, Unit.STORE).ravel()[:row_bytes].view(source.storage)
        codes, scales = convert(row, source, target, values["factor"], values["block_scale"])
        piece(space, address, length)[:] = codes.view(np.uint8)
        if values["block_scale"]:
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
        # A step whose source can't be read isn't written, nor the half of a word that waits for it. Two chunks are read
        # together.
        step = first // 2 * WORD // (STEP * source.bits // 8)
        word = step * STEP * target.bits // 8 // WORD
        faults.append((word, 1, Fault(FaultCode.L1_ADDRESS, Unit.STORE, int(chunks[first]) * CHUNK)))
    burst = first_burst_outside(address, length, space)
    if burst is not None:
        beat = max(0, burst - (address & -WORD)) // WORD
        faults.append((beat, 0, Fault(FaultCode.MEMORY_WRITE, Unit.STORE, burst)))
    if faults:
        raise min(faults, key=lambda entry: entry[:2])[2]
