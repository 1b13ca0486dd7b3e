"""Where everything of attention's backward pass lies in L1."""

from __future__ import annotations

from dataclasses import dataclass

from gemel.kernels.attention_backward_units import BackwardSpec, Blocking
from gemel.kernels.attention_vector import STRIP
from gemel.kernels.schedule import Region
from gemel_golden.config import CHUNK, WORD

__all__ = ["PITCH", "Places", "Queries", "Tiles"]

PITCH = STRIP // 2
"""Words between the chunk columns of a strip."""
Tiles = dict[tuple[int, int], Region]
"""FP32 sums by first row and first column of each tile of 32 x 32."""


@dataclass(frozen=True)
class Queries:
    """The place of a piece of queries."""

    q: Region
    grad: Region
    logarithms: Region
    deltas: Region
    """Row sums of dO * O, right after the logarithms."""
    dq: Tiles


class Places:
    """Regions of L1; `top` says where they end.

    Members: code, limits (None unless masked); pieces, of queries; k and v, each for two visits; by strip of a block:
    scores (S), products (dP), results (dK and dV); weights (P) and gradients (dS), for even and odd units by strip;
    sums (dK and dV), for even and odd visits by strip; staging: O on its way in, dQ on its way out.
    """

    def __init__(self, spec: BackwardSpec, blocking: Blocking, *, code_bytes: int, masked: bool):
        self.spec, self.blocking = spec, blocking
        self.top = 0
        strips, piece, size = range(blocking.keys // STRIP), blocking.queries, spec.fmt.bits // 8
        row_bytes = spec.head_dim * size
        self.code = self._region(code_bytes)
        self.limits = self._region(8 * STRIP * STRIP) if masked else None
        self.pieces = [self._queries(piece, row_bytes) for _ in range(blocking.pieces)]
        self.k, self.v = ([self._region(blocking.keys * row_bytes) for _ in "eo"] for _ in "kv")
        self.scores, self.products = ([self._region(4 * STRIP * piece) for _ in strips] for _ in "sp")
        self.weights, self.gradients = ([self._block(strips, piece * size) for _ in "eo"] for _ in "pd")
        self.sums = [[[self._tiles(STRIP) for _ in "kv"] for _ in strips] for _ in "eo"]
        self.results = [[self._region(STRIP * row_bytes) for _ in "kv"] for _ in strips]
        self.staging = self._region(piece * max(row_bytes, spec.head_dim * spec.out.bits // 8))

    def chunk(self, column: int) -> int:
        """The chunk in which a column of an operand begins, a multiple of 32."""
        return column * (self.spec.fmt.bits // 8) // CHUNK

    def _region(self, size: int) -> Region:
        size = -(-size // WORD) * WORD
        self.top += size
        return Region(self.top - size, size)

    def _block(self, strips: range, row_bytes: int) -> list[Region]:
        """P or dS of a block of keys: the strips' rows follow each other in one matrix."""
        whole = self._region(self.blocking.keys * row_bytes)
        return [Region(whole.address + strip * PITCH * WORD, whole.size // len(strips)) for strip in strips]

    def _tiles(self, rows: int) -> Tiles:
        whole = self._region(4 * rows * self.spec.head_dim)
        return {
            (row, column): Region(whole.address + (column // 8 * (rows // 2) + row // 2) * WORD, 4 * STRIP * STRIP)
            for row in range(0, rows, STRIP)
            for column in range(0, self.spec.head_dim, STRIP)
        }

    def _queries(self, piece: int, row_bytes: int) -> Queries:
        q, grad, statistics = (self._region(size) for size in (piece * row_bytes, piece * row_bytes, 8 * piece))
        deltas = Region(statistics.address + 4 * piece, 4 * piece)
        return Queries(q, grad, Region(statistics.address, 4 * piece), deltas, self._tiles(piece))
