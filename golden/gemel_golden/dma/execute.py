"""One instruction of LOAD or STORE, done."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK
from gemel_golden.dma.convert import store_convert
from gemel_golden.dma.rows import all_rows
from gemel_golden.dma.transpose import load_transposed
from gemel_golden.formats import by_code
from gemel_golden.isa import FaultCode, Opcode, Unit
from gemel_golden.l1 import read_chunks, write_chunks
from gemel_golden.rounding import from_fp32
from gemel_golden.widen import widen

__all__ = ["execute"]

Bytes = NDArray[np.uint8]


def _constant(values: Mapping[str, int], rows: int, length: int) -> Bytes:
    """Rows of `fill`, from its first byte on."""
    fill = np.frombuffer(values["fill"].to_bytes(4, "little"), np.uint8)
    return np.tile(fill, (rows, -(-length // 4)))[:, :length]


def _load(values: Mapping[str, int], space: Space, l1: Bytes) -> None:
    for rows in all_rows(values, space, l1, FaultCode.MEMORY_READ, Unit.LOAD):
        count, columns = rows.chunks.shape
        data = _constant(values, count, columns * CHUNK)
        data[np.flatnonzero(rows.present)[:, None], np.arange(rows.length)] = space.bytes[rows.places(space)]
        write_chunks(l1, rows.chunks, data.reshape(count, columns, CHUNK), Unit.LOAD)


def _store(values: Mapping[str, int], space: Space, l1: Bytes) -> None:
    for rows in all_rows(values, space, l1, FaultCode.MEMORY_WRITE, Unit.STORE):
        found = read_chunks(l1, rows.chunks[rows.present], Unit.STORE)
        space.bytes[rows.places(space)] = found.reshape(len(found), rows.chunks.shape[1] * CHUNK)[:, : rows.length]


def _sum(fmt: str, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Codes of a + b."""
    if fmt == "int32":
        return a + b
    return from_fp32(fp32.add(widen(a, fmt), widen(b, fmt)), fmt)[0]


def _scatter_add(values: Mapping[str, int], space: Space, l1: Bytes) -> None:
    fmt = by_code(values["format"])
    for rows in all_rows(values, space, l1, FaultCode.MEMORY_READ, Unit.STORE):
        found = read_chunks(l1, rows.chunks[rows.present], Unit.STORE)
        found = found.reshape(len(found), rows.chunks.shape[1] * CHUNK)[:, : rows.length]
        found = np.ascontiguousarray(found).view(fmt.storage)
        for place, row in zip(rows.places(space), found, strict=True):
            space.bytes[place] = _sum(fmt.name, space.bytes[place].view(fmt.storage), row).view(np.uint8)


def _fill(values: Mapping[str, int], space: Space, l1: Bytes) -> None:
    for rows in all_rows(values, space, l1, FaultCode.MEMORY_WRITE, Unit.STORE):
        space.bytes[rows.places(space)] = _constant(values, len(rows.addresses), rows.length)


EXECUTE: Mapping[Opcode, Callable[[Mapping[str, int], Space, Bytes], None]] = {
    Opcode.LOAD: _load,
    Opcode.GATHER: _load,
    Opcode.IM2COL: _load,
    Opcode.LOAD_TRANSPOSED: load_transposed,
    Opcode.STORE: _store,
    Opcode.SCATTER: _store,
    Opcode.SCATTER_ADD: _scatter_add,
    Opcode.STORE_CONVERT: store_convert,
    Opcode.FILL: _fill,
}


def execute(opcode: Opcode, values: Mapping[str, int], space: Bytes | Space, l1: Bytes) -> None:
    """Do one instruction: change `l1` (LOAD's) or memory (STORE's), with what else it reaches, in place.

    Raises Fault L1_ADDRESS, MEMORY_READ, MEMORY_WRITE or INDEX.
    """
    EXECUTE[opcode](values, space if isinstance(space, Space) else Space(space), l1)
