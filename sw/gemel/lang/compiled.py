"""What a compiled kernel is: its programs, the vector code and what that is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gemel.lang.memory import Strides
from gemel.vector import VectorProgram

__all__ = ["Compiled", "Tensors"]


@dataclass(frozen=True)
class Tensors:
    """Strides in bytes (rows, columns) of tensors by the position of their parameter, and of outputs by number."""

    inputs: Mapping[int, Strides]
    outputs: tuple[Strides, ...]


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A program and what it is made of.

    Its launch arguments: the address of `code`, those of the tensors and of the outputs in their order, the numbers,
    and, where cores share the rows, what a core's first row is in each of the `row_units`.
    """

    program: bytes
    loads: bytes
    stores: bytes
    """Programs of the same arguments to run before and after it, where tiles don't pass between memory and L1 in it."""
    code: bytes
    """Bundles and constants, which device memory holds at a multiple of 64."""
    parts: Mapping[str, VectorProgram] = field(repr=False)
    """The vector programs by name."""
    entries: Mapping[str, int] = field(repr=False)
    """The bundles of `code` at which they begin."""
    code_address: int
    """Where `code` lies in L1."""
    rows: int
    """Rows of a block."""
    l1_bytes: int
    row_units: tuple[int, ...] = ()
    """What is counted for each row."""

    @property
    def listing(self) -> str:
        """The vector programs as text."""
        return "\n".join(f"# {name}\n{part.listing}" for name, part in self.parts.items())
