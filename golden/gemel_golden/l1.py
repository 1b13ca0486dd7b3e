"""Where chunks lie in the L1 scratchpad, and whole matrices read and written by it.

An L1 byte array has the scratchpad's bytes in address order: chunk c is bytes 32c to 32c+31, and it is half c & 1 of
word c >> 1.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.config import CHUNK
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Layout, Unit

__all__ = ["chunk_addresses", "first_outside", "read_chunks", "read_rows", "write_chunks", "write_rows"]


def chunk_addresses(layout: int, base: int, pitch: int, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.int64]:
    """Chunk addresses (byte address / 32) of chunks (row, column), broadcast over ``rows`` and ``columns``.

    ``base`` is chunk (0, 0)'s address in chunks. Tile layout: ``pitch`` is in words between chunk columns; linear:
    in chunks between rows. Nothing is checked: an address may lie beyond the scratchpad.
    """
    r, k = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    if layout == Layout.LINEAR:
        return base + r * pitch + k
    return 2 * ((base >> 1) + k * pitch + (r >> 1)) + ((base + r + k) & 1)


def first_outside(l1: NDArray[np.uint8], chunks: NDArray[np.int64]) -> int | None:
    """Position, in C order, of the first chunk address that lies beyond ``l1``; ``None`` when all are inside."""
    outside = chunks.ravel() >= len(l1) // CHUNK
    return int(outside.argmax()) if outside.any() else None


def _check(l1: NDArray[np.uint8], chunks: NDArray[np.int64], unit: Unit) -> None:
    if (first := first_outside(l1, chunks)) is not None:
        raise Fault(FaultCode.L1_ADDRESS, unit, int(chunks.ravel()[first]) * CHUNK)


def read_chunks(l1: NDArray[np.uint8], chunks: NDArray[np.int64], unit: Unit) -> NDArray[np.uint8]:
    """Bytes of chunks, shape ``chunks.shape + (32,)``. Raises Fault L1_ADDRESS for the first one beyond ``l1``."""
    _check(l1, chunks, unit)
    return l1.reshape(-1, CHUNK)[chunks]


def write_chunks(l1: NDArray[np.uint8], chunks: NDArray[np.int64], data: NDArray[np.uint8], unit: Unit) -> None:
    """Write chunks, in C order where one is named twice. Raises Fault L1_ADDRESS, with nothing written."""
    _check(l1, chunks, unit)
    l1.reshape(-1, CHUNK)[chunks] = data


def read_rows(
    l1: NDArray[np.uint8], layout: int, base: int, pitch: int, rows: int, row_bytes: int, *, unit: Unit = Unit.STORE
) -> NDArray[np.uint8]:
    """A matrix of ``rows`` rows of ``row_bytes`` bytes, shape (rows, row_bytes), whose chunk (0, 0) is chunk ``base``.

    Raises Fault L1_ADDRESS of ``unit`` when a chunk lies beyond ``l1``.
    """
    chunks = chunk_addresses(layout, base, pitch, np.arange(rows)[:, None], np.arange(-(-row_bytes // CHUNK)))
    return read_chunks(l1, chunks, unit).reshape(rows, -1)[:, :row_bytes]


def write_rows(
    l1: NDArray[np.uint8], layout: int, base: int, pitch: int, values: NDArray[np.uint8], *, unit: Unit = Unit.LOAD
) -> None:
    """Write a matrix of bytes, shape (rows, row_bytes), whose chunk (0, 0) is chunk ``base``; zeros fill last chunks.

    Raises Fault L1_ADDRESS of ``unit`` when a chunk lies beyond ``l1``; nothing is written then.
    """
    rows, row_bytes = values.shape
    columns = -(-row_bytes // CHUNK)
    padded = np.zeros((rows, columns * CHUNK), np.uint8)
    padded[:, :row_bytes] = values
    chunks = chunk_addresses(layout, base, pitch, np.arange(rows)[:, None], np.arange(columns))
    write_chunks(l1, chunks, padded.reshape(rows, columns, CHUNK), unit)
