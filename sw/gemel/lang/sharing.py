"""How cores share a kernel: pieces of its rows, or of its columns where these have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gemel.kernels.split import Parts, parts_apart, parts_of
from gemel.lang.graph import Graph, Node, Op
from gemel.lang.levels import Levels
from gemel_golden.vector_isa import LANES

__all__ = ["Piece", "Place", "Way", "apart", "part_of", "pieces_of", "ways_of"]

LEAST_BYTES = 1024
"""Bytes from and to memory below which a piece isn't worth a core."""
LEAST_COLUMNS = 8 * LANES
"""Columns of a piece: what goes down fewer of them waits for itself."""


@dataclass(frozen=True)
class Way:
    """To cut a graph along an axis: the nodes whose tiles are cut, all of `length` rows (0) or columns (1)."""

    axis: int
    length: int
    nodes: frozenset[Node]


@dataclass(frozen=True)
class Piece:
    """One launch: each core takes so many rows or columns from its start on."""

    way: Way
    size: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where an operand's tile lies in memory: address, and bytes between rows and between columns."""

    node: Node
    address: int
    strides: tuple[int, int]
    bits: int

    @property
    def row_bytes(self) -> int:
        """From a row's first byte to its last."""
        columns = self.node.shape[1]
        beside = self.strides[1] * 8 in (self.bits, 0)
        return -(-columns * self.bits // 8) if beside else (columns - 1) * self.strides[1] + self.bits // 8

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + (self.node.shape[0] - 1) * self.strides[0] + self.row_bytes

    def offset(self, way: Way, start: int) -> int:
        """Bytes to where a piece begins."""
        if self.node not in way.nodes:
            return 0
        return start * self.bits // 8 if way.axis else start * self.strides[0]


def ways_of(graph: Graph) -> list[Way]:
    """How a graph can be cut without a change of any bit."""
    levels, found = Levels(graph), []
    alike = all(node.shape[0] == levels.rows for node in levels.blocked)
    if levels.rows > 1 and alike and not levels.late and not levels.whole & levels.blocked:
        found.append(Way(0, levels.rows, frozenset(levels.blocked)))
    widths = {node.shape[1] for node in graph.nodes} - {1}
    if len(widths) == 1 and not any(_along_row(node) for node in graph.nodes):
        (width,) = widths
        found.append(Way(1, width, frozenset(node for node in graph.nodes if node.shape[1] == width)))
    return found


def _along_row(node: Node) -> bool:
    """Whether a column of a tile needs others, or its number."""
    if node.op == Op.REDUCE:
        return node.detail[1] == 1
    return node.op in (Op.SCAN, Op.DOT, Op.TRANSPOSE, Op.RANDOM) or (node.op, node.detail) == (Op.INDEX, 1)


def part_of(graph: Graph, way: Way, size: int) -> Graph:
    """The graph of so many rows or columns."""
    made: dict[Node, Node] = {}
    for node in graph.nodes:
        shape = node.shape
        if node in way.nodes:
            shape = (shape[0], size) if way.axis else (size, shape[1])
        made[node] = replace(node, inputs=tuple(made[source] for source in node.inputs), shape=shape)
    return Graph(
        graph.name,
        {position: made.get(node, node) for position, node in graph.inputs.items()},
        {position: made.get(node, node) for position, node in graph.scalars.items()},
        [made[node] for node in graph.outputs],
    )


def pieces_of(ways: Sequence[Way], inputs: Sequence[Place], outputs: Sequence[Place], cores: int) -> list[Piece]:
    """The launches that share the work by up to so many cores; none where one core does it all.

    Where pieces don't divide the length they overlap: two cores write the same bytes. Results over their own operands
    have pieces with nothing in common, and what these leave is a launch of its own.
    """
    for count in range(cores, 1, -1):
        for way in ways:
            least = _least(way, [*inputs, *outputs])
            granule = 2 if way.axis and any(place.bits < 8 for place in (*inputs, *outputs)) else 1
            how = _how(way, inputs, outputs)
            parts = how(way.length, count, least=least, granule=granule) if how is not None else None
            if parts is not None:
                return list(_launches(way, parts))
    return []


def _launches(way: Way, parts: Parts) -> Iterator[Piece]:
    yield Piece(way, parts.size, parts.starts)
    done = parts.starts[-1] + parts.size
    if done < way.length:
        yield Piece(way, way.length - done, (done,))


def _least(way: Way, places: Sequence[Place]) -> int:
    """Rows or columns that a piece has at least."""
    moved = sum(place.node.shape[0] * place.row_bytes for place in places if place.node in way.nodes)
    return max(-(-LEAST_BYTES * way.length // max(1, moved)), LEAST_COLUMNS * way.axis)


def _how(way: Way, inputs: Sequence[Place], outputs: Sequence[Place]) -> Callable[..., Parts | None] | None:
    """How the results' places allow a length to be cut; ``None`` where they don't."""
    found: Callable[..., Parts | None] = parts_of
    for number, out in enumerate(outputs):
        for other in (*inputs, *outputs[:number]):
            if apart(out, other):
                continue
            if out.node not in way.nodes or other.node not in way.nodes or not _in_step(out, other, way.axis):
                return None
            found = parts_apart
    return found


def apart(a: Place, b: Place) -> bool:
    """Whether two tiles have no byte in common."""
    if a.end <= b.address or b.end <= a.address:
        return True
    stride = a.strides[0]
    if a.strides[0] != b.strides[0] or stride <= 0:
        return False
    between = (b.address - a.address) % stride
    return a.row_bytes <= between and between + b.row_bytes <= stride


def _in_step(a: Place, b: Place, axis: int) -> bool:
    """Whether rows (or columns) of one tile have bytes in common only with the same rows of the other."""
    if axis:
        return (a.address, a.strides, a.bits) == (b.address, b.strides, b.bits)
    low, high = min(a.address, b.address), max(a.address + a.row_bytes, b.address + b.row_bytes)
    return a.strides[0] == b.strides[0] >= high - low
