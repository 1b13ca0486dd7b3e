"""How a kernel's groups share L1: the pipeline that a block of rows passes through, its rows, and every place."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from gemel.kernels.schedule import Region
from gemel.lang.errors import KernelError
from gemel.lang.graph import Graph, Node, Op
from gemel.lang.levels import Levels
from gemel.lang.sections import Sections
from gemel.lang.storage import Field, Group
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import FORMATS, by_name
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.vector_isa import BUNDLE_BYTES

__all__ = ["Memory", "Strides"]

BLOCKS = 8
"""Blocks that a kernel is cut into where L1 would take larger ones: the first LOAD and the last STORE run alone."""
BLOCK_BYTES = 16 * 1024
"""Bytes of a block, from memory and to it, below which it isn't cut further."""
SCALARS = 11
"""Scalar registers for constants, numbers of the call and random states; other constants wait in L1."""
SMALL_CODE = 4 * 1024
"""Bytes for the vector code where L1 has no room for all that the instruction memory holds."""

Strides = tuple[int, int]
"""Bytes in memory between rows and between columns."""


class Memory:
    """Places in L1 for everything but the code; `top` is the first byte behind them.

    `stages` is the pipeline: ("load", 0), then ("tensor", n) and ("vector", n), then ("store", 0). `block` is the rows
    of a block: all of them where they are `resident`. Raises KernelError with the sizes when L1 is too small.
    """

    def __init__(
        self,
        graph: Graph,
        sections: Sections,
        strides: Mapping[int, Strides],
        config: ChipConfig,
        resident: bool = False,
    ):
        self.graph, self.sections, self.config, self.resident = graph, sections, config, resident
        self.levels: Levels = sections.levels
        self.groups = sections.groups
        self.strides = strides
        self.pool: dict[int, Field] = {}
        """Constants that wait in L1, by their bits."""
        self.regions: dict[tuple[Group, int], Region] = {}
        self.top = 0
        for node in sections.last:
            self.groups["last"].add(node, by_name(node.fmt))
        self._pool()
        self.stages = self._stages()
        self._share()

    def _pool(self) -> None:
        """Find places for constants beyond those that scalar registers hold."""
        constants = [node for node in self.graph.nodes if node.op == Op.CONST and node.detail]
        random = sum(node.op == Op.RANDOM for node in self.graph.nodes)
        room = SCALARS - len(self.graph.scalars) - random - (4 if random else 0)
        group = self.groups["pool"] = Group("pool", flat=True)
        for node in constants[max(0, room) :]:
            self.pool.setdefault(node.detail, group.add(node, FORMATS["fp32"]))

    def _stages(self) -> list[tuple[str, int]]:
        """The pipeline: what each block passes through."""
        vector = {section.stage for section in self.sections.items}
        tensor = {self.dot_stage(node) for node in self.graph.nodes if node.op == Op.DOT}
        found = [("load", 0)]
        for stage in sorted(vector | tensor):
            found += [("tensor", stage)] if stage in tensor else []
            found += [("vector", stage)] if stage in vector else []
        return [*found, ("store", 0)]

    def dot_stage(self, node: Node) -> int:
        """The stage before whose vector code a product is made."""
        return self.levels.times[node][0]

    def _life(self, group: Group) -> int:
        """Steps of the pipeline from the first to the last that touch a group."""
        steps = [self.stages.index(("vector", stage)) for stage in self.sections.uses.get(group, ())]
        steps += [0] if any(item.node.op == Op.INPUT for item in group.fields) else []
        steps += [len(self.stages) - 1] if group.name == "out" else []
        for node in self.graph.nodes:
            if node.op == Op.DOT:
                fields = (self.sections.fields[node], self.sections.fields[node.inputs[0]])
                if any(item.group is group for item in fields):
                    steps.append(self.stages.index(("tensor", self.dot_stage(node))))
        return max(steps) - min(steps)

    def _share(self) -> None:
        """Choose the rows of a block and give every group its places."""
        for group in self.groups.values():
            if group.name.startswith("whole"):
                self._orient(group)
        rows = self.levels.rows
        dots = any(stage == "tensor" for stage, _ in self.stages)
        streamed = [group for group in self.groups.values() if group.streamed and group.fields]
        lives = {group: self._life(group) for group in streamed}
        block = total = reserve = 0
        sizes = self._candidates(rows, dots)
        for reserve, spare, block in product((VECTOR_BUNDLES * BUNDLE_BYTES, SMALL_CODE), (1, 0), sizes):
            count = -(-rows // block)
            for group in self.groups.values():
                if not group.name.startswith("whole"):
                    group.arrange(block)
            for group, life in lives.items():
                group.depth = max(1, min(life + spare, count))
            total = sum(group.total for group in self.groups.values())
            if total + reserve <= self.config.l1_bytes:
                self.block = block
                self._place_groups()
                return
        parts = ", ".join(f"{group.name} {group.total:,}" for group in self.groups.values() if group.fields)
        raise KernelError(
            f"{self.graph.name}: a block of {block} rows takes {total:,} bytes of L1 ({parts}) beside {reserve:,} for "
            f"its code; the {self.config.name} chip has {self.config.l1_bytes:,}",
            self.graph.outputs[0].where,
        )

    def _candidates(self, rows: int, dots: bool) -> list[int]:
        """Rows of a block, the best first."""
        if self.resident:
            return [rows]
        if dots:
            tile = self.config.tile
            return [*(size for size in (4 * tile, 2 * tile) if size < 2 * rows), tile, tile // 2, tile // 4]
        for group in self.groups.values():
            group.arrange(1)
        row = max(1, self.groups["in"].row_bytes + self.groups["out"].row_bytes)
        wanted = max(-(-rows // BLOCKS), -(-BLOCK_BYTES // row))
        sizes = [1 << bit for bit in range(15, -1, -1)]
        return [rows] * (rows <= wanted) + [size for size in sizes if size < 2 * wanted and size <= rows]

    def _orient(self, group: Group) -> None:
        """A whole operand lies in L1 as memory has it: its contiguous dimension along the rows."""
        item = group.fields[0]
        position, fmt = item.node.detail
        size = fmt.bits // 8
        rows, cols = item.node.shape
        strides = self.strides[position]
        if strides[1] == size or cols == 1:
            group.rows, item.cols = rows, cols
        elif strides[0] == size or rows == 1:
            group.rows, item.cols = cols, rows
        else:
            raise KernelError(f"an operand of dot has strides {strides} bytes; its rows or columns must be contiguous")
        group.row_bytes = -(-item.cols * size // CHUNK) * CHUNK

    def _place_groups(self) -> None:
        for group in self.groups.values():
            if not group.fields:
                continue
            group.bases = []
            for slot in range(group.depth):
                group.bases.append(self.top)
                self.regions[group, slot] = Region(self.top, group.size)
                self.top += -(-group.size // WORD) * WORD
