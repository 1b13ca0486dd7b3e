"""The copy that transposes: rows of memory become columns of rows in L1."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK, WORD
from gemel_golden.dma.rows import MASK64, first_burst_outside, piece
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.l1 import chunk_addresses, write_chunks

__all__ = ["load_transposed"]


def load_transposed(values: Mapping[str, int], space: Space, l1: NDArray[np.uint8]) -> None:
    """Do one LOAD_TRANSPOSED, 64 bytes of the rows after the other.

    Faults come in this order: in each such column of memory first those of its reads, then those of its writes.
    """
    if values["l1"] % CHUNK:
        raise Fault(FaultCode.L1_ADDRESS, Unit.LOAD, values["l1"])
    size = 1 << values["element"]
    rows = min(values["count1"], WORD // size)
    fill = np.frombuffer(values["fill"].to_bytes(4, "little"), np.uint8)
    chunks_a_row = -(-rows * size // CHUNK)
    row_bytes = -(-values["bytes"] // size) * size
    for start in range(0, row_bytes, WORD):
        length = min(WORD, row_bytes - start)
        block = np.zeros((rows, length), np.uint8)
        for r in range(rows):
            address = (values["mem"] + start + r * values["stride1"]) & MASK64
            burst = first_burst_outside(address, length, space)
            if burst is not None:
                raise Fault(FaultCode.MEMORY_READ, Unit.LOAD, burst)
            block[r] = piece(space, address, length)
        columns = length // size
        turned = block.reshape(rows, columns, size).transpose(1, 0, 2).reshape(columns, rows * size)
        data = np.tile(fill, (columns, chunks_a_row * CHUNK // 4))
        data[:, : rows * size] = turned
        places = np.arange(columns)[:, None] + start // size
        base = values["l1"] // CHUNK
        chunks = chunk_addresses(values["layout"], base, values["pitch"], places, np.arange(chunks_a_row))
        write_chunks(l1, chunks, data.reshape(columns, chunks_a_row, CHUNK), Unit.LOAD)
