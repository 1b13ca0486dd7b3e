"""A piece of device memory that is freed with its last reference."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gemel.driver.memory import Allocator
from gemel.sim.backend import Backend


class Buffer:
    """`size` bytes at device address `address`; made by `Device.alloc`.

    A launch that has a buffer among its arguments keeps it alive until it is done.
    """

    def __init__(self, backend: Backend, allocator: Allocator, size: int, align: int):
        self.address = allocator.alloc(size, align)
        self.size = size
        self._backend = backend
        self._free = weakref.finalize(self, allocator.free, self.address)
        self._free.atexit = False

    def __int__(self) -> int:
        return self.address

    def __repr__(self) -> str:
        return f"Buffer({self.size} bytes at {self.address:#x})"

    def write(self, data: ArrayLike | bytes, offset: int = 0) -> None:
        """Copy an array's bytes, in C order, to `offset`. Raises ValueError when they don't fit."""
        array = np.frombuffer(data, np.uint8) if isinstance(data, bytes | bytearray) else np.asarray(data)
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._view(offset, raw.size)[:] = raw

    def read(
        self, dtype: DTypeLike = np.uint8, shape: int | tuple[int, ...] | None = None, offset: int = 0
    ) -> NDArray[Any]:
        """A copy of the bytes from `offset` on as an array; without a shape, all whole elements up to the end."""
        kind = np.dtype(dtype)
        if shape is None:
            shape = (self.size - offset) // kind.itemsize
        count = math.prod(shape) if isinstance(shape, tuple) else shape
        return self._view(offset, count * kind.itemsize).copy().view(kind).reshape(shape)

    def free(self) -> None:
        """Give the memory back now; reading and writing are errors from then on."""
        self._free()

    def _view(self, offset: int, size: int) -> NDArray[np.uint8]:
        if not self._free.alive:
            raise ValueError(f"{self!r} has been freed")
        if offset < 0 or offset + size > self.size:
            raise ValueError(f"bytes {offset}..{offset + size} lie outside a buffer of {self.size} bytes")
        return self._backend.memory[self.address + offset : self.address + offset + size]
