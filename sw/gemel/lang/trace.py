"""Tracing: nodes are made once, checked against each other where the author wrote them, and shared where equal."""

from __future__ import annotations

from typing import Any

import numpy as np

from gemel.lang.errors import KernelError, here
from gemel.lang.graph import Kind, Node, Op, Shape
from gemel_golden import fp32
from gemel_golden.functions import Function
from gemel_golden.lane_ops import LaneOp

__all__ = ["Trace"]

ONE: Shape = (1, 1)


class Trace:
    """One kernel under way."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[Any, ...], Node] = {}

    def node(self, op: Op, inputs: tuple[Node, ...], shape: Shape, kind: Kind, detail: Any = None) -> Node:
        """The node that this is, new or known."""
        key = (op, tuple(id(source) for source in inputs), shape, kind, detail)
        if key not in self._nodes:
            self._nodes[key] = Node(op, inputs, shape, kind, detail, here())
        return self._nodes[key]

    def constant(self, value: float | bool | np.generic, kind: Kind) -> Node:
        """A number as a tile of `kind`; KernelError when it doesn't fit."""
        if kind == Kind.FLOAT:
            bits = int(fp32.bits_of(np.float64(value)))
        elif kind == Kind.INT and not isinstance(value, int | np.integer):
            raise KernelError(f"an int32 tile doesn't mix with {value!r}; convert it with .astype('fp32')", here())
        elif not -(1 << 31) <= int(value) < 1 << 32:
            raise KernelError(f"{value} doesn't fit 32 bits", here())
        else:
            bits = int(value) & 0xFFFF_FFFF
        return self.node(Op.CONST, (), ONE, kind, bits)

    def lane(self, op: LaneOp, *inputs: Node, kind: Kind | None = None) -> Node:
        """One operation of the arithmetic slot on tiles that broadcast."""
        return self.node(Op.LANE, inputs, broadcast(*inputs), kind or inputs[0].kind, op)

    def function(self, function: Function, x: Node) -> Node:
        """A table function."""
        return self.node(Op.FUNCTION, (x,), x.shape, Kind.FLOAT, function)


def broadcast(*nodes: Node) -> Shape:
    """The shape of an elementwise result; KernelError when these don't fit together."""
    shape = []
    for axis in (0, 1):
        sizes = {node.shape[axis] for node in nodes} - {1}
        if len(sizes) > 1:
            shapes = " and ".join(str(node.shape) for node in nodes)
            raise KernelError(f"tiles of shapes {shapes} don't broadcast", here())
        shape.append(sizes.pop() if sizes else 1)
    return shape[0], shape[1]
