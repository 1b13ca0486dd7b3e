"""The vector program of an epilogue: a kernel's graph on one drained tile, row by row."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gemel.kernels.matmul_epilogue import TileCode
from gemel.lang.access import Arguments
from gemel.lang.emitter import Emitter
from gemel.lang.graph import Node, Op
from gemel.lang.order import METHODS
from gemel.vector import Addr, Pred, Vec, VectorProgram
from gemel_golden.config import CHUNK
from gemel_golden.formats import FORMATS, by_name
from gemel_golden.vector_isa import LANES

__all__ = ["tile_program"]

PITCH = LANES // 2
"""Words between chunk columns of a tile, and of a strip of tiles beside each other."""
GROUP, STRIP, AUX, COLUMN, COLUMNS, BEFORE, TOTALS = range(1, 8)
"""Arguments: the tiles (FP32), the strips of D and of aux, the first tile's number in them, the last one's columns, and
the sums of the tiles' columns (FP32, a row) over the rows before and over all rows so far."""


@lru_cache(maxsize=64)
def tile_program(code: TileCode, rows: int, tiles: int) -> VectorProgram:
    """Tiles of so many rows beside each other: from FP32 at x1 to columns x4 (in tiles) and on of D's strip at x2.

    x3: the strip of aux, likewise. x5: the last tile's columns; the others have 32. The sums of columns start from the
    FP32 numbers at x6 and go to x7.
    """
    return _Program(code, rows, tiles).build()


class _Program:
    def __init__(self, code: TileCode, rows: int, tiles: int):
        self.graph, self.rows, self.tiles = code.graph(), rows, tiles
        varying: set[Node] = set()
        for node in self.graph.nodes:
            if node.op == Op.INPUT or varying.intersection(node.inputs):
                varying.add(node)
        self.emitter = Emitter({}, varying, Arguments(), {}, overlap=True)
        self.totals: dict[tuple[Node, int], Vec] = {}
        self.sums = {node for node in self.graph.outputs if node.op == Op.REDUCE and node.detail[1] == 0}

    def build(self) -> VectorProgram:
        self.emitter.looped(self._row, self._around)
        return self.emitter.builder.build()

    def _around(self, body: Callable[[], None]) -> None:
        """The loop over the rows: before it what they share, behind it the columns' sums."""
        e = self.emitter
        b = e.builder
        for node in self.graph.nodes:
            if node not in e.blocked and node.shape[1] > 1:
                e.value(node, 0)
        self.totals = {
            (node, tile): b.variable(b.load(self._line(BEFORE), "fp32", col=tile))
            for node in self.sums
            for tile in range(self.tiles)
        }
        with b.loop(self.rows):
            body()
        for (_, tile), total in self.totals.items():
            b.store(self._line(TOTALS), "fp32", total, col=tile)

    def _row(self) -> None:
        for tile in range(self.tiles):
            with self.emitter.scope():
                self._vector(tile)

    def _vector(self, tile: int) -> None:
        """A row of a tile. Addresses step to the next row with the last one."""
        e = self.emitter
        b = e.builder
        place: dict[str, Any] = {"col": tile, "post": tile == self.tiles - 1}
        for position, node in self.graph.inputs.items():
            address = self._matrix(AUX if position else GROUP, strip=position > 0)
            if node.shape[1] == 1:
                e.scopes[-1][node, None] = b.load(address, node.fmt, element=True, **place)
            else:
                e.scopes[-1][node, 0] = b.load(address, node.fmt, pred=self._lanes(tile), **place)
        for number, node in enumerate(self.graph.outputs):
            if node in self.sums:
                total = self.totals[node, tile]
                getattr(b, METHODS[node.detail[0]])(total, e.vector(node.inputs[0], 0), into=total)
                continue
            address = self._matrix(AUX if number else STRIP, strip=True)
            if node.shape[1] == 1:
                b.store(address, node.fmt, e.operand(node, None), element=True, **place)
                continue
            source, saturate = (node.inputs[0], node.detail.saturate) if node.op == Op.CAST else (node, False)
            value, lanes = e.operand(source, 0), self._lanes(tile)
            b.store(address, by_name(node.fmt), value, pred=lanes, saturate=saturate, **place)

    def _lanes(self, tile: int) -> Pred | None:
        """The columns that a tile has, where they may be fewer than 32."""
        e = self.emitter
        if tile < self.tiles - 1:
            return None
        return e.hoisted(("lanes",), lambda: e.builder.lanes_below(e.builder.arg(COLUMNS)))

    def _matrix(self, argument: int, *, strip: bool) -> Addr:
        """The address register of the tiles, or of their place in a strip."""
        e = self.emitter

        def make() -> Addr:
            b = e.builder
            address = b.address(b.arg(argument), PITCH, steps=(1, 0), region=f"matrix {argument}", apart=True)
            if strip:
                b.move(address, 0, b.arg(COLUMN))
            return address

        return e.hoisted(("matrix", argument), make)

    def _line(self, argument: int) -> Addr:
        e = self.emitter
        pitch = LANES * FORMATS["fp32"].bits // 8 // CHUNK
        return e.hoisted(
            ("line", argument), lambda: e.builder.address(e.builder.arg(argument), pitch, tile=False, region="sums")
        )
