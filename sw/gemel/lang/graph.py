"""What a kernel computes: a graph of operations on tiles, as tracing finds it and interpreter and compiler read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gemel.lang.errors import Location
from gemel_golden.formats import Format

__all__ = ["Cast", "Graph", "Kind", "Node", "Op", "Shape", "stored"]

Shape = tuple[int, int]
"""Rows and columns; 1 stands for a dimension along which a tile doesn't vary."""


class Kind(Enum):
    """What the elements of a tile are."""

    FLOAT = "fp32"
    INT = "int32"
    BOOL = "bool"


class Op(Enum):
    """The operations; `Node.detail` says the rest."""

    INPUT = "a tensor's tile; detail: (the parameter's position, its format)"
    SCALAR = "a number given at the call; detail: the parameter's position"
    CONST = "a number; detail: its 32 bits"
    LANE = "detail: LaneOp"
    FUNCTION = "detail: Function"
    NEGATE = "the sign bit flipped"
    ABSOLUTE = "the sign bit cleared"
    NOT = "of a truth value"
    AND = "of two truth values"
    SELECT = "where(truth, a, b)"
    BITS = "the same bits as another kind"
    REDUCE = "along `axis`; detail: (LaneOp, axis)"
    SCAN = "running sums along a row; detail: LaneOp"
    CAST = "rounded to a format; detail: Cast"
    INDEX = "the row's or column's number; detail: the axis"
    RANDOM = "Philox words; input: the seed; detail: the stream"
    TRANSPOSE = "an operand of DOT"
    DOT = "a matrix product"


@dataclass(frozen=True)
class Cast:
    """A conversion to `fmt`; stochastic where `stream` is given (the random words are the node's second input)."""

    fmt: Format
    saturate: bool
    stochastic: bool = False


@dataclass(eq=False)
class Node:
    """One operation and its result, a tile of `shape`."""

    op: Op
    inputs: tuple[Node, ...]
    shape: Shape
    kind: Kind
    detail: Any = None
    where: Location | None = field(default=None, repr=False)

    @property
    def fmt(self) -> str:
        """The format that the tile has in memory: a tensor's or a cast's, else FP32 or INT32."""
        if self.op == Op.CAST:
            return self.detail.fmt.name
        return self.detail[1].name if self.op == Op.INPUT else self.kind.value


def stored(node: Node) -> Node:
    """The node whose tile lies in L1 for an operand of DOT: without its transposition."""
    return node.inputs[0] if node.op == Op.TRANSPOSE else node


@dataclass
class Graph:
    """A traced kernel."""

    name: str
    inputs: dict[int, Node]
    """Tensors' tiles by the position of their parameter."""
    scalars: dict[int, Node]
    """Numbers given at the call, likewise."""
    outputs: list[Node]
    nodes: list[Node] = field(default_factory=list)
    """What the outputs need, each after its inputs."""

    def __post_init__(self) -> None:
        self.nodes = _ordered(self.outputs)


def _ordered(outputs: list[Node]) -> list[Node]:
    order: dict[Node, None] = {}
    stack = [(node, False) for node in reversed(outputs)]
    while stack:
        node, ready = stack.pop()
        if node in order:
            continue
        if ready:
            order[node] = None
            continue
        stack.append((node, True))
        stack += [(source, False) for source in reversed(node.inputs) if source not in order]
    return list(order)
