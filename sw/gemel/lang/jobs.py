"""What a call of a kernel launches: a graph and where its tensors lie, or two graphs one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gemel.lang.compiled import Tensors
from gemel.lang.graph import Graph
from gemel.lang.halves import Halves
from gemel.lang.memory import Strides
from gemel.lang.sharing import Place, apart
from gemel.tensors import Tensor, empty

__all__ = ["Job", "in_halves", "strides_of"]

HALVES_BYTES = 64 << 10
"""Bytes from and to memory below which the halves of a kernel aren't worth a launch each."""


@dataclass(frozen=True)
class Job:
    """A graph with its operands by position and its results; `name` tells a kernel's graphs apart."""

    graph: Graph
    operands: Mapping[int, Tensor]
    results: list[Tensor]
    name: str = "whole"

    @property
    def strides(self) -> Tensors:
        """Bytes between rows and columns of every tensor."""
        inputs = {position: strides_of(self.operands[position]) for position in self.graph.inputs}
        return Tensors(inputs, tuple(strides_of(x) for x in self.results))

    @property
    def inputs(self) -> list[Place]:
        """Where the operands lie."""
        return [
            Place(node, x.address, strides_of(x), x.format.bits)
            for node, x in ((node, self.operands[position]) for position, node in self.graph.inputs.items())
        ]

    @property
    def outputs(self) -> list[Place]:
        """Where the results go."""
        return [
            Place(node, x.address, strides_of(x), x.format.bits)
            for node, x in zip(self.graph.outputs, self.results, strict=True)
        ]


def strides_of(x: Tensor) -> Strides:
    """Bytes between the rows and between the columns of a tensor as a matrix; a vector is a row."""
    return (0, x.strides[0]) if x.ndim == 1 else (x.strides[0], x.strides[1])


def in_halves(whole: Job, halves: Halves) -> list[Job]:
    """The rows and then the columns of a kernel that goes both ways; none where that isn't worth two launches, or
    where results lie over operands that the columns need."""
    moved = sum(place.node.shape[0] * place.row_bytes for place in (*whole.inputs, *whole.outputs))
    if moved < HALVES_BYTES:
        return []
    device = whole.results[0].device
    between = {position: empty(device, node.shape, node.fmt) for position, node in halves.between.items()}
    first, last = ([whole.results[number] for number in numbers] for numbers in (halves.first, halves.last))
    rows = Job(halves.rows, whole.operands, [*first, *between.values()], "rows")
    columns = Job(halves.columns, {**whole.operands, **between}, last, "columns")
    clear = all(apart(result, operand) for result in rows.outputs[: len(first)] for operand in columns.inputs)
    return [rows, columns] if clear else []
