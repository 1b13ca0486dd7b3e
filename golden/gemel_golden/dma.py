"""What LOAD and STORE do: rows of memory bytes copied to and from chunks of L1.

`values` are an instruction's decoded fields, with resolved addresses in `mem` and `l1`. A memory access goes out in
bursts that end at 4 KB boundaries; one that begins beyond the memory's bytes (a multiple of 4096) is a fault with the
burst's address, which is aligned down to 64 bytes. Where one instruction has several faults, the one nearest to its
first byte is raised. What it wrote until then isn't specified.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK, WORD
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.l1 import chunk_addresses, first_outside, read_chunks, write_chunks

__all__ = ["load", "row_addresses", "store"]

BURST_BOUNDARY = 4096
MASK64 = (1 << 64) - 1
BLOCK_BYTES = 1 << 20
"""Bytes of rows that are worked on at once."""


def row_addresses(values: Mapping[str, int], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Memory addresses of the first bytes of these rows (indices in the instruction's order), modulo 2^64."""
    i1 = rows % values["count1"]
    i2 = rows // values["count1"] % values["count2"]
    i3 = rows // values["count1"] // values["count2"]
    offset = i1 * values["stride1"] + i2 * values["stride2"] + i3 * values["stride3"]
    return np.uint64(values["mem"] & MASK64) + offset.astype(np.uint64)


def load(values: Mapping[str, int], memory: NDArray[np.uint8] | Space, l1: NDArray[np.uint8]) -> None:
    """Do one LOAD: change ``l1`` in place. Raises Fault L1_ADDRESS or MEMORY_READ."""
    space = memory if isinstance(memory, Space) else Space(memory)
    row_bytes = min(values["bytes"], values["valid_bytes"])
    columns = -(-values["bytes"] // CHUNK)
    fill = np.frombuffer(values["fill"].to_bytes(4, "little"), np.uint8)
    for rows, chunks in _blocks(values, columns, Unit.LOAD):
        valid = rows % values["count1"] < values["valid1"]
        sources = row_addresses(values, rows)
        _check(values, space, l1, chunks, np.where(valid, row_bytes, 0), sources, FaultCode.MEMORY_READ, Unit.LOAD)
        data = np.tile(fill, (len(rows), columns * CHUNK // 4))
        if row_bytes and valid.any():
            data[valid, :row_bytes] = space.bytes[space.places(sources[valid])[:, None] + np.arange(row_bytes)]
        write_chunks(l1, chunks, data.reshape(len(rows), columns, CHUNK), Unit.LOAD)


def store(values: Mapping[str, int], memory: NDArray[np.uint8] | Space, l1: NDArray[np.uint8]) -> None:
    """Do one STORE: change ``memory`` in place. Raises Fault L1_ADDRESS or MEMORY_WRITE."""
    space = memory if isinstance(memory, Space) else Space(memory)
    row_bytes = values["bytes"]
    for rows, chunks in _blocks(values, -(-row_bytes // CHUNK), Unit.STORE):
        targets = row_addresses(values, rows)
        _check(values, space, l1, chunks, np.full(len(rows), row_bytes), targets, FaultCode.MEMORY_WRITE, Unit.STORE)
        data = read_chunks(l1, chunks, Unit.STORE).reshape(len(rows), -1)[:, :row_bytes]
        space.bytes[space.places(targets)[:, None] + np.arange(row_bytes)] = data


def _blocks(
    values: Mapping[str, int], columns: int, unit: Unit
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Row indices and chunk addresses (rows, columns), some rows at a time."""
    if values["l1"] % CHUNK:
        raise Fault(FaultCode.L1_ADDRESS, unit, values["l1"])
    total = values["count1"] * values["count2"] * values["count3"]
    step = max(1, BLOCK_BYTES // (columns * CHUNK))
    for first in range(0, total, step):
        rows = np.arange(first, min(first + step, total))
        base = values["l1"] // CHUNK
        yield rows, chunk_addresses(values["layout"], base, values["pitch"], rows[:, None], np.arange(columns))


def _check(
    values: Mapping[str, int],
    space: Space,
    l1: NDArray[np.uint8],
    chunks: NDArray[np.int64],
    row_bytes: NDArray[np.int64],
    addresses: NDArray[np.uint64],
    code: FaultCode,
    unit: Unit,
) -> None:
    """Raise the fault nearest to the first byte of these rows; memory's comes first in an access that has both."""
    columns = chunks.shape[1]
    faults: list[tuple[int, int, int, Fault]] = []
    if (first := first_outside(l1, chunks)) is not None:
        fault = Fault(FaultCode.L1_ADDRESS, unit, int(chunks.ravel()[first]) * CHUNK)
        faults.append((first // columns, first % columns // 2, 1, fault))
    lengths = row_bytes.astype(np.uint64)
    outside = (lengths > 0) & space.outside(addresses, lengths)
    if outside.any():
        row = int(outside.argmax())
        address = int(addresses[row])
        end = int(space.regions(addresses[row : row + 1])[1][0])
        burst = max(address, end // BURST_BOUNDARY * BURST_BOUNDARY) & -WORD & MASK64
        # A store's beat j takes word j of the row; a load's word j takes beat j + 1 unless the row is aligned.
        start = address & -WORD if unit == Unit.STORE else address
        faults.append((row, max(0, burst - start) // WORD, 0, Fault(code, unit, burst)))
    if faults:
        raise min(faults, key=lambda entry: entry[:3])[3]
