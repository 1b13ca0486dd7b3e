"""From a trace to a program: coalesce, schedule, allocate, encode, with less overlap when registers don't suffice."""

from __future__ import annotations

from dataclasses import dataclass, field

from gemel.vector.assembly import disassemble
from gemel.vector.coalesce import coalesce
from gemel.vector.encode import encode
from gemel.vector.ir import Body, Loop, Op
from gemel.vector.layout import Layout
from gemel.vector.registers import TooManyRegisters, allocate
from gemel.vector.schedule import list_schedule
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.vector_isa import BUNDLE_BYTES

__all__ = ["VectorProgram", "compile_program"]

_WINDOWS = (1 << 30, 64, 32, 16, 8, 4, 2, 1)
"""How many operations may overtake, from attempt to attempt."""


@dataclass(frozen=True)
class VectorProgram:
    """Bundles for the vector core."""

    bundles: bytes
    trace: Body = field(repr=False)

    def __len__(self) -> int:
        """Bundles."""
        return len(self.bundles) // BUNDLE_BYTES

    @property
    def listing(self) -> str:
        """The bundles as text."""
        return disassemble(self.bundles)


def compile_program(trace: Body) -> VectorProgram:
    """Raises ValueError when registers or bundles don't suffice."""
    body = coalesce(trace)
    for window in _WINDOWS:
        layout = Layout()
        _append(layout, body, window)
        layout.halt()
        try:
            numbers = allocate(layout)
        except TooManyRegisters:
            if window == _WINDOWS[-1]:
                raise
            continue
        if len(layout.bundles) > VECTOR_BUNDLES:
            count = len(layout.bundles)
            raise ValueError(f"the program has {count} bundles; the instruction memory holds {VECTOR_BUNDLES}")
        return VectorProgram(encode(layout.bundles, numbers), trace)
    raise AssertionError


def _append(layout: Layout, body: Body, window: int) -> None:
    straight: list[Op] = []
    for item in body:
        if isinstance(item, Op):
            straight.append(item)
            continue
        layout.append(list_schedule(straight, window))
        straight = []
        _append_loop(layout, item, window)
    layout.append(list_schedule(straight, window))


def _append_loop(layout: Layout, loop: Loop, window: int) -> None:
    if not loop.body or (loop.scalar is None and loop.count == 0):
        return
    with layout.loop(loop.count, loop.scalar):
        _append(layout, loop.body, window)
