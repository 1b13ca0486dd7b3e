"""The vector core's loads and stores: rows in either L1 layout, converted from and to every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import CHUNK
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, by_code, pack4, unpack4
from gemel_golden.isa import FaultCode, Layout, Unit
from gemel_golden.l1 import chunk_addresses, first_outside
from gemel_golden.rounding import from_fp32, to_e8m0
from gemel_golden.vector_isa import LANES
from gemel_golden.widen import widen

__all__ = ["AddressRegister", "load", "store"]


@dataclass(frozen=True, kw_only=True)
class AddressRegister:
    """A matrix in L1 and a place in it. Columns count vectors of 32 elements, or single elements."""

    base: int = 0
    """Byte address of chunk (0, 0)."""
    pitch: int = 0
    """As LOAD's: words between chunk columns (tile), or chunks between rows (linear)."""
    tile: bool = False
    row: int = 0
    column: int = 0
    row_step: int = 0
    column_step: int = 0

    def stepped(self) -> AddressRegister:
        """After an access with `post`."""
        return self.moved(self.row_step, self.column_step, add=True)

    def with_steps(self, rows: int, columns: int) -> AddressRegister:
        """With other steps, modulo 2^16."""
        return replace(self, row_step=rows, column_step=columns)

    def moved(self, row: int, column: int, *, add: bool) -> AddressRegister:
        """At another row and column, modulo 2^16."""
        if add:
            row, column = self.row + row, self.column + column
        return replace(self, row=row & 0xFFFF, column=column & 0xFFFF)


@dataclass(frozen=True)
class _Access:
    """Byte positions of a vector's codes: position i of `chunks` holds bytes `32 i` and so on of what is accessed."""

    chunks: NDArray[np.int64]
    """Chunk addresses, in the order of the lanes."""
    offset: int
    """Bytes of the first chunk before the first code."""
    lanes: NDArray[np.bool_]
    """Lanes accessed."""


def _access(
    register: AddressRegister, v: Mapping[str, int], slot: str, mask: NDArray[np.bool_], fmt: Format
) -> _Access:
    row = (register.row + v[f"{slot}_row"]) & 0xFFFF
    column = (register.column + v[f"{slot}_col"]) & 0xFFFF
    element = bool(v[f"{slot}_element"])
    start = column * fmt.bits // 8 if element else column * LANES * fmt.bits // 8
    lanes = mask & (np.arange(LANES) == 0) if element and slot == "st" else mask
    count = 1 if element else max(1, LANES * fmt.bits // 8 // CHUNK)
    layout = Layout.TILE if register.tile else Layout.LINEAR
    k = start // CHUNK + np.arange(count)
    return _Access(chunk_addresses(layout, register.base // CHUNK, register.pitch, row, k), start % CHUNK, lanes)


def _touched(access: _Access, element: bool) -> NDArray[np.bool_]:
    """Which of the chunks hold a lane that is accessed."""
    if element:
        return np.array([access.lanes.any()])
    return np.asarray(access.lanes.reshape(len(access.chunks), -1).any(axis=1))


def _check(register: AddressRegister, chunks: NDArray[np.int64], l1: NDArray[np.uint8]) -> None:
    if len(chunks) and register.base % CHUNK:
        raise Fault(FaultCode.L1_ADDRESS, Unit.VECTOR, register.base)
    if (first := first_outside(l1, chunks)) is not None:
        raise Fault(FaultCode.L1_ADDRESS, Unit.VECTOR, int(chunks[first]) * CHUNK)


def load(
    register: AddressRegister, v: Mapping[str, int], mask: NDArray[np.bool_], l1: NDArray[np.uint8]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The 32 lanes' values (FP32 bits, or raw 32-bit codes), zero where `mask` isn't set; and the chunks read.

    Chunks without a lane in `mask` aren't accessed. Raises Fault L1_ADDRESS for the first one beyond L1.
    """
    fmt, element = by_code(v["ld_format"]), bool(v["ld_element"])
    access = _access(register, v, "ld", mask, fmt)
    touched = access.chunks[_touched(access, element)]
    _check(register, touched, l1)
    raw = l1.reshape(-1, CHUNK)[np.minimum(access.chunks, len(l1) // CHUNK - 1)].reshape(-1)[access.offset :]
    if fmt.bits == 4:
        codes = unpack4(raw[: LANES // 2])
    else:
        codes = raw[: raw.size - raw.size % (fmt.bits // 8)].view(fmt.storage)
    codes = np.broadcast_to(codes[:1], LANES) if element else codes[:LANES]
    return np.where(mask, widen(codes, fmt), np.uint32(0)), touched


def store(
    register: AddressRegister,
    v: Mapping[str, int],
    mask: NDArray[np.bool_],
    source: NDArray[np.uint32],
    random: NDArray[np.uint32],
    l1: NDArray[np.uint8],
) -> tuple[Flags, NDArray[np.int64]]:
    """Convert lanes `mask` of `source` and write them; the flags of these conversions, and the chunks written.

    A byte of two 4-bit codes is written when one of its lanes is in `mask`; the other's code is 0 then. Raises Fault
    L1_ADDRESS for the first chunk beyond L1, with nothing written.
    """
    fmt, element = by_code(v["st_format"]), bool(v["st_element"])
    access = _access(register, v, "st", mask, fmt)
    touched = access.chunks[_touched(access, element)]
    _check(register, touched, l1)
    lanes = access.lanes
    codes = np.zeros(LANES, fmt.storage)
    codes[lanes], flags = _convert(source[lanes], random[lanes], fmt, v)
    if element:
        codes, lanes = codes[:1], lanes[:1]
    if fmt.bits == 4:
        data, written = pack4(codes), lanes.reshape(-1, 2).any(axis=1)
    else:
        data, written = codes.view(np.uint8), np.repeat(lanes, fmt.bits // 8)
    position = access.offset + np.flatnonzero(written)
    l1.reshape(-1, CHUNK)[access.chunks[position // CHUNK], position % CHUNK] = data[written]
    return flags, touched


def _convert(
    bits: NDArray[np.uint32], random: NDArray[np.uint32], fmt: Format, v: Mapping[str, int]
) -> tuple[NDArray[Any], Flags]:
    if fmt.name in ("fp32", "int32"):
        return bits, Flags()
    if fmt.kind == "scale":
        with np.errstate(all="ignore"):
            return to_e8m0(bits.view(np.float32).astype(np.float64)), Flags()
    saturate = bool(v["st_saturate"])
    if v["st_stochastic"] and fmt.stochastic_bits:
        words = random >> np.uint32(32 - fmt.stochastic_bits)
        return from_fp32(bits, fmt, mode="stochastic", random=words, saturate=saturate)
    return from_fp32(bits, fmt, saturate=saturate)
