"""A kernel's program for one chip: L1 shared out, blocks of rows in a pipeline of LOAD, TENSOR, VECTOR and STORE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gemel.kernels.matmul_l1 import Matrix, multiply
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import Operand
from gemel.lang.access import Arguments
from gemel.lang.compiled import Compiled, Tensors
from gemel.lang.errors import KernelError
from gemel.lang.graph import Graph, Node, Op, stored
from gemel.lang.levels import Levels
from gemel.lang.loops import Variant
from gemel.lang.memory import Memory
from gemel.lang.order import IDENTITIES
from gemel.lang.sections import Sections
from gemel.lang.stages import last_program, stage_program
from gemel.lang.storage import Field, Group
from gemel.vector import VectorProgram
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.isa import VECTOR_BUNDLES, Layout, Opcode
from gemel_golden.vector_isa import BUNDLE_BYTES

__all__ = ["compile_variant"]

CODE_REG = 1
"""Address register of the launch that holds the address of the vector code."""
ROW_BYTES = 1 << 15
"""Bytes of a row that one LOAD or STORE takes at most."""


def compile_variant(
    graph: Graph,
    tensors: Tensors,
    config: ChipConfig,
    variant: Variant,
    *,
    resident: bool = False,
    shared: bool = False,
) -> Compiled:
    """Compile in one way; `resident`: all rows lie in L1 while they are computed with, and come and go in programs of
    their own; `shared`: rows count from one that the launch gives. Raises KernelError, or ValueError where this way
    needs too many registers or bundles."""
    return _Program(graph, tensors, config, variant, resident, shared).compile()


class _Program:
    def __init__(
        self, graph: Graph, tensors: Tensors, config: ChipConfig, variant: Variant, resident: bool, shared: bool
    ):
        self.graph, self.tensors, self.config, self.variant = graph, tensors, config, variant
        self.apart, self.shared = resident, shared
        self.levels = Levels(graph)
        self.sections = Sections(self.levels, variant.fused)
        self.memory = Memory(graph, self.sections, tensors.inputs, config, resident)
        self.groups, self.regions, self.block = self.memory.groups, self.memory.regions, self.memory.block
        self.schedule = Schedule()
        positions = [*graph.inputs]
        self.registers = {position: CODE_REG + 1 + i for i, position in enumerate(positions)}
        first = CODE_REG + 1 + len(positions)
        self.output_registers = [first + i for i in range(len(graph.outputs))]
        self.scalar_registers = {p: first + len(graph.outputs) + i for i, p in enumerate(graph.scalars)}
        self.first_row_register = first + len(graph.outputs) + len(graph.scalars)
        if len(graph.scalars) > 5:
            raise KernelError(f"{graph.name} takes {len(graph.scalars)} numbers at the call; VECTOR has room for 5")

    def compile(self) -> Compiled:
        parts: dict[str, VectorProgram] = {}
        # A seed that is the first of the numbers has room for a state behind it.
        random = [node.inputs[0] for node in self.graph.nodes if node.op == Op.RANDOM and self.shared]
        seeds = [seed.detail for seed in random if seed.op == Op.SCALAR]
        self.arguments: dict[str, Arguments] = {}
        for name, make in self._makers().items():
            arguments = self.arguments[name] = Arguments(self.shared)
            for position in sorted(self.graph.scalars, key=lambda position: position not in seeds):
                arguments.number(("scalar", position), late=False)
            parts[name] = make(arguments)
        self.parts = parts
        given = [what for each in self.arguments.values() for what in each.numbers if isinstance(what, tuple)]
        self.row_units = tuple(sorted({what[1] for what in given if what[0] in ("start", "shared row")}))
        self._place_code()
        loads, program, stores = self._three() if self.apart else (b"", self._one(), b"")
        return Compiled(
            program=program,
            loads=loads,
            stores=stores,
            code=self.code,
            parts=parts,
            entries=self.entries,
            code_address=self.code_region.address,
            rows=self.block,
            l1_bytes=self.top,
            row_units=self.row_units,
        )

    def _makers(self) -> dict[str, Callable[[Arguments], VectorProgram]]:
        """The vector programs by name: each stage's for a block of rows and for the rows that are left."""
        sections, pool = self.sections, self.memory.pool
        makers: dict[str, Callable[[Arguments], VectorProgram]] = {}
        for stage in sorted({section.stage for section in sections.items}):
            for rows in dict.fromkeys((min(self.block, self.levels.rows), self.levels.rows % self.block)):
                if rows:
                    makers[_name(stage, rows)] = lambda a, stage=stage, rows=rows: stage_program(
                        sections, stage, rows, self.variant, a, pool
                    )
        if sections.last:
            makers["last"] = lambda a: last_program(sections, self.variant, a, pool)
        return makers

    def _place_code(self) -> None:
        bundles = b""
        self.entries: dict[str, int] = {}
        for name, part in self.parts.items():
            self.entries[name] = len(bundles) // BUNDLE_BYTES
            bundles += part.bundles + bytes(-len(part.bundles) % WORD)
        self.resident = len(bundles) <= VECTOR_BUNDLES * BUNDLE_BYTES
        constants = np.zeros(self.groups["pool"].row_bytes // 4, np.uint32)
        for bits, item in self.memory.pool.items():
            constants[item.offset // 4] = bits
        self.code = bundles + constants.tobytes()
        self.code_bytes = len(bundles)
        self.code_region = Region(self.memory.top, len(bundles))
        self.top = self.memory.top + len(bundles)
        self.loaded: str | None = None
        if self.top > self.config.l1_bytes:
            raise ValueError(f"{self.top} bytes of L1 are more than {self.config.l1_bytes}")

    # What happens when

    def _one(self) -> bytes:
        """Everything: blocks of rows in a pipeline."""
        self._begin()
        self._whole()
        rows = self.levels.rows
        count = -(-rows // self.block)
        actions = {"load": self._load, "tensor": self._tensor, "vector": self._vector, "store": self._store}
        for step in range(count + len(self.memory.stages) - 1):
            for number in range(len(self.memory.stages) - 1, -1, -1):
                block = step - number
                if 0 <= block < count:
                    kind, stage = self.memory.stages[number]
                    first = block * self.block
                    actions[kind](stage, block, first, min(self.block, rows - first))
        self._last()
        self._store_last()
        return self.schedule.encode()

    def _three(self) -> tuple[bytes, bytes, bytes]:
        """What loads, what computes and what stores, where one block holds all rows."""

        def loads() -> None:
            self._begin()
            self._whole()
            self._load(0, 0, 0, rows)

        def computes() -> None:
            for kind, stage in self.memory.stages[1:-1]:
                (self._tensor if kind == "tensor" else self._vector)(stage, 0, 0, rows)
            self._last()

        def stores() -> None:
            self._store(0, 0, 0, rows)
            self._store_last()

        rows, programs = self.levels.rows, []
        for emit in (loads, computes, stores):
            self.schedule = Schedule()
            for region in (*self.regions.values(), self.code_region):
                region.writes.clear()
                region.reads.clear()
            emit()
            programs.append(self.schedule.encode())
        return programs[0], programs[1], programs[2]

    def _last(self) -> None:
        """Compute what is known after the last row."""
        if "last" in self.parts:
            names = ("sums", "line", "pool")
            reads = [self.regions[group, 0] for name in names if (group := self.groups[name]).fields]
            self._run("last", {}, reads, [self.regions[self.groups["last"], 0]])

    def _store_last(self) -> None:
        for item in self.groups["last"].fields:
            number = self.graph.outputs.index(item.node)
            self._move(Opcode.STORE, item, 0, self.output_registers[number], self.tensors.outputs[number], 0, 1)

    def _begin(self) -> None:
        """Load what every block needs: code, constants, tiles that don't vary with the row, zero sums."""
        if self.code_bytes:
            values = {"mem_reg": CODE_REG, "l1": self.code_region.address, "count1": 1, "valid1": 1}
            values |= {"bytes": self.code_bytes, "valid_bytes": self.code_bytes}
            self.schedule.emit(Opcode.LOAD, values, writes=[self.code_region])
        pool = self.groups["pool"]
        if pool.fields:
            values = {"mem_reg": CODE_REG, "mem": self.code_bytes, "l1": pool.bases[0], "count1": 1, "valid1": 1}
            values |= {"bytes": pool.row_bytes, "valid_bytes": pool.row_bytes}
            self.schedule.emit(Opcode.LOAD, values, writes=[self.regions[pool, 0]])
        for item in self.groups["sums"].fields:
            for start in range(0, item.size, ROW_BYTES):
                values = {"mem_reg": CODE_REG, "l1": self.groups["sums"].bases[0] + item.offset + start}
                values |= {"bytes": min(ROW_BYTES, item.size - start), "fill": IDENTITIES[item.node.detail[0]]}
                self.schedule.emit(Opcode.LOAD, values, writes=[self.regions[self.groups["sums"], 0]])
        for item in self.groups["line"].fields:
            position = item.node.detail[0]
            self._move(Opcode.LOAD, item, 0, self.registers[position], self.tensors.inputs[position], 0, 1)

    def _whole(self) -> None:
        """Load the operands that stay in L1 as a whole."""
        for group in self.groups.values():
            if group.name.startswith("whole"):
                item = group.fields[0]
                position = item.node.detail[0]
                stride = max(self.tensors.inputs[position])
                self._move(Opcode.LOAD, item, 0, self.registers[position], (stride, 0), 0, group.rows)

    def _load(self, _: int, block: int, first: int, rows: int) -> None:
        for group in self.groups.values():
            for item in group.fields if group.streamed else ():
                if item.node.op == Op.INPUT:
                    position = item.node.detail[0]
                    strides = self.tensors.inputs[position]
                    self._move(Opcode.LOAD, item, block, self.registers[position], strides, first, rows)

    def _store(self, _: int, block: int, first: int, rows: int) -> None:
        for item in self.groups["out"].fields:
            for number, node in enumerate(self.graph.outputs):
                if node is item.node:
                    strides = self.tensors.outputs[number]
                    self._move(Opcode.STORE, item, block, self.output_registers[number], strides, first, rows)

    def _move(
        self,
        opcode: Opcode,
        item: Field,
        block: int,
        register: int,
        strides: tuple[int, int],
        first: int,
        rows: int,
    ) -> None:
        """LOAD or STORE rows of one field."""
        group = item.group
        slot = block % group.depth
        region = self.regions[group, slot]
        for start in range(0, item.row_bytes, ROW_BYTES):
            size = min(ROW_BYTES, item.row_bytes - start)
            column = start // CHUNK
            place = group.bases[slot] + (column * group.pitch * WORD if group.tile else item.offset + start)
            values = {
                "layout": Layout.TILE if group.tile else Layout.LINEAR,
                "mem_reg": register,
                "mem": first * strides[0] + start,
                "l1": place,
                "pitch": group.pitch,
                "count1": rows,
                "stride1": strides[0] if rows > 1 else 0,
                "bytes": size,
            }
            if opcode == Opcode.LOAD:
                values |= {"valid1": rows, "valid_bytes": size}
                self.schedule.emit(opcode, values, writes=[region])
            else:
                self.schedule.emit(opcode, values, reads=[region])

    def _vector(self, stage: int, block: int, first: int, rows: int) -> None:
        reads, writes = [], []
        name = _name(stage, rows)
        for what in self.arguments[name].numbers:
            if isinstance(what, Group):
                region = self.regions[what, block % what.depth]
                own = any(
                    sink.field is not None and sink.field.group is what
                    for section in self.sections.items
                    if section.stage == stage
                    for sinks in section.passes.values()
                    for sink in sinks
                )
                if own:
                    writes.append(region)
                if not own or what.name == "cross":
                    reads.append(region)
        for group_name in ("line", "pool"):
            if self.groups[group_name].fields:
                reads.append(self.regions[self.groups[group_name], 0])
        if self.groups["sums"].fields:
            reads.append(self.regions[self.groups["sums"], 0])
            writes.append(self.regions[self.groups["sums"], 0])
        values: dict[str, int] = {}
        for what, number in self.arguments[name].numbers.items():
            if isinstance(what, Group):
                values[f"x{number}"] = what.bases[block % what.depth]
            elif isinstance(what, tuple) and what[0] == "number":
                values[f"x{number}"] = what[1]
            elif isinstance(what, tuple):
                if what[0] in ("row", "shared row"):
                    values[f"x{number}"] = first * what[1] & 0xFFFF_FFFF
                if what[0] in ("start", "shared row"):
                    values[f"x{number}_reg"] = self.first_row_register + self.row_units.index(what[1])
        self._run(name, values, reads, writes)

    def _run(self, name: str, values: dict[str, int], reads: list[Region], writes: list[Region]) -> None:
        for what, number in self.arguments[name].numbers.items():
            if isinstance(what, tuple) and what[0] == "scalar":
                values[f"x{number}_reg"] = self.scalar_registers[what[1]]
        if self.resident:
            values["entry"] = self.entries[name]
        if self.loaded is None or (self.loaded != name and not self.resident):
            self.loaded = name
            first, size = (0, self.code_bytes) if self.resident else (self.entries[name], len(self.parts[name].bundles))
            values["fetch"] = -(-size // WORD) * 2
            values["program"] = self.code_region.address + first * BUNDLE_BYTES
            reads = [*reads, self.code_region]
        self.schedule.emit(Opcode.VECTOR, values, reads=reads, writes=writes)

    def _tensor(self, stage: int, block: int, _: int, rows: int) -> None:
        for node in self.graph.nodes:
            if node.op == Op.DOT and self.memory.dot_stage(node) == stage:
                self._dot(node, block, rows)

    def _dot(self, node: Node, block: int, rows: int) -> None:
        left, right = node.inputs[0], node.inputs[1]
        source = stored(right)
        a, d = self.sections.fields[left], self.sections.fields[node]
        b = self.groups[f"whole{source.detail[0]}"]
        k, n = node.inputs[0].shape[1], node.shape[1]
        along_k = (b.rows, b.fields[0].cols) == (n, k)
        if n == k:
            contiguous_rows = self.tensors.inputs[source.detail[0]][1] == source.detail[1].bits // 8
            along_k = contiguous_rows == (right.op == Op.TRANSPOSE)
        matrices = [
            Matrix(address=item.bases[block % item.depth], rows=item.rows, row_bytes=item.row_bytes)
            for item in (a.group, b, d.group)
        ]
        regions = [self.regions[item, block % item.depth] for item in (a.group, b, d.group)]
        multiply(
            self.schedule,
            self.config,
            (Operand(fmt=a.fmt, rows=rows, k=k, transposed=False), matrices[0], 0, 0),
            (Operand(fmt=source.detail[1], rows=n, k=k, transposed=not along_k), matrices[1], 0, 0),
            (d.fmt, matrices[2]),
            reads=regions[:2],
            writes=regions[2:],
        )


def _name(stage: int, rows: int) -> str:
    return f"stage {stage}, {rows} rows"
