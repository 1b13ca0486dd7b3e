"""Which values a vector program computes in which loop over the rows, and which pass through L1 in between."""

from __future__ import annotations

from dataclasses import dataclass, field

from gemel.lang.graph import Node, Op
from gemel.lang.levels import Levels, Time
from gemel.lang.storage import Field, Group
from gemel_golden.formats import FORMATS, by_name
from gemel_golden.vector_isa import LANES

__all__ = ["Section", "Sections", "Sink"]

CHEAP = 3
"""Operations that are done again rather than stored and loaded."""

FREE = (Op.NEGATE, Op.ABSOLUTE, Op.BITS)
"""Operations that are made where their result is used."""

_COSTS = {Op.LANE: 1, Op.FUNCTION: 4, Op.SELECT: 2, Op.RANDOM: 10, Op.SCAN: 100, Op.INPUT: 1, Op.AND: 1}


@dataclass(frozen=True)
class Sink:
    """What a pass is for: a reduction, or a tile that goes to L1."""

    node: Node
    field: Field | None = None


@dataclass(eq=False)
class Section:
    """One loop over the rows. `passes` go over a row one after the other; of a `columns` section, the loop over columns
    is outside."""

    stage: int
    columns: bool = False
    passes: dict[int, list[Sink]] = field(default_factory=dict)


@dataclass(eq=False)
class Sections:
    """The sections of a kernel's rows, the groups of L1 that they use, and the fields by node.

    `fused`: so many passes of a stage share a loop, and values stay in registers from one to the next.
    """

    levels: Levels
    fused: int
    groups: dict[str, Group] = field(default_factory=dict)
    fields: dict[Node, Field] = field(default_factory=dict)
    items: list[Section] = field(default_factory=list)
    homes: dict[Node, Section] = field(default_factory=dict)
    """The section that stores a value; there it is in registers."""
    uses: dict[Group, set[int]] = field(default_factory=dict)
    """By group, the stages whose vector code reads or writes it."""
    _first: dict[Node, tuple[Section, int]] = field(default_factory=dict)
    _costs: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, streamed, flat in (
            ("in", True, False),
            ("out", True, False),
            ("cross", True, False),
            ("temporary", False, False),
            ("line", False, True),
            ("sums", False, True),
            ("last", False, True),
        ):
            self.groups[name] = Group(name, streamed=streamed, flat=flat)
        self._inputs()
        self._sinks()
        self._reach()

    @property
    def main(self) -> list[Node]:
        """Outputs that vary with the row."""
        return [node for node in self.levels.graph.outputs if node in self.levels.blocked]

    @property
    def last(self) -> list[Node]:
        """Outputs that don't, or that are known after the last row."""
        return [node for node in self.levels.graph.outputs if node not in self.levels.blocked]

    def tile(self, name: str, node: Node, streamed: bool = True) -> Field:
        """A matrix in tile layout of its own."""
        group = self.groups[name] = Group(name, streamed=streamed, tile=True)
        found = group.add(node, by_name(node.fmt))
        if streamed:
            self.fields[node] = found
        return found

    def _inputs(self) -> None:
        levels = self.levels
        for node in levels.graph.nodes:
            if node.op == Op.INPUT:
                position, fmt = node.detail
                if node in levels.whole:
                    self.tile(f"whole{position}", node, streamed=False).group.rows = node.shape[0]
                if node in levels.left:
                    self.tile(f"left{position}", node)
                elif node in levels.blocked:
                    self.fields[node] = self.groups["in"].add(node, fmt)
                elif node not in levels.whole or node in levels.values:
                    self.fields[node] = self.groups["line"].add(node, fmt)
            elif node.op == Op.DOT:
                self.tile(f"dot{len(self.groups)}", node)

    def _sinks(self) -> None:
        levels, times = self.levels, self.levels.times
        wanted: dict[Time, list[Sink]] = {}
        sums: dict[int, list[Sink]] = {}
        for node in levels.graph.nodes:
            stage, level = times[node]
            if node.op == Op.REDUCE and node.detail[1] == 0:
                self.fields[node] = self.groups["sums"].add(node, FORMATS["fp32"])
                sums.setdefault(stage, []).append(Sink(node))
            elif node in levels.late or node not in levels.blocked:
                continue
            elif node.op == Op.REDUCE:
                wanted.setdefault((stage, level - 1), []).append(Sink(node))
            elif node.op == Op.CAST and (node in levels.left or node in levels.read_back):
                if node in levels.left:
                    place = self.tile(f"left{len(self.groups)}", node)
                elif node in self.main:
                    place = self.groups["out"].add(node, node.detail.fmt)
                else:
                    place = self.groups["cross"].add(node, node.detail.fmt)
                self.fields[node] = place
                wanted.setdefault(levels.produced(times, node), []).append(Sink(node, place))
        for node in self.main:
            if node in self.fields and self.fields[node].group.name == "out":
                continue
            home = levels.produced(times, node)
            wanted.setdefault(home, []).append(Sink(node, self.groups["out"].add(node, by_name(node.fmt))))
        last_stage = max([stage for stage, _ in wanted] + [*sums], default=0)
        for stage in range(last_stage + 1):
            passes = {level: sinks for (s, level), sinks in sorted(wanted.items(), key=lambda x: x[0]) if s == stage}
            first = {level: sinks for level, sinks in passes.items() if level < self.fused}
            self.items += [Section(stage, passes=first)] if first else []
            self.items += [Section(stage, passes={n: sinks}) for n, sinks in passes.items() if n not in first]
            if stage in sums:
                self.items.append(Section(stage, columns=True, passes={0: sums[stage]}))
        for section in self.items:
            for sink in (sink for sinks in section.passes.values() for sink in sinks):
                if sink.field is not None and self.fields.get(sink.node) is sink.field:
                    self.homes[sink.node] = section

    def cost(self, node: Node) -> int:
        """Operations by which a wide tile is computed from what L1 has."""
        if node not in self._costs:
            own = _COSTS.get(node.op, 0)
            if node in self.fields or not self.levels.wide(node):
                self._costs[node] = min(own, 1)
            else:
                self._costs[node] = own + sum(self.cost(source) for source in node.inputs)
        return self._costs[node]

    def _reach(self) -> None:
        for section in self.items:
            seen: set[Node] = set()
            for level, sinks in section.passes.items():
                for sink in list(sinks):
                    self._visit(sink.node, section, level, seen, root=True)

    def _visit(self, node: Node, section: Section, level: int, seen: set[Node], *, root: bool = False) -> None:
        levels = self.levels
        if root:
            for item in (sink.field for sinks in section.passes.values() for sink in sinks if sink.field is not None):
                self.uses.setdefault(item.group, set()).add(section.stage)
            if node.op != Op.REDUCE:
                self._first.setdefault(node, (section, level))
            for source in node.inputs:
                self._visit(source, section, level, seen)
            return
        if node in seen or node not in levels.blocked:
            return
        seen.add(node)
        if node in self.fields and (node.op != Op.REDUCE or self.homes.get(node) not in (None, section)):
            self.uses.setdefault(self.fields[node].group, set()).add(section.stage)
            return
        home = self._home(node, section)
        if home is not None:
            self._store(node, *home)
            self.uses.setdefault(self.fields[node].group, set()).update((home[0].stage, section.stage))
            return
        if node.op == Op.REDUCE:
            return
        if section.columns and node.op in (Op.RANDOM, Op.SCAN) and levels.wide(node):
            self._first[node] = (self._row_section(*levels.times[node]), levels.times[node][1])
            self._store(node, *self._first[node])
            for source in node.inputs:
                self._visit(source, *self._first[node], set())
            return
        self._first.setdefault(node, (section, level))
        for source in node.inputs:
            self._visit(source, section, level, seen)

    def _row_section(self, stage: int, level: int) -> Section:
        """The section of a pass over the rows, new where there was none."""
        for section in self.items:
            if section.stage == stage and not section.columns and level in section.passes:
                return section
        place = next(i for i, section in enumerate(self.items) if section.stage == stage and section.columns)
        self.items.insert(place, Section(stage, passes={level: []}))
        return self.items[place]

    def _home(self, node: Node, section: Section) -> tuple[Section, int] | None:
        """The earlier section that gives a node to this one by L1."""
        levels = self.levels
        if not levels.wide(node):
            stage, level = levels.times[node]
            if level == 0 or node.op in FREE or not levels.storable(node):
                return None
            found = next((s for s in self.items if s.stage == stage and not s.columns and level - 1 in s.passes), None)
            return (found, level - 1) if found is not None and found is not section else None
        first = self._first.get(node)
        if first is None or first[0] is section or not levels.storable(node) or self.cost(node) <= CHEAP:
            return None
        return first

    def _store(self, node: Node, section: Section, level: int) -> None:
        if node in self.fields:
            return
        later = section.stage < max(s.stage for s in self.items)
        group = self.groups["cross" if later else "temporary"]
        self.fields[node] = group.add(node, FORMATS["fp32"])
        self.homes[node] = section
        section.passes[level].append(Sink(node, self.fields[node]))
        self._costs.clear()
        if not self.levels.wide(node):
            for source in node.inputs:
                self._visit(source, section, level, set())

    @property
    def work(self) -> int:
        """Vector operations of a row, were all columns unrolled."""
        total = 0
        for node in {n for n in self.levels.graph.nodes if n in self.levels.blocked}:
            vectors = -(-max(node.shape[1], node.inputs[0].shape[1] if node.inputs else 1) // LANES)
            total += (
                vectors * (5 if node.op == Op.SCAN else 1) * (node.op in (Op.LANE, Op.FUNCTION, Op.SELECT, Op.SCAN))
            )
            total += vectors * (node.op == Op.REDUCE)
        return total + sum(-(-node.shape[1] // LANES) for node in self.main)
