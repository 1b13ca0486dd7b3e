"""When each tile can be computed: its stage (vector code before or after a DOT) and its pass over a row there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gemel.lang.errors import KernelError
from gemel.lang.graph import Graph, Kind, Node, Op, stored

__all__ = ["Levels", "Time"]

Time = tuple[int, int]
"""Stage and pass."""


@dataclass(frozen=True)
class Levels:
    """A graph's nodes sorted by what they vary with and by when they can be known."""

    graph: Graph

    @cached_property
    def whole(self) -> set[Node]:
        """Parameters that stay in L1 as a whole: the right operands of DOT."""
        found = set()
        for node in self.graph.nodes:
            if node.op == Op.DOT:
                right = stored(node.inputs[1])
                if right.op != Op.INPUT:
                    raise KernelError("the right operand of dot must be a parameter or its .T", node.where)
                if node.inputs[0].op == Op.TRANSPOSE:
                    raise KernelError("the left operand of dot can't be transposed: its rows pass by", node.where)
                found.add(right)
        return found

    @cached_property
    def left(self) -> set[Node]:
        """The left operands of DOT."""
        return {node.inputs[0] for node in self.graph.nodes if node.op == Op.DOT}

    @cached_property
    def values(self) -> set[Node]:
        """Nodes whose elements vector code computes with."""
        found = set()
        for node in self.graph.nodes:
            if node.op not in (Op.DOT, Op.TRANSPOSE):
                found |= set(node.inputs)
        return found | set(self.graph.outputs)

    @cached_property
    def rows(self) -> int:
        """Rows of the kernel: those of all tiles that vary with the row."""
        found: dict[int, Node] = {}
        for node in self.graph.nodes:
            only_whole = node in self.whole and node not in self.values and node not in self.left
            if not only_whole and node.op != Op.TRANSPOSE:
                found.setdefault(node.shape[0], node)
        found.pop(1, None)
        if len(found) > 1:
            shapes = " and ".join(str(node.shape) for node in found.values())
            raise KernelError(
                f"a kernel's tiles have the same rows, not those of {shapes}", [*found.values()][-1].where
            )
        return next(iter(found), 1)

    @cached_property
    def late(self) -> set[Node]:
        """Nodes that are known after the last row: sums down columns and what is made of them."""
        found: set[Node] = set()
        for node in self.graph.nodes:
            if (node.op == Op.REDUCE and node.detail[1] == 0) or any(source in found for source in node.inputs):
                found.add(node)
                mixed = [source for source in node.inputs if source in self.blocked and source not in found]
                if mixed and not (node.op == Op.REDUCE and node.detail[1] == 0):
                    raise KernelError(
                        "what a reduction along axis 0 gives is known after the last row; a second kernel can use it "
                        "beside the rows",
                        node.where,
                    )
        return found

    @cached_property
    def blocked(self) -> set[Node]:
        """Nodes that vary with the row."""
        found: set[Node] = set()
        for node in self.graph.nodes:
            if node.op == Op.INPUT:
                if node.shape[0] == self.rows and (node not in self.whole or node in self.values or node in self.left):
                    found.add(node)
                continue
            own = node.op == Op.RANDOM or (node.op, node.detail) == (Op.INDEX, 0)
            late = node.op == Op.REDUCE and node.detail[1] == 0
            if own or (not late and any(source in found for source in node.inputs)):
                found.add(node)
        return found

    @cached_property
    def times(self) -> dict[Node, Time]:
        """The earliest stage and pass of each node."""
        times: dict[Node, Time] = {}
        for node in self.graph.nodes:
            time = max((times[source] for source in node.inputs), default=(0, 0))
            if node.op == Op.DOT:
                left = node.inputs[0]
                time = (0, 0) if left.op == Op.INPUT else (self.produced(times, left)[0] + 1, 0)
            elif node.op == Op.REDUCE and node.detail[1] == 1 and node in self.blocked:
                time = (time[0], time[1] + 1)
            elif node.op == Op.CAST and node in self.read_back:
                time = (time[0], self._pass(node, time[1]) + (1 if self.wide(node) else 2))
            times[node] = time
        return times

    def _pass(self, node: Node, level: int) -> int:
        """The pass that computes a tile of this level: what doesn't vary along the row is known one pass before."""
        return level if self.wide(node) else max(0, level - 1)

    def produced(self, times: dict[Node, Time], node: Node) -> Time:
        """The pass that computes a node, for one that is read back the pass before it can be used."""
        stage, level = times[node]
        if node in self.read_back:
            return stage, level - (1 if self.wide(node) else 2)
        return stage, self._pass(node, level)

    @cached_property
    def read_back(self) -> set[Node]:
        """Casts whose rounded elements are computed with: they are stored and loaded again."""
        used = set()
        for node in self.graph.nodes:
            if node.op not in (Op.DOT, Op.TRANSPOSE):
                used |= {source for source in node.inputs if source.op == Op.CAST}
        return used

    def wide(self, node: Node) -> bool:
        """Whether it varies along the row."""
        return node.shape[1] > 1

    def storable(self, node: Node) -> bool:
        """Whether L1 can hold it."""
        return node.kind != Kind.BOOL
