"""A kernel that goes along the rows and down the columns, as two that cores can share: its rows, then its columns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gemel.lang.graph import Graph, Kind, Node, Op
from gemel.lang.levels import Levels
from gemel_golden.formats import FORMATS

__all__ = ["Halves", "halves_of"]


@dataclass(frozen=True)
class Halves:
    """Two graphs that give a kernel's outputs, with the same bits, one after the other.

    `rows` gives the outputs that vary with the row, of `first` numbers, and then `between`: what the columns need to
    know of whole rows, a number for each. `columns` takes these as tensors behind the kernel's own operands and gives
    the outputs that are known after the last row, of `last` numbers.
    """

    rows: Graph
    columns: Graph
    first: tuple[int, ...]
    last: tuple[int, ...]
    between: dict[int, Node]
    """By the position that it has in `columns`."""


def halves_of(graph: Graph) -> Halves | None:
    """The halves of a graph, where outputs are of both kinds."""
    levels = Levels(graph)
    numbered = list(enumerate(graph.outputs))
    first = tuple(i for i, node in numbered if node in levels.blocked)
    last = tuple(i for i, node in numbered if node in levels.late)
    if not first or not last or len(first) + len(last) < len(numbered):
        return None
    free = max([*graph.inputs, *graph.scalars]) + 1
    taken: dict[Node, Node] = {}
    made = _above([graph.outputs[i] for i in last], levels, taken, free)
    return Halves(
        rows=_part(graph, [*(graph.outputs[i] for i in first), *taken], {}),
        columns=_part(graph, [made[graph.outputs[i]] for i in last], taken),
        first=first,
        last=last,
        between={operand.detail[0]: node for node, operand in taken.items()},
    )


def _above(outputs: list[Node], levels: Levels, taken: dict[Node, Node], free: int) -> dict[Node, Node]:
    """What the columns compute, made anew over operands in the place of what whole rows give, which are `taken`."""
    made: dict[Node, Node] = {}
    deep = _of_whole_rows(levels)
    wanted: set[Node] = set()
    stack = [*outputs]
    while stack:
        node = stack.pop()
        if node in wanted:
            continue
        wanted.add(node)
        if not _is_between(node, levels, deep):
            stack += node.inputs
    for node in levels.graph.nodes:
        if node not in wanted:
            continue
        if _is_between(node, levels, deep):
            fmt = FORMATS[node.fmt]
            detail = (free + len(taken), fmt)
            made[node] = taken[node] = Node(Op.INPUT, (), node.shape, node.kind, detail, node.where)
        else:
            inputs = tuple(made[source] for source in node.inputs)
            made[node] = node if inputs == node.inputs else replace(node, inputs=inputs)
    return made


def _of_whole_rows(levels: Levels) -> set[Node]:
    """What depends on reductions along rows."""
    found: set[Node] = set()
    for node in levels.graph.nodes:
        along = node.op == Op.REDUCE and node.detail[1] == 1
        if node in levels.blocked and (along or any(source in found for source in node.inputs)):
            found.add(node)
    return found


def _is_between(node: Node, levels: Levels, deep: set[Node]) -> bool:
    """Whether it is a number of each row that the columns take from the rows' results."""
    return node in deep and not levels.wide(node) and node.kind != Kind.BOOL


def _part(graph: Graph, outputs: list[Node], taken: dict[Node, Node]) -> Graph:
    """The graph of some outputs, with the operands and numbers that it needs."""
    found = Graph(graph.name, dict(graph.inputs), dict(graph.scalars), outputs)
    needed = {*found.nodes}
    found.inputs = {position: node for position, node in graph.inputs.items() if node in needed}
    found.inputs |= {node.detail[0]: node for node in taken.values()}
    found.scalars = {position: node for position, node in graph.scalars.items() if node in needed}
    return found
