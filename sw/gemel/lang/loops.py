"""Loops over the rows and the columns of a block, around the emitter's values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemel.lang.emitter import Emitter
from gemel.lang.graph import Cast, Node, Op
from gemel.lang.order import CHAINS, IDENTITIES, METHODS
from gemel.lang.sections import CHEAP, Section, Sections, Sink
from gemel.vector import Vec
from gemel_golden.vector_isa import LANES

__all__ = ["Loops", "Variant"]

COLUMN_GROUP = 8
"""Vectors of a row that are summed down their columns at a time."""
MANY_ROWS = 8
"""Rows of a block from which on a loop over them pays for each group of columns."""
LINE_REGISTERS = 16
"""Vector registers for tiles of one row while all rows pass by."""


@dataclass(frozen=True)
class Variant:
    """A way to compile the same values.

    fused: the passes of a stage, from the first on, that share a loop over the rows. keep: of so many vectors of a row,
    the last ones, what costs little to make stays in registers from pass to pass too. unroll: vectors in an iteration
    of a loop over columns; 0: all columns are unrolled, as they must be where passes share a loop. columnwise: where a
    pass only stores, tiles of one row stay in registers while all rows pass by. overlap: iterations may overlap, which
    takes time to compile.
    """

    fused: int
    keep: int = 0
    unroll: int = 0
    columnwise: bool = True
    overlap: bool = True


class Loops:
    """Emits sections for blocks of `count` rows."""

    def __init__(self, sections: Sections, emitter: Emitter, variant: Variant, count: int):
        self.sections, self.emitter, self.variant, self.count = sections, emitter, variant, count

    def rows(self, section: Section) -> None:
        """All passes over each row, row after row; or some columns at a time, where that serves."""
        e = self.emitter
        e.stepping, e.before = 0, 0
        if (width := self._columnwise(section)) > 0:
            self.columns(section, width)
            return

        def body() -> None:
            with e.scope():
                for number, sinks in section.passes.items():
                    e.pass_number = number
                    self.sweep(sinks)
                    e.forget(self._cheap)
                if self.count > 1:
                    self._next_row()

        self.emitter.looped(body, self._over_rows)

    def _cheap(self, node: Node, j: int | None) -> bool:
        """Whether vector `j` of a row is made again in every pass."""
        wide = -(-node.shape[1] // LANES)
        return node.shape[1] > 1 and (j or 0) < wide - self.variant.keep and self.sections.cost(node) <= CHEAP

    def _columnwise(self, section: Section) -> int:
        """Columns (in vectors) that are worked on at a time where tiles of one row had to be loaded for each row."""
        sinks = [sink for sinks in section.passes.values() for sink in sinks]
        if not self.variant.columnwise or self.count < MANY_ROWS or len(section.passes) > 1:
            return 0
        if any(sink.field is None or sink.node.shape[1] == 1 for sink in sinks):
            return 0
        nodes: dict[Node, None] = {}
        for sink in sinks:
            self._wide(sink.node, nodes, root=True)
        lines = self._lines(sinks)
        if self.emitter.keep_lines or not lines or any(node.op in (Op.RANDOM, Op.SCAN) for node in nodes):
            return 0
        return next((width for width in (8, 4, 2) if width * len(lines) <= LINE_REGISTERS), 0)

    def _lines(self, sinks: list[Sink]) -> list[Node]:
        """The wide nodes that don't vary with the row and that rows are computed with."""
        e, seen, found = self.emitter, set[Node](), []
        stack = [source for sink in sinks for source in sink.node.inputs]
        while stack:
            node = stack.pop()
            if node in seen or node.shape[1] == 1:
                continue
            seen.add(node)
            if node not in e.blocked:
                found.append(node)
            elif not (node in e.fields and e.loadable(node)):
                stack += node.inputs
        return found

    def _over_rows(self, body: Callable[[], None]) -> None:
        if self.count == 1:
            body()
            return
        with self.emitter.loop(self.count, "rows", overlap=self.variant.overlap):
            body()

    def _next_row(self) -> None:
        e = self.emitter
        number = e.frames[-1][0]
        for key, address in e.addresses.items():
            stepped = e.expected.get((number, key)) and (e.downward or not key.stepping)
            if not key.group.flat and not stepped:
                e.builder.move(address, 1, 0, relative=True)
        for number in e.row_numbers:
            e.builder.sadd(number, 1, into=number)

    def sweep(self, sinks: list[Sink]) -> None:
        """One pass over the columns of a row, then what it gives for the row."""
        wide = [sink for sink in sinks if _columns(sink) > 1]
        for cols in dict.fromkeys(_columns(sink) for sink in wide):
            self._sweep([sink for sink in wide if _columns(sink) == cols], cols)
        for sink in sinks:
            if sink not in wide:
                self._take(sink, None, {})

    def _sweep(self, sinks: list[Sink], cols: int) -> None:
        e = self.emitter
        vectors = -(-cols // LANES)
        unroll = self.variant.unroll
        chains: dict[Node, list[Vec]] = {sink.node: [] for sink in sinks if sink.field is None}
        if not unroll or vectors <= unroll:
            for j in range(vectors):
                for sink in sinks:
                    self._take(sink, j, chains)
        else:
            self._column_loop(sinks, cols // LANES // unroll, vectors, chains)
        for node, found in chains.items():
            e.scopes[-1][(node, None)] = e.finish(node.detail[0], found)

    def _column_loop(self, sinks: list[Sink], count: int, vectors: int, chains: dict[Node, list[Vec]]) -> None:
        e, unroll = self.emitter, self.variant.unroll
        b = e.builder
        for sink in sinks:
            self._prepare(sink.node, set())
        with e.scope():
            carried = self._carried(sinks)
            for node, found in chains.items():
                identity = b.const(IDENTITIES[node.detail[0]])
                found += [b.variable(identity) for _ in range(min(CHAINS, vectors))]
            e.stepping, e.before = unroll, None
            with e.loop(count, "columns", overlap=self.variant.overlap) as number:
                work = {node: list(found) for node, found in chains.items()}
                with e.scope():
                    for j in range(unroll):
                        for sink in sinks:
                            self._take(sink, j, work)
                    for variable, following in carried:
                        b.assign(variable, following())
                for node, found in chains.items():
                    for variable, value in zip(found, work[node], strict=True):
                        b.assign(variable, value)
            e.before = count * unroll
            with e.scope():
                for j in range(vectors - count * unroll):
                    for sink in sinks:
                        self._take(sink, j, chains)
            for key, address in e.addresses.items():
                if key.stepping and (number, key) in e.accesses:
                    b.move(address, 0, -count * unroll, relative=True)
        e.stepping, e.before = 0, 0

    def _prepare(self, node: Node, seen: set[Node]) -> None:
        """Make what all columns of a row share before the loop over them."""
        e = self.emitter
        if node in seen or (node in e.fields and e.loadable(node) and node.shape[1] > 1):
            return
        seen.add(node)
        for source in node.inputs:
            if source.shape[1] == 1:
                e.value(source, None)
            else:
                self._prepare(source, seen)

    def _carried(self, sinks: list[Sink]) -> list[tuple[Vec, Callable[[], Vec]]]:
        """Variables of column numbers and running sums, with what they become after an iteration."""
        e, unroll = self.emitter, self.variant.unroll
        b = e.builder
        found: list[tuple[Vec, Callable[[], Vec]]] = []
        nodes: dict[Node, None] = {}
        for sink in sinks:
            self._wide(sink.node, nodes, root=True)
        for node in nodes:
            if node.op == Op.INDEX:
                start = e.hoisted(("iota",), lambda: e.builder.iota())
                variable = b.variable(start)
                e.scopes[-1][("columns",), "carried"] = variable

                def following(node: Node = node) -> Vec:
                    return e.builder.iadd(e.vector(node, unroll - 1), e.builder.const(LANES))

                found.append((variable, following))
            elif node.op == Op.SCAN:
                variable = b.variable(b.const(0))
                e.scopes[-1][("scan", node), "carried"] = variable
                found.append((variable, lambda node=node: e.builder.mov(e.vector(node, unroll - 1).last)))
        return found

    def _wide(self, node: Node, found: dict[Node, None], *, root: bool = False) -> None:
        """The wide nodes that a sweep computes, in the order of `found`."""
        e = self.emitter
        if node in found or (not root and (node.shape[1] == 1 or (node in e.fields and e.loadable(node)))):
            return
        found[node] = None
        for source in node.inputs:
            self._wide(source, found)

    def columns(self, section: Section, width: int = 0) -> None:
        """Some columns at a time, all rows for each: sums down the columns, and stores."""
        e = self.emitter
        for number, sinks in section.passes.items():
            e.pass_number = number
            for cols in dict.fromkeys(_columns(sink) for sink in sinks):
                self._columns([sink for sink in sinks if _columns(sink) == cols], cols, width)

    def _columns(self, sinks: list[Sink], cols: int, width: int) -> None:
        vectors, unroll = -(-cols // LANES), width or self.variant.unroll or COLUMN_GROUP
        count = cols // LANES // unroll if vectors > unroll else 0
        if count:
            self._column_group(sinks, count, list(range(unroll)), 0)
        for start in range(count * unroll, vectors, unroll):
            self._column_group(sinks, 0, list(range(start, min(start + unroll, vectors))), start)

    def _column_group(self, sinks: list[Sink], count: int, columns: list[int], start: int) -> None:
        """Rows of `columns`; with a count, that many times, further on by so many columns each time."""
        e = self.emitter
        e.stepping, e.before = (len(columns), None) if count else (0, 0)
        e.downward = True
        width = len(columns)
        wide = _columns(sinks[0]) > 1

        def body() -> None:
            with e.scope():
                if count and any(node.op == Op.INDEX for node in self.sections.levels.graph.nodes):
                    made = e.hoisted(("index",), lambda: e.builder.variable(e.builder.iota()))
                    e.scopes[-1][("columns",), "carried"] = made
                sums = {
                    (sink.node, j): e.builder.variable(e.load(e.fields[sink.node], j))
                    for sink in sinks
                    for j in columns
                    if sink.field is None
                }
                for node in self._lines(sinks):
                    for j in columns:
                        e.value(node, j)
                with e.loop(self.count, "rows", overlap=self.variant.overlap), e.scope():
                    for sink in sinks:
                        for j in columns:
                            if sink.field is not None:
                                self._take(sink, j, {})
                                continue
                            variable = sums[sink.node, j]
                            value = e.operand(sink.node.inputs[0], j if wide else None)
                            method = getattr(e.builder, METHODS[sink.node.detail[0]])
                            e.builder.assign(variable, method(variable, value))
                    self._next_row()
                for (node, j), variable in sums.items():
                    e.store(e.fields[node], j, variable)
                for key, address in e.addresses.items():
                    step = width if key.stepping else 0
                    e.builder.move(address, 0 if key.group.flat else -self.count, step, relative=True)
                for number in e.row_numbers:
                    e.first_row(1, into=number)
                if count and ("index",) in e.ready:
                    e.builder.iadd(e.ready[("index",)], e.builder.const(width * LANES), into=e.ready[("index",)])

        def around(body: Callable[[], None]) -> None:
            if count:
                with e.loop(count, ""):
                    body()
            else:
                body()

        e.looped(body, around)
        e.stepping, e.before, e.downward = 0, 0, False

    def _take(self, sink: Sink, j: int | None, chains: dict[Node, list[Vec]]) -> None:
        """Vector `j` of a row for a reduction or a store; what all columns share where it is ``None``."""
        e = self.emitter
        node = sink.node
        if sink.field is None:
            source = node.inputs[0]
            if source.shape[1] == 1:
                e.value(node, None)
            else:
                e.chain(node, chains[node], j or 0)
            return
        if node.op == Op.CAST:
            cast: Cast = node.detail
            random = e.vector(node.inputs[1], j) if cast.stochastic else None
            e.store(sink.field, j or 0, e.operand(node.inputs[0], j), saturate=cast.saturate, random=random)
            return
        e.store(sink.field, j or 0, e.operand(node, j), saturate=False)


def _columns(sink: Sink) -> int:
    """Columns over which a sink's pass goes."""
    return sink.node.shape[1] if sink.field is not None else sink.node.inputs[0].shape[1]
