"""Which operations of a block must keep what distance: by registers, memory and fences, and between iterations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gemel.vector.ir import Bank, Op, Reg, Slot
from gemel.vector.timing import latency
from gemel_golden.vector_isa import Control

__all__ = ["Edge", "dependences"]


@dataclass(frozen=True)
class Edge:
    """Operation `sink`, `distance` iterations later, issues at least `delay` cycles after operation `source`.

    Less than `delay` is only slow where it is a latency; what is wrong is less than `order` bundles.
    """

    source: int
    sink: int
    delay: int
    order: int
    distance: int


def dependences(ops: Sequence[Op], cyclic: bool = False, renamed: Collection[Reg] = ()) -> list[Edge]:
    """All edges of a block. With `cyclic` it is a loop's body, and each iteration has its own `renamed` ones."""
    edges: dict[tuple[int, int, int], Edge] = {}

    def need(source: int, sink: int, delay: int, order: int, distance: int) -> None:
        if source == sink and distance == 0:
            return
        key = (source, sink, distance)
        old = edges.get(key)
        if old is None or old.delay < delay or old.order < order:
            delay, order = max(delay, old.delay if old else delay), max(order, old.order if old else order)
            edges[key] = Edge(source, sink, delay, order, distance)

    _registers(ops, cyclic, renamed, need)
    _memory(ops, cyclic, need)
    return list(edges.values())


@dataclass
class _Last:
    """Who wrote a register last and who has read it since: (operation, iteration)."""

    writer: tuple[int, int] | None = None
    readers: list[tuple[int, int]] = field(default_factory=list)


def _registers(ops: Sequence[Op], cyclic: bool, renamed: Collection[Reg], need) -> None:
    last: dict[Reg, _Last] = defaultdict(_Last)
    for iteration in range(1 + cyclic):
        for i, op in enumerate(ops):
            reads, writes = op.reads, op.writes
            for reg in reads:
                state = last[reg]
                if (iteration and reg in renamed) or state.writer is None:
                    continue
                source, when = state.writer
                delay = 1 if reg.bank == Bank.ADDRESS else latency(ops[source])
                need(source, i, delay, 1, iteration - when)
            for reg in writes:
                state = last[reg]
                if iteration and reg in renamed:
                    continue
                for source, when in state.readers:
                    need(source, i, 0, 0, iteration - when)
                if state.writer is not None:
                    source, when = state.writer
                    later = 1 if reg.bank == Bank.ADDRESS else latency(ops[source])
                    need(source, i, later, 1, iteration - when)
            for reg in reads:
                last[reg].readers.append((i, iteration))
            for reg in writes:
                last[reg] = _Last((i, iteration), [(i, iteration)] if reg in reads else [])


def _memory(ops: Sequence[Op], cyclic: bool, need) -> None:
    accesses = [(i, op) for i, op in enumerate(ops) if _touches(op)]
    versions = _versions(ops)
    stepped = {reg for op in ops for reg in op.writes if reg.bank == Bank.ADDRESS}
    for i, first in accesses:
        for j, second in accesses:
            found = None if second.read_only and first.slot == Slot.CONTROL else _order(first, second)
            if found is None:
                continue
            if i < j:
                if not (_apart(first, second) and versions[i] == versions[j]) and not _other_region(first, second):
                    need(i, j, *found, 0)
            elif cyclic and not _other_region(first, second) and not (first.apart and second.apart):
                fixed = _address(first) not in stepped and _address(second) not in stepped
                if i == j or not (fixed and _apart(first, second)):
                    need(i, j, *found, 1)


def _touches(op: Op) -> bool:
    return op.slot in (Slot.LOAD, Slot.STORE) or op.control == Control.FENCE


def _order(first: Op, second: Op) -> tuple[int, int] | None:
    """Delay and order between two operations on memory, in program order."""
    kinds = tuple("fence" if op.slot == Slot.CONTROL else op.slot.value for op in (first, second))
    match kinds:
        case ("load", "store"):
            return 0, 0
        case ("store", "store") | ("fence", "load"):
            return 1, 1
        case ("store", "fence"):
            return latency(first), 1
    return None


def _versions(ops: Sequence[Op]) -> list[int]:
    """Of each access, how often its address register has been written before it."""
    count: dict[Reg | None, int] = defaultdict(int)
    found = []
    for op in ops:
        found.append(count[_address(op)])
        for reg in op.writes:
            if reg.bank == Bank.ADDRESS:
                count[reg] += 1
    return found


def _address(op: Op) -> Reg | None:
    return op.uses.get("ld_addr") or op.uses.get("st_addr")


def _place(op: Op) -> tuple[int, ...]:
    prefix = "ld" if op.slot == Slot.LOAD else "st"
    return tuple(op.fields[f"{prefix}_{name}"] for name in ("format", "element", "row", "col"))


def _apart(first: Op, second: Op) -> bool:
    """Whether two accesses with the same value of the same address register touch different elements."""
    if _address(first) is None or _address(first) is not _address(second):
        return False
    a, b = _place(first), _place(second)
    return a[:2] == b[:2] and a[2:] != b[2:]


def _other_region(first: Op, second: Op) -> bool:
    return None not in (first.region, second.region) and first.region != second.region
