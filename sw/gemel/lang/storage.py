"""Where tiles lie in L1: groups of fields that share a row's record, matrices in tile layout, and their places."""

from __future__ import annotations

from dataclasses import dataclass, field

from gemel.lang.graph import Node
from gemel_golden.config import CHUNK, WORD
from gemel_golden.formats import Format
from gemel_golden.vector_isa import LANES

__all__ = ["Field", "Group"]

ALIGN = 128
"""Bytes between the places where fields may begin: a vector of FP32."""


@dataclass(eq=False)
class Field:
    """One tile in L1: `cols` elements of a row, or one that the row's columns share."""

    node: Node
    group: Group
    fmt: Format
    cols: int
    offset: int = 0
    """Bytes from the record's start."""

    @property
    def element(self) -> bool:
        """One element a row, in a format of whole bytes: it is accessed by itself."""
        return self.cols == 1 and self.fmt.bits >= 8

    @property
    def unit(self) -> int:
        """Bytes that a column of the vector core's address counts."""
        return self.fmt.bits // 8 if self.element else LANES * self.fmt.bits // 8

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory."""
        return -(-self.cols * self.fmt.bits // 8)

    @property
    def size(self) -> int:
        """Bytes of a row's record, whole vectors."""
        return CHUNK if self.element else -(-self.cols // LANES) * LANES * self.fmt.bits // 8


@dataclass(eq=False)
class Group:
    """Fields that lie side by side in each row, in linear layout; or one field in tile layout.

    A `streamed` group has `depth` copies, used in turn by the blocks of rows; another one has a single place. One that
    is `flat` has a single row.
    """

    name: str
    streamed: bool = False
    flat: bool = False
    tile: bool = False
    fields: list[Field] = field(default_factory=list)
    depth: int = 1
    rows: int = 1
    bases: list[int] = field(default_factory=list)

    def add(self, node: Node, fmt: Format) -> Field:
        """One more field for a node."""
        found = Field(node, self, fmt, node.shape[1])
        self.fields.append(found)
        return found

    def arrange(self, rows: int) -> None:
        """Give the fields their offsets, elements first, and the group its rows."""
        self.rows = 1 if self.flat else rows
        offset = 0
        for item in sorted(self.fields, key=lambda item: not item.element):
            offset = -(-offset // ALIGN) * ALIGN if not item.element else offset
            item.offset = offset
            offset += item.size
        self.row_bytes = -(-offset // WORD) * WORD

    row_bytes: int = 0

    @property
    def pitch(self) -> int:
        """As the vector core's addresses, LOAD and STORE have it."""
        return -(-self.rows // 2) if self.tile else self.row_bytes // CHUNK

    @property
    def size(self) -> int:
        """Bytes of one copy."""
        if self.tile:
            return self.pitch * (self.row_bytes // CHUNK) * WORD
        return self.rows * self.row_bytes

    @property
    def total(self) -> int:
        """Bytes of all copies."""
        return self.size * self.depth if self.fields else 0
