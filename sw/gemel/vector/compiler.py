"""The compiler's order of attempts: full overlap first, then less, until registers and bundles suffice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from gemel.vector.ir import Bank, Body, Loop, Op, Reg, Slot, all_ops
from gemel.vector.layout import Layout
from gemel.vector.loops import append_pipeline, code_size
from gemel.vector.pipeline import REACHES, Pipeline, find_pipeline
from gemel.vector.registers import TooManyRegisters, allocate, live_across
from gemel.vector.schedule import list_schedule, schedule_length
from gemel.vector.webs import split
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.vector_isa import LOOPS

__all__ = ["Compiler"]


@dataclass(frozen=True)
class _Attempt:
    """How far operations may overlap."""

    window: int
    """Operations that may overtake in a straight line."""
    spare: int
    """Vector registers that pipelines leave free; with all of them there are no pipelines."""


_ATTEMPTS = (
    *(_Attempt(1 << 30, spare) for spare in (0, 1, 2, 3, 4, 6)),
    *(_Attempt(window, 2) for window in (64, 16, 4, 1)),
    *(_Attempt(1, spare) for spare in (8, 16, len(Bank.VECTOR.registers))),
)


def _mark_read_only(body: Body) -> None:
    stored = {op.memory for op in all_ops(body) if op.slot == Slot.STORE}
    for op in all_ops(body):
        if op.slot == Slot.LOAD and op.memory is not None:
            op.read_only = None not in stored and op.memory not in stored


class Compiler:
    """Compiles one coalesced trace."""

    def __init__(self, body: Body):
        self.body = body
        _mark_read_only(body)
        self.total = Counter(reg for op in all_ops(body) for reg in op.touched)
        self.pipelines: dict[tuple[Loop, int, int], Pipeline | None] = {}
        self.code: dict[Loop, int] = {}
        """Bundles that pipelined loops may take."""
        self.reach = 0
        """Cycles by which all of them are squeezed."""
        self.sizes: dict[Loop, int] = {}
        """Bundles that they take."""
        self.across = self._live_across()

    def run(self) -> tuple[Layout, dict[Reg, int]]:
        """The layout and the registers' numbers. Raises ValueError when registers or bundles don't suffice."""
        error = None
        useless = None
        for attempt in _ATTEMPTS:
            if attempt.window == useless and attempt is not _ATTEMPTS[-1]:
                continue
            try:
                layout = self._layout(attempt)
                split(layout)
                return layout, allocate(layout)
            except TooManyRegisters as too_many:
                error = too_many
                useless = attempt.window if too_many.bank != Bank.VECTOR else None
        assert error is not None
        raise error

    def _layout(self, attempt: _Attempt) -> Layout:
        """A layout that fits the instruction memory: all pipelines are squeezed as far as they must be, and what is too
        much then, the largest one does without."""
        while True:
            excess = 0
            for self.reach in REACHES:
                layout = Layout()
                self.sizes.clear()
                self._append(layout, self.body, attempt, 1)
                layout.halt()
                excess = len(layout.bundles) - VECTOR_BUNDLES
                if excess <= 0:
                    return layout
            if not self.sizes:
                text = f"the program has {len(layout.bundles)} bundles; the instruction memory holds {VECTOR_BUNDLES}"
                raise ValueError(text)
            largest = max(self.sizes, key=lambda loop: self.sizes[loop])
            self.code[largest] = max(0, self.sizes[largest] - excess)

    def _append(self, layout: Layout, body: Body, attempt: _Attempt, depth: int) -> None:
        straight: list[Op] = []
        for item in body:
            if isinstance(item, Op):
                straight.append(item)
                continue
            layout.append(list_schedule(straight, attempt.window))
            straight = []
            self._append_loop(layout, item, attempt, depth)
        layout.append(list_schedule(straight, attempt.window))

    def _append_loop(self, layout: Layout, loop: Loop, attempt: _Attempt, depth: int) -> None:
        if not loop.body or (loop.scalar is None and loop.count == 0):
            return
        possible = loop.scalar is None or depth < LOOPS
        pipeline = self._pipeline(loop, attempt.spare) if possible else None
        if pipeline:
            pipeline = replace(pipeline, reach=max(pipeline.reach, self.reach))
            self.sizes[loop] = code_size(loop, pipeline)
            append_pipeline(layout, loop, pipeline, attempt.window)
            return
        with layout.loop(loop.count, loop.scalar):
            self._append(layout, loop.body, attempt, depth + 1)

    def _pipeline(self, loop: Loop, spare: int) -> Pipeline | None:
        key = loop, spare, self.code.setdefault(loop, VECTOR_BUNDLES)
        if key not in self.pipelines:
            self.pipelines[key] = self._search(*key)
        return self.pipelines[key]

    def _search(self, loop: Loop, spare: int, code: int) -> Pipeline | None:
        ops = [item for item in loop.body if isinstance(item, Op)]
        if (
            not loop.pipeline
            or not code
            or spare == len(Bank.VECTOR.registers)
            or len(ops) < len(loop.body)
            or (loop.scalar is None and loop.count < 2)
        ):
            return None
        renamed = self._renamed(ops)
        touched = {reg for op in ops for reg in op.touched}
        limits = {}
        for bank in (Bank.VECTOR, Bank.PREDICATE, Bank.SCALAR):
            taken = {reg for reg in touched - renamed.keys() | self.across[loop] if reg.bank == bank}
            limits[bank] = len(bank.registers) - len(taken) - (spare if bank == Bank.VECTOR else 0)
        if min(limits.values()) < 0:
            return None
        longest = schedule_length(ops)
        return find_pipeline(ops, renamed, limits, longest, lambda found: code_size(loop, found) <= code)

    def _renamed(self, ops: list[Op]) -> dict[Reg, None]:
        """Registers that each iteration writes anew and nobody else reads."""
        inside = Counter(reg for op in ops for reg in op.touched)
        first: dict[Reg, Op] = {}
        for op in ops:
            for reg in op.touched:
                first.setdefault(reg, op)
        return dict.fromkeys(
            reg
            for reg, op in first.items()
            if reg.bank != Bank.ADDRESS
            and reg.fixed is None
            and not reg.group
            and reg in op.kills
            and reg not in op.reads
            and inside[reg] == self.total[reg]
        )

    def _live_across(self) -> dict[Loop, set[Reg]]:
        """Of each innermost loop, the registers that live through it."""
        layout, starts = Layout(), {}

        def append(body: Body) -> None:
            for item in body:
                if isinstance(item, Op):
                    layout.append([{item.slot: item}])
                elif item.body:
                    with layout.loop(item.count, item.scalar):
                        starts[item] = len(layout.bundles)
                        append(item.body)

        append(self.body)
        layout.halt()
        return {loop: live_across(layout, start) for loop, start in starts.items()}
