"""The DMA units by themselves: rows of one size between memory and L1, as a share of the memory's bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.bench.dma_rows import BUFFERS, Moves
from gemel.driver.device import Device
from gemel.driver.program import Program
from gemel_golden.config import CHUNK, WORD
from gemel_golden.dma.convert import convert
from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale

__all__ = ["OPERATIONS", "DmaFigures", "run"]

FP32 = 0
SOURCE, TARGET = FORMATS["bf16"], FORMATS["e4m3"]
"""Formats of a converting copy."""
ONE = int(np.float32(1).view(np.uint32))
TURNED_ROWS = WORD // 2
"""Rows of an instruction that transposes elements of two bytes: all that it takes."""


@dataclass(frozen=True, kw_only=True)
class DmaFigures:
    """What the benchmark tells; `cycles` and what follows from them are ``None`` on a chip without a clock.

    `bytes`: moved in one direction, before a conversion; `bandwidth_utilisation`: their share of what a unit's
    port, or the memory, moves that way.
    """

    cycles: int | None
    bytes: int
    rows: int
    instructions: int
    outstanding: int
    bandwidth_utilisation: float | None
    exact: bool

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


Emit = Callable[[Program, Moves, int], object]
Expect = Callable[[Moves], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


def _last_pieces(moves: Moves, rows: Callable[[int], NDArray[np.int64]]) -> NDArray[np.uint8]:
    """L1 after each piece came from these rows of the table."""
    found = moves.l1.copy()
    for piece in range(moves.pieces - BUFFERS, moves.pieces):
        start = piece % BUFFERS * moves.rows
        found[start : start + moves.rows] = moves.table[rows(piece), : moves.row_bytes]
    return found


def _sequential(moves: Moves, piece: int) -> NDArray[np.int64]:
    return np.arange(piece * moves.rows, (piece + 1) * moves.rows)


def _written(moves: Moves, rows: Callable[[int], NDArray[np.int64]], add: bool = False) -> NDArray[np.uint8]:
    """The table after each piece of L1 went to these rows of it."""
    table = moves.table.copy()
    for piece in range(moves.pieces):
        named, held = rows(piece), moves.held(piece)
        if add:
            held = (table[named, : moves.row_bytes].copy().view(np.float32) + held.view(np.float32)).view(np.uint8)
        table[named, : moves.row_bytes] = held
    return table


def _filled(moves: Moves) -> NDArray[np.uint8]:
    table = moves.table.copy()
    table[:, : moves.row_bytes] = 0x5A
    return table


def _turned(moves: Moves) -> NDArray[np.uint8]:
    """L1 after pieces came transposed."""
    found = moves.l1.copy()
    for piece in range(moves.pieces - BUFFERS, moves.pieces):
        block = np.ascontiguousarray(moves.table[_sequential(moves, piece), : moves.row_bytes]).view(np.uint16)
        start = piece % BUFFERS * moves.rows
        found[start : start + moves.rows] = block.T.copy().view(np.uint8).reshape(moves.rows, -1)
    return found


def _converted(moves: Moves, kind: BlockScale) -> NDArray[np.uint8]:
    """The table after each piece of L1 was converted to it; the scales of a row are behind it."""
    table = moves.table.copy()
    rows = [convert(row.view(SOURCE.storage), SOURCE, TARGET, ONE, kind) for row in moves.l1]
    for row in range(moves.count):
        codes, scales = rows[row % len(rows)]
        both = np.concatenate([codes.view(np.uint8), scales])
        table[row, : len(both)] = both
    return table


def _turn(p: Program, moves: Moves, piece: int) -> None:
    shape = moves.place(piece) | {"pitch": WORD // CHUNK}
    p.load_transposed(element=1, **shape, **moves.in_order(piece))


def _convert(kind: BlockScale) -> tuple[Emit, Expect]:
    def emit(p: Program, moves: Moves, piece: int) -> None:
        formats = {"source_format": SOURCE.code, "target_format": TARGET.code}
        how = (
            {"block_scale": kind, "scales": moves.row_bytes // 2, "scale_stride": moves.stride}
            if kind
            else {"factor": ONE}
        )
        p.store_convert(**moves.place(piece), **moves.in_order(piece), **formats, **how)

    return emit, lambda moves: (_converted(moves, kind), moves.l1)


def _load(p: Program, moves: Moves, piece: int) -> None:
    p.load(valid1=moves.rows, valid_bytes=moves.row_bytes, **moves.place(piece), **moves.in_order(piece))


def _fill(p: Program, moves: Moves, piece: int) -> None:
    p.fill(fill=0x5A5A5A5A, count1=moves.rows, bytes=moves.row_bytes, **moves.in_order(piece))


OPERATIONS: Mapping[str, tuple[Emit, Expect]] = {
    "load": (_load, lambda moves: (moves.table, _last_pieces(moves, lambda piece: _sequential(moves, piece)))),
    "gather": (
        lambda p, moves, piece: p.gather(**moves.place(piece), **moves.by_list(piece)),
        lambda moves: (moves.table, _last_pieces(moves, moves.named)),
    ),
    "store": (
        lambda p, moves, piece: p.store(**moves.place(piece), **moves.in_order(piece)),
        lambda moves: (_written(moves, lambda piece: _sequential(moves, piece)), moves.l1),
    ),
    "scatter": (
        lambda p, moves, piece: p.scatter(**moves.place(piece), **moves.by_list(piece)),
        lambda moves: (_written(moves, moves.named), moves.l1),
    ),
    "scatter_add": (
        lambda p, moves, piece: p.scatter_add(format=FP32, **moves.place(piece), **moves.by_list(piece)),
        lambda moves: (_written(moves, moves.named, add=True), moves.l1),
    ),
    "fill": (_fill, lambda moves: (_filled(moves), moves.l1)),
    "transpose": (_turn, lambda moves: (moves.table, _turned(moves))),
    "convert": _convert(BlockScale.NONE),
    "mx": _convert(BlockScale.MX),
    "fp8": _convert(BlockScale.FP32),
}
"""What can be measured, with the bytes that memory and L1 hold afterwards. `transpose`: LOAD_TRANSPOSED of elements of
two bytes; `convert`, `mx`, `fp8`: STORE_CONVERT from BF16 to E4M3 without scales, with MX and with FP32 ones."""


def run(
    device: Device,
    op: str,
    *,
    row_bytes: int,
    stride: int | None = None,
    total: int = 4 << 20,
    seed: int = 0,
) -> DmaFigures:
    """Move about `total` bytes in rows of `row_bytes`, and check every byte.

    Cycles are the launch's, from its first fetched instruction to the last byte. Raises ValueError for an unknown `op`.
    """
    if op not in OPERATIONS:
        raise ValueError(f"no DMA operation {op!r}; there are {', '.join(OPERATIONS)}")
    emit, expect = OPERATIONS[op]
    rows = TURNED_ROWS if op == "transpose" else None
    moves = Moves(device, row_bytes=row_bytes, stride=stride or row_bytes, total=total, seed=seed, rows=rows)
    memory = moves.prepare()
    program = Program()
    for piece in range(moves.pieces):
        emit(program, moves, piece)
    program.halt()
    cycles = device.run(program, [memory]).cycles or None
    table, l1 = expect(moves)
    exact = np.array_equal(memory.read(np.uint8, table.shape), table) and np.array_equal(moves.l1_after(), l1)
    moved = moves.count * row_bytes
    return DmaFigures(
        cycles=cycles,
        bytes=moved,
        rows=moves.count,
        instructions=len(program),
        outstanding=device.config.outstanding,
        bandwidth_utilisation=moved / (cycles * min(device.bandwidth, WORD)) if cycles else None,
        exact=exact,
    )
