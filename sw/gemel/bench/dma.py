"""The DMA units by themselves: rows of one size between memory and L1, as a share of the memory's bandwidth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.buffer import Buffer
from gemel.driver.device import Device
from gemel.driver.program import Program, reg
from gemel_golden.config import CHUNK, WORD

__all__ = ["OPERATIONS", "DmaFigures", "Moves", "run"]

PIECE = 8192
"""Bytes that an instruction moves, or one row where that is longer."""
BUFFERS = 4
"""Pieces in L1, used in turn."""
LISTS = 16
"""Lists of indices in L1, used in turn."""
FP32 = 0


@dataclass(frozen=True, kw_only=True)
class DmaFigures:
    """What the benchmark tells; `cycles` and what follows from them are ``None`` on a chip without a clock.

    `bytes`: moved in one direction; `bandwidth_utilisation`: their share of what the memory moves that way.
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


class Moves:
    """Rows of `row_bytes` bytes, `stride` apart in memory, about `total` bytes of them.

    Raises ValueError for rows that don't fit.
    """

    def __init__(self, device: Device, *, row_bytes: int, stride: int, total: int, seed: int):
        if row_bytes % CHUNK or not CHUNK <= row_bytes <= 1 << 16:
            raise ValueError(f"rows have a multiple of {CHUNK} bytes up to {1 << 16}, not {row_bytes}")
        if stride < row_bytes:
            raise ValueError(f"rows of {row_bytes} bytes can't be {stride} bytes apart")
        self.device, self.row_bytes, self.stride = device, row_bytes, stride
        self.rows = max(1, PIECE // row_bytes)
        self.piece = self.rows * row_bytes
        self.pieces = max(BUFFERS, total // self.piece)
        self.lists_at = BUFFERS * self.piece
        list_bytes = -(-4 * self.rows // WORD) * WORD
        self.list_bytes = list_bytes
        needed = self.lists_at + LISTS * list_bytes
        if needed > device.config.l1_bytes:
            raise ValueError(f"{needed:,} bytes of rows and lists don't fit into L1's {device.config.l1_bytes:,}")
        rng = np.random.default_rng(seed)
        self.count = self.pieces * self.rows
        numbers = rng.integers(-1000, 1000, (self.count, stride // 4)).astype(np.float32)
        self.table = numbers.view(np.uint8).reshape(self.count, -1)[:, :stride]
        self.l1 = rng.integers(-1000, 1000, (BUFFERS * self.rows, row_bytes // 4)).astype(np.float32).view(np.uint8)
        order = rng.permutation(self.count)
        self.lists = [order[np.arange(i * self.rows, (i + 1) * self.rows) % self.count] for i in range(LISTS)]

    def place(self, piece: int) -> dict[str, int]:
        """Where a piece lies in L1."""
        shape = {"l1": piece % BUFFERS * self.piece, "layout": 0, "pitch": self.row_bytes // CHUNK}
        return shape | {"count1": self.rows, "bytes": self.row_bytes}

    def in_order(self, piece: int) -> dict[str, Any]:
        """A piece's rows in memory, one after the other."""
        return {"mem": reg(1) + piece * self.rows * self.stride, "stride1": self.stride}

    def by_list(self, piece: int) -> dict[str, Any]:
        """A piece's rows in memory, named by a list."""
        indices = self.lists_at + piece % LISTS * self.list_bytes
        return {"mem": reg(1), "stride": self.stride, "indices": indices, "limit": self.count}

    def named(self, piece: int) -> NDArray[np.int64]:
        """The rows that a piece's list names."""
        return self.lists[piece % LISTS]

    def held(self, piece: int) -> NDArray[np.uint8]:
        """A piece's bytes in L1 before the run."""
        start = piece % BUFFERS * self.rows
        return self.l1[start : start + self.rows]

    def prepare(self) -> Buffer:
        """Put the table into memory, rows and lists into L1."""
        lists = np.zeros((LISTS, self.list_bytes // 4), np.uint32)
        for i, named in enumerate(self.lists):
            lists[i, : self.rows] = named
        program = Program()
        for register, (array, at) in enumerate(((self.l1, 0), (lists, self.lists_at)), 1):
            raw = array.view(np.uint8)
            rows, size = raw.reshape(len(raw), -1).shape
            whole = {"bytes": size, "valid_bytes": size, "valid1": rows, "count1": rows, "stride1": size}
            program.load(mem=reg(register), l1=at, pitch=size // CHUNK, **whole)
        program.halt()
        self.device.run(program, [self.device.upload(self.l1), self.device.upload(lists)])
        return self.device.upload(self.table)

    def l1_after(self) -> NDArray[np.uint8]:
        """The pieces in L1."""
        target = self.device.alloc(self.l1.nbytes)
        program = Program()
        program.store(
            mem=reg(1), count1=len(self.l1), stride1=self.row_bytes, bytes=self.row_bytes, pitch=self.row_bytes // CHUNK
        )
        program.halt()
        self.device.run(program, [target])
        return target.read(np.uint8, self.l1.shape)


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
}
"""What can be measured, with the bytes that memory and L1 hold afterwards."""


def run(
    device: Device,
    op: str,
    *,
    row_bytes: int,
    stride: int | None = None,
    total: int = 4 << 20,
    seed: int = 0,
    bandwidth: float = 64,
) -> DmaFigures:
    """Move about `total` bytes in rows of `row_bytes`, and check every byte.

    Cycles are the launch's, from its first fetched instruction to the last byte. Raises ValueError for an unknown `op`.
    """
    if op not in OPERATIONS:
        raise ValueError(f"no DMA operation {op!r}; there are {', '.join(OPERATIONS)}")
    emit, expect = OPERATIONS[op]
    moves = Moves(device, row_bytes=row_bytes, stride=stride or row_bytes, total=total, seed=seed)
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
        bandwidth_utilisation=moved / (cycles * bandwidth) if cycles else None,
        exact=exact,
    )
