"""Matrix products whose operands and results stay in L1: whole matrices in tile layout, and the MATMULs over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import Operand, split_even, split_starts, split_windows
from gemel_golden.config import CHUNK, DRAIN_LANES, WORD, ChipConfig
from gemel_golden.formats import Format
from gemel_golden.isa import Layout, Opcode, Scaled

__all__ = ["Matrix", "load", "load_scales", "multiply", "place", "store", "tile_rows"]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """`rows` x `row_bytes` bytes in tile layout at byte address `address` of L1, a multiple of 64."""

    address: int
    rows: int
    row_bytes: int

    @property
    def pitch(self) -> int:
        """Words between chunk columns."""
        return -(-self.rows // 2)

    @property
    def size(self) -> int:
        """Bytes of L1."""
        return self.pitch * -(-self.row_bytes // CHUNK) * WORD

    def at(self, row: int, offset: int = 0) -> int:
        """L1 address of the submatrix that begins at an even `row` and `offset` bytes into it.

        The bytes before `offset` in its chunk are part of the address, as D of MATMUL has them; elsewhere `offset` is a
        multiple of 32. Raises ValueError for an odd row: rows share words in pairs.
        """
        if row % 2:
            raise ValueError(f"a submatrix in L1 begins at an even row, not {row}")
        column, rest = divmod(offset, CHUNK)
        word = self.address // WORD + column * self.pitch + row // 2
        return word * WORD + (column & 1) * CHUNK + rest


def place(config: ChipConfig, *shapes: tuple[int, int]) -> list[Matrix]:
    """Matrices of (rows, row bytes) one behind the other in L1; ValueError with the numbers when they don't fit."""
    matrices: list[Matrix] = []
    top = 0
    for rows, row_bytes in shapes:
        matrices.append(Matrix(address=top, rows=rows, row_bytes=row_bytes))
        top += matrices[-1].size
    if top > config.l1_bytes:
        sizes = " + ".join(f"{matrix.size:,}" for matrix in matrices)
        raise ValueError(f"{sizes} bytes don't fit into the {config.l1_bytes:,} bytes of L1 of the {config.name} chip")
    return matrices


def load(schedule: Schedule, matrix: Matrix, register: int, *, writes: Iterable[Region] = ()) -> None:
    """LOAD a whole matrix whose rows lie one after the other in memory, from the address in `register`."""
    values = _rows(matrix.address, matrix.pitch, matrix.rows, matrix.row_bytes, matrix.row_bytes)
    values |= {"mem_reg": register, "valid1": matrix.rows, "valid_bytes": matrix.row_bytes}
    schedule.emit(Opcode.LOAD, values, writes=writes)


def store(
    schedule: Schedule,
    matrix: Matrix,
    register: int,
    *,
    offset: int = 0,
    stride: int | None = None,
    reads: Iterable[Region] = (),
) -> None:
    """STORE a whole matrix to the address in `register` plus `offset`; rows `stride` bytes apart, dense by default."""
    values = _rows(matrix.address, matrix.pitch, matrix.rows, matrix.row_bytes, stride or matrix.row_bytes)
    schedule.emit(Opcode.STORE, values | {"mem_reg": register, "mem": offset}, reads=reads)


def _rows(l1: int, pitch: int, rows: int, row_bytes: int, stride: int) -> dict[str, int]:
    return {
        "layout": Layout.TILE,
        "l1": l1,
        "pitch": pitch,
        "count1": rows,
        "stride1": stride,
        "bytes": row_bytes,
    }


def tile_rows(config: ChipConfig, operand: Operand, side: str) -> list[tuple[int, int]]:
    """The (start, size) pieces of the rows of A ("a") or B ("b").

    They begin at multiples of the array's rows and of 16 columns, so that few of its cycles are lost at the edges.
    """
    if side == "a":
        return split_windows(split_even, operand, config.tile, operand.row_granule(max(config.rows, 2)))
    return split_windows(split_starts, operand, config.tile, operand.row_granule(DRAIN_LANES))


def load_scales(
    schedule: Schedule, config: ChipConfig, operand: Operand, side: str, address: int, register: int
) -> None:
    """LOAD an operand's block scales from the address in `register` to L1, one strip behind the other for each tile."""
    scales = operand.scales
    if scales is None:
        return
    for number, (start, rows) in enumerate(tile_rows(config, operand, side)):
        row_bytes = scales.size * (rows if scales.scaled == Scaled.ROWS else 1)
        values = _rows(0, scales.line_chunks, -(-operand.k // scales.group), row_bytes, scales.stride)
        values |= {"layout": Layout.LINEAR, "l1": address + number * scales.l1_bytes(operand.k)}
        values |= {"mem_reg": register, "mem": scales.offset(start, 0)}
        values |= {"valid1": values["count1"], "valid_bytes": row_bytes}
        schedule.emit(Opcode.LOAD, values)


def multiply(
    schedule: Schedule,
    config: ChipConfig,
    a: tuple[Operand, Matrix, int, int],
    b: tuple[Operand, Matrix, int, int],
    d: tuple[Format, Matrix],
    *,
    scales: tuple[int, int] = (0, 0),
    reads: Iterable[Region] = (),
    writes: Iterable[Region] = (),
) -> None:
    """MATMULs of D = A @ B over the whole of K: each operand with the matrix that holds it, and its first row and byte.

    scales: L1 addresses of the operands' block scales, as `load_scales` lays them.
    """
    (a_shape, a_matrix, *a_start), (b_shape, b_matrix, *b_start) = a, b
    out, d_matrix = d
    reads, writes = list(reads), list(writes)
    columns = tile_rows(config, b_shape, "b")
    for i, (m0, m) in enumerate(tile_rows(config, a_shape, "a")):
        for j, (n0, n) in enumerate(columns):
            values = {
                "a_format": a_shape.fmt.code,
                "b_format": b_shape.fmt.code,
                "d_format": out.code,
                "a_transposed": a_shape.transposed,
                "b_transposed": b_shape.transposed,
                "a": _tile(a_shape, a_matrix, a_start, m0),
                "b": _tile(b_shape, b_matrix, b_start, n0),
                "d": d_matrix.at(m0, n0 * out.bits // 8),
                "a_pitch": a_matrix.pitch,
                "b_pitch": b_matrix.pitch,
                "d_pitch": d_matrix.pitch,
                "m": m,
                "n": n,
                "k": a_shape.k,
                "saturate": out.saturates,
            }
            for name, shape, first, number in (("a", a_shape, scales[0], i), ("b", b_shape, scales[1], j)):
                if shape.scales is not None:
                    at = first + number * shape.scales.l1_bytes(shape.k)
                    values |= {"block_scale": shape.scales.mode, f"{name}_scaled": shape.scales.scaled}
                    values[f"{name}_scales"] = at // WORD - values[name] // WORD
            schedule.emit(Opcode.MATMUL, values, reads=reads, writes=writes)


def _tile(shape: Operand, matrix: Matrix, start: list[int], first: int) -> int:
    row, offset = start
    if shape.transposed:
        return matrix.at(row, offset + shape.row_bytes(first))
    return matrix.at(row + first, offset)
