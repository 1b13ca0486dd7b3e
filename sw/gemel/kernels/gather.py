"""Rows of a table by index: gather, embedding, scatter, and sums into rows; and constants, by the DMA units alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gemel.dtypes import dtype as format_of
from gemel.kernels.copy import conversion, copy
from gemel.kernels.copy_program import CONVERTED_BYTES, LEAST
from gemel.kernels.rows import Values
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.split import cores_for, most_parts, movers_for
from gemel.tensors import Tensor, empty
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.isa import NO_ROW, Opcode
from gemel_golden.rounding import encode

__all__ = ["REFERENCES", "embedding", "fill", "gather", "scatter", "scatter_add"]

TABLE, INDICES, ROWS = 1, 2, 3
"""Registers with the addresses of the table, of the indices and of the rows."""
BUFFERS = 4
"""Pieces in L1 at a time: one is loaded while another is stored, and the memory's latency is hidden."""
COLUMN_BYTES = 256
"""Bytes of a core's part of a scattered row at least: of shorter ones each costs as much as the whole row."""
ROW_LIMIT = 1 << 16
SUMS = ("fp32", "int32", "bf16")


def gather(table: Values, indices: Values, *, dtype: str | None = None, cores: int | None = None) -> Any:
    """The rows of table (V, D) that indices (N,) name, (N, D); -1 names a row of zeros.

    indices: int32. dtype: the result's format, converted to on the way as `copy` does it. An index from V on is a fault
    of the launch (DeviceFault, code INDEX), for arrays an IndexError. cores: so many of the chip's share the rows;
    default: all.
    """
    fmt = format_of(dtype if dtype is not None else table.dtype)
    if not isinstance(table, Tensor):
        return _reference(table, np.asarray(indices), fmt.name)
    if not isinstance(indices, Tensor):
        raise TypeError("gather takes tensors or arrays, not some of both")
    how = conversion("gather", table, fmt)
    if how and _row_bytes(table) > CONVERTED_BYTES:
        raise ValueError(
            f"gather: a row of {_row_bytes(table)} bytes is longer than {CONVERTED_BYTES}, what is converted"
        )
    result = empty(table.device, (indices.shape[0], table.shape[1]), fmt)
    _run("gather", table, indices, result, _gather(how), cores_for(table.device, cores))
    return result


def embedding(table: Values, indices: Values, *, dtype: str | None = None, cores: int | None = None) -> Any:
    """The rows of table (V, D) for indices of any shape: that shape, and D; dtype, cores: as `gather`'s. `scatter_add`
    makes its gradient."""
    return gather(table, indices.reshape(-1), dtype=dtype, cores=cores).reshape(*indices.shape, table.shape[1])


def scatter(table: Tensor, indices: Tensor, rows: Tensor, *, cores: int | None = None) -> None:
    """Put rows (N, D) in table (V, D) where indices (N,) say, the last one where several name a row; -1 leaves one out.

    Types and faults as `gather`'s. cores: so many of the chip's share the columns, each with all indices in their
    order and with 256 bytes of a row at least; default: one for each channel of memory.
    """
    _same(table, rows, "scatter")
    _run("scatter", table, indices, rows, _scatter(Opcode.SCATTER), movers_for(table.device, cores), columns=True)


def scatter_add(table: Tensor, indices: Tensor, rows: Tensor, *, cores: int | None = None) -> None:
    """Add rows (N, D) to the rows of table (V, D) that indices (N,) name, in this order; -1 leaves one out.

    Both of fp32 (each sum rounded to nearest even), int32 (which wraps) or bf16 (each sum rounded from FP32), D a
    multiple of 4 bytes. Faults as `gather`'s, cores as `scatter`'s.
    """
    _same(table, rows, "scatter_add")
    if table.dtype not in SUMS:
        raise ValueError(f"scatter_add: sums are of {', '.join(SUMS)}, not of {table.dtype}")
    if _row_bytes(table) % 4:
        raise ValueError(f"scatter_add: rows of {_row_bytes(table)} bytes aren't a multiple of 4")
    emit = _scatter(Opcode.SCATTER_ADD, format=table.format.code)
    _run("scatter_add", table, indices, rows, emit, movers_for(table.device, cores), columns=True)


def fill(x: Tensor, value: float) -> None:
    """Set every element of x to a number, rounded to its format; x is dense along its last dimension."""
    codes, _ = encode(np.asarray(value), x.format)
    code = int(codes) & ((1 << x.format.bits) - 1)
    pattern = sum(code << shift for shift in range(0, 32, x.format.bits))
    dense = x.reshape(x.size) if _is_dense(x) else x
    row = dense.shape[-1] * x.format.bits // 8 if x.format.bits >= 8 else -(-dense.shape[-1] // 2)
    outer, strides = (dense.shape[:-1], dense.strides[:-1]) if dense.ndim > 1 else ((), ())
    if len(outer) > 2:
        raise ValueError(f"fill: a view of shape {x.shape} that isn't dense has more than two outer dimensions")
    schedule = Schedule()
    values: dict[str, int] = {"mem_reg": TABLE, "fill": pattern}
    for d, (count, stride) in enumerate(zip(outer[::-1], strides[::-1], strict=True), 1):
        values |= {f"count{d}": count, f"stride{d}": stride}
    limit = ROW_LIMIT
    for start in range(0, row, limit):
        schedule.emit(Opcode.FILL, values | {"mem": start, "bytes": min(limit, row - start)})
    if x.size:
        x.device.run(schedule.encode(), [x.address], cores=cores_for(x.device, 1), name="fill")


def _is_dense(x: Tensor) -> bool:
    try:
        x.reshape(*x.shape)
    except ValueError:
        return False
    return x.format.bits >= 8


def _row_bytes(x: Tensor) -> int:
    return -(-x.shape[1] * x.format.bits // 8)


def _same(table: Tensor, rows: Tensor, name: str) -> None:
    if table.dtype != rows.dtype:
        raise ValueError(f"{name}: a table of {table.dtype} and rows of {rows.dtype} don't belong together")


def _check(name: str, table: Tensor, indices: Tensor, rows: Tensor) -> None:
    if table.ndim != 2 or rows.ndim != 2 or table.shape[1] != rows.shape[1]:
        raise ValueError(
            f"{name}: a table of {table.dtype} {table.shape} and rows of {rows.dtype} {rows.shape} "
            "don't belong together"
        )
    if indices.shape != rows.shape[:1] or indices.dtype != "int32":
        raise ValueError(
            f"{name}: {rows.shape[0]} rows need int32 indices ({rows.shape[0]},), not {indices.dtype} {indices.shape}"
        )
    if _row_bytes(table) > ROW_LIMIT:
        raise ValueError(f"{name}: a row of {_row_bytes(table)} bytes is longer than {ROW_LIMIT}")


Emit = Callable[[Schedule, dict[str, int], dict[str, int], Region, Region], None]


def _run(
    name: str,
    table: Tensor,
    indices: Tensor,
    rows: Tensor,
    emit: Emit,
    cores: Sequence[int],
    *,
    columns: bool = False,
) -> None:
    """Cut rows into pieces that L1 holds and let `emit` write the instructions of each; `cores` share them, or
    their `columns`, where the order of the rows counts."""
    _check(name, table, indices, rows)
    row_bytes, count = _row_bytes(table), rows.shape[0]
    if not count or not row_bytes:
        return
    if columns:
        steps = _columns(count, row_bytes, 1 if table.buffer is rows.buffer else len(cores))
        row_bytes //= len(steps)
    else:
        share = most_parts(count, len(cores), least=-(-LEAST // row_bytes))
        count = share.size
        steps = [(0, 4 * first, first * rows.strides[0]) for first in share.starts]
    pitch = -(-row_bytes // CHUNK)
    piece = _piece(table.device.config, pitch)
    list_bytes, piece_bytes = -(-4 * piece // WORD) * WORD, -(-piece * pitch * CHUNK // WORD) * WORD
    lists = [Region(i * list_bytes, list_bytes) for i in range(BUFFERS)]
    places = [Region(BUFFERS * list_bytes + i * piece_bytes, piece_bytes) for i in range(BUFFERS)]
    schedule = Schedule()
    for number, start in enumerate(range(0, count, piece)):
        named, place = lists[number % BUFFERS], places[number % BUFFERS]
        n = min(piece, count - start)
        size = 4 * n
        source = {"mem_reg": INDICES, "mem": 4 * start, "l1": named.address, "bytes": size}
        schedule.emit(Opcode.LOAD, source | {"valid_bytes": size, "valid1": 1}, writes=[named])
        shape = {"l1": place.address, "pitch": pitch, "count1": n, "bytes": row_bytes}
        by_index = shape | {"mem_reg": TABLE, "stride": table.strides[0], "limit": table.shape[0]}
        in_order = shape | {"mem_reg": ROWS, "mem": start * rows.strides[0], "stride1": rows.strides[0]}
        emit(schedule, by_index | {"indices": named.address}, in_order, named, place)
    addresses = table.address, indices.address, rows.address
    arguments = [[address + step for address, step in zip(addresses, each, strict=True)] for each in steps]
    table.device.run(schedule.encode(), arguments, cores=cores[: len(arguments)], name=name)


def _columns(count: int, row_bytes: int, cores: int) -> list[tuple[int, int, int]]:
    """By core, the bytes to where its columns begin in table, indices and rows: parts with nothing in common, since
    two cores may not add to one place, and all of one size."""

    def fits(parts: int) -> bool:
        size = row_bytes // parts
        return row_bytes % (4 * parts) == 0 and size >= COLUMN_BYTES and count * size >= LEAST

    parts = next((n for n in range(cores, 1, -1) if fits(n)), 1)
    return [(start, 0, start) for start in range(0, row_bytes, row_bytes // parts)]


def _piece(config: ChipConfig, pitch: int) -> int:
    """Rows of a piece."""
    return max(1, min(1 << 12, config.l1_bytes // BUFFERS // (pitch * CHUNK + 2 * WORD)))


def _gather(how: dict[str, int]) -> Emit:
    def emit(
        schedule: Schedule, by_index: dict[str, int], in_order: dict[str, int], named: Region, place: Region
    ) -> None:
        schedule.emit(Opcode.GATHER, by_index, reads=[named], writes=[place])
        schedule.emit(Opcode.STORE_CONVERT if how else Opcode.STORE, in_order | how, reads=[place])

    return emit


def _scatter(opcode: Opcode, **options: int) -> Emit:
    def emit(
        schedule: Schedule, by_index: dict[str, int], in_order: dict[str, int], named: Region, place: Region
    ) -> None:
        whole = {"valid1": in_order["count1"], "valid_bytes": in_order["bytes"]}
        schedule.emit(Opcode.LOAD, in_order | whole, writes=[place])
        schedule.emit(opcode, by_index | options, reads=[named, place])

    return emit


def _reference(table: Any, indices: Any, dtype: str | None = None) -> Any:
    index = indices.astype(np.int64) & NO_ROW
    absent = index == NO_ROW
    if (index[~absent] >= len(table)).any():
        raise IndexError(f"an index lies beyond the table's {len(table)} rows")
    found = table[np.where(absent, 0, index)]
    found[absent] = 0
    return copy(found, dtype)


REFERENCES: Mapping[str, Callable[..., Any]] = {"gather": _reference}
"""The kernels in NumPy."""
