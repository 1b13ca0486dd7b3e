"""Rows of memory and pieces of L1 between which the DMA's benchmark moves bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver.buffer import Buffer
from gemel.driver.device import Device
from gemel.driver.program import Program, reg
from gemel_golden.config import CHUNK, WORD

__all__ = ["BUFFERS", "Moves"]

PIECE = 8192
"""Bytes that an instruction moves, or one row where that is longer."""
BUFFERS = 4
"""Pieces in L1, used in turn."""
LISTS = 16
"""Lists of indices in L1, used in turn."""


class Moves:
    """Rows of `row_bytes` bytes, `stride` apart in memory, about `total` bytes of them; `rows` in an instruction.

    Raises ValueError for rows that don't fit.
    """

    def __init__(self, device: Device, *, row_bytes: int, stride: int, total: int, seed: int, rows: int | None = None):
        if row_bytes % CHUNK or not CHUNK <= row_bytes <= 1 << 16:
            raise ValueError(f"rows have a multiple of {CHUNK} bytes up to {1 << 16}, not {row_bytes}")
        if stride < row_bytes:
            raise ValueError(f"rows of {row_bytes} bytes can't be {stride} bytes apart")
        self.device, self.row_bytes, self.stride = device, row_bytes, stride
        self.rows = rows or max(1, PIECE // row_bytes)
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
