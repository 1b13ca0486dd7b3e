"""Registers by name, block by block."""

from __future__ import annotations

from gemel.sim.backend import Backend
from gemel_golden.registers import Block


class Page:
    """The registers of block number `index` of a kind: the chip's own, a ring's, a core's."""

    def __init__(self, backend: Backend, block: Block, index: int = 0):
        self._backend = backend
        self._block = block
        self.index = index

    def read(self, name: str) -> int:
        """A register by name."""
        return self._backend.read_register(self._block.address(name, self.index))

    def write(self, name: str, value: int) -> None:
        """Write a register by name."""
        self._backend.write_register(self._block.address(name, self.index), value)

    def read_pair(self, name: str) -> int:
        """The 64 bits of `<name>_lo` and `<name>_hi`."""
        return self.read(f"{name}_lo") | self.read(f"{name}_hi") << 32
