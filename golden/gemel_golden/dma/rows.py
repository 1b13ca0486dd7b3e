"""The rows of an instruction: where each lies in memory and in L1, and which fault comes first."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gemel_golden.aperture import Space
from gemel_golden.config import CHUNK, WORD
from gemel_golden.faults import Fault
from gemel_golden.isa import NO_ROW, FaultCode, Unit
from gemel_golden.l1 import chunk_addresses, first_outside

__all__ = ["MASK64", "Rows", "all_rows", "first_burst_outside", "piece", "row_addresses"]

BURST_BOUNDARY = 4096
MASK64 = (1 << 64) - 1
BLOCK_BYTES = 1 << 20
"""Bytes of rows that are worked on at once."""
INDEX_BYTES = 4


class Rows(NamedTuple):
    """Some rows of an instruction, in order. `length` bytes of each that is `present` lie in memory."""

    addresses: NDArray[np.uint64]
    present: NDArray[np.bool_]
    length: int
    chunks: NDArray[np.int64]
    """Chunk addresses in L1 (rows, columns); no columns where L1 has no part."""

    def places(self, space: Space) -> NDArray[np.int64]:
        """Where in `space.bytes` the bytes of the rows that are present are."""
        return space.places(self.addresses[self.present])[:, None] + np.arange(self.length)


def row_addresses(values: Mapping[str, int], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Memory addresses of the first bytes of these rows (indices in the instruction's order), modulo 2^64."""
    offset = np.zeros(len(rows), np.int64)
    for d, i in enumerate(_dimensions(values, rows), 1):
        offset += i * values[f"stride{d}"]
    return np.uint64(values["mem"] & MASK64) + offset.astype(np.uint64)


def _dimensions(values: Mapping[str, int], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    slower = rows // values["count1"]
    return rows % values["count1"], slower % values["count2"], slower // values["count2"]


def _present(values: Mapping[str, int], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    i1, i2, _ = _dimensions(values, rows)
    if "dx" in values:
        x, y = values["x"] + i1 * values["dx"], values["y"] + i2 * values["dy"]
        return (x >= 0) & (x < values["width"]) & (y >= 0) & (y < values["height"])
    return (i1 < values.get("valid1", 1 << 16)) & (values.get("valid_bytes", 1) > 0)


def all_rows(
    values: Mapping[str, int], space: Space, l1: NDArray[np.uint8], code: FaultCode, unit: Unit
) -> Iterator[Rows]:
    """The instruction's rows, some at a time, each checked; raises the fault nearest to the first byte."""
    in_l1 = "l1" in values
    offset = values["l1"] % CHUNK if in_l1 else 0
    if offset and unit == Unit.LOAD:
        raise Fault(FaultCode.L1_ADDRESS, unit, values["l1"])
    length = min(values["bytes"], values.get("valid_bytes", 1 << 16))
    columns = -(-values["bytes"] // CHUNK) if in_l1 else 0
    indexed, fault = "indices" in values, None
    total = values["count1"] if indexed else values["count1"] * values["count2"] * values["count3"]
    named = np.zeros(0, np.int64)
    if indexed:
        named, fault = _indices(values, l1, unit)
        total = len(named)
    step = max(1, BLOCK_BYTES // values["bytes"])
    for first in range(0, total, step):
        r = np.arange(first, min(first + step, total))
        if indexed:
            index = named[r]
            distance = index.astype(np.uint64) * np.uint64(values["stride"] & MASK64)
            addresses, present = np.uint64(values["mem"] & MASK64) + distance, index != NO_ROW
        else:
            addresses, present = row_addresses(values, r), _present(values, r)
        chunks = np.zeros((len(r), 0), np.int64)
        if in_l1:
            base = values["l1"] // CHUNK
            chunks = chunk_addresses(values["layout"], base, values["pitch"], r[:, None], np.arange(columns))
        rows = Rows(addresses, present, length, chunks)
        if offset and present.any():
            raise Fault(FaultCode.L1_ADDRESS, unit, int(chunks[present.argmax(), 0]) * CHUNK + offset)
        _check(rows, space, l1, code, unit)
        yield rows
    if fault is not None:
        raise fault


def _indices(values: Mapping[str, int], l1: NDArray[np.uint8], unit: Unit) -> tuple[NDArray[np.int64], Fault | None]:
    """The indices before the first that is a fault, and that fault."""
    start, count = values["indices"], values["count1"]
    if start % INDEX_BYTES:
        return np.zeros(0, np.int64), Fault(FaultCode.L1_ADDRESS, unit, start)
    inside = min(count, max(0, len(l1) - start) // INDEX_BYTES)
    named = l1[start : start + INDEX_BYTES * inside].view(np.uint32).astype(np.int64)
    bad = (named >= values["limit"]) & (named != NO_ROW)
    if bad.any():
        first = int(bad.argmax())
        return named[:first], Fault(FaultCode.INDEX, unit, start + INDEX_BYTES * first)
    if inside < count:
        return named, Fault(FaultCode.L1_ADDRESS, unit, start + INDEX_BYTES * inside)
    return named, None


def first_burst_outside(address: int, length: int, space: Space) -> int | None:
    """Address of a row's first burst that begins beyond its memory, or ``None``."""
    row = np.array([address], np.uint64)
    if not space.outside(row, np.array([length], np.uint64))[0]:
        return None
    end = int(space.regions(row)[1][0])
    return max(address, end // BURST_BOUNDARY * BURST_BOUNDARY) & -WORD & MASK64


def piece(space: Space, address: int, length: int) -> NDArray[np.uint8]:
    """These bytes, which exist, as a view."""
    start = int(space.places(np.array([address], np.uint64))[0])
    return space.bytes[start : start + length]


def _check(rows: Rows, space: Space, l1: NDArray[np.uint8], code: FaultCode, unit: Unit) -> None:
    """Raise the fault nearest to the first byte of these rows; memory's comes first in an access that has both."""
    faults: list[tuple[int, int, int, Fault]] = []
    columns = rows.chunks.shape[1]
    read = rows.chunks if unit == Unit.LOAD else np.where(rows.present[:, None], rows.chunks, 0)
    if (first := first_outside(l1, read)) is not None:
        fault = Fault(FaultCode.L1_ADDRESS, unit, int(rows.chunks.ravel()[first]) * CHUNK)
        faults.append((first // columns, first % columns // 2, 1, fault))
    addresses = rows.addresses
    outside = rows.present & space.outside(addresses, np.full(len(addresses), rows.length, np.uint64))
    if outside.any():
        row = int(outside.argmax())
        address = int(addresses[row])
        burst = first_burst_outside(address, rows.length, space)
        assert burst is not None
        # What is written at beat j takes word j of the row; what is read for word j takes beat j + 1 unless the row is
        # aligned.
        start = address & -WORD if code == FaultCode.MEMORY_WRITE else address
        faults.append((row, max(0, burst - start) // WORD, 0, Fault(code, unit, burst)))
    if faults:
        raise min(faults, key=lambda entry: entry[:3])[3]
