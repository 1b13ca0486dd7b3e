"""A program's bundles in their final order, registers still virtual: straight pieces and loops are appended to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gemel.vector.ir import Op, Reg, Slot
from gemel.vector.schedule import Bundle
from gemel.vector.tracer import ZERO
from gemel_golden.vector_isa import Control

__all__ = ["Layout"]


class Layout:
    """Bundles. LOOP goes into the bundle before its body and HALT into the last one where their slot is free."""

    def __init__(self) -> None:
        self.bundles: list[Bundle] = []
        self._closed = 0
        """Bundles that take nothing more, since control flow joins behind them."""

    def append(self, bundles: Sequence[Bundle]) -> None:
        """Add a straight piece."""
        self.bundles += [dict(bundle) for bundle in bundles]

    @contextmanager
    def loop(self, count: int, scalar: Reg | None) -> Iterator[None]:
        """What is appended inside is the body of a loop."""
        op = Op(Slot.CONTROL, {"control": Control.LOOP, "imm": count, "imm2": 0}, {"sa": scalar or ZERO})
        self._place(op)
        start = self._closed = len(self.bundles)
        yield
        if self._closed == len(self.bundles):
            self.bundles.append({})
        self._closed = len(self.bundles)
        op.fields["imm2"] = len(self.bundles) - start

    def halt(self) -> None:
        """End the program."""
        self._place(Op(Slot.CONTROL, {"control": Control.HALT}))

    def _place(self, op: Op) -> None:
        if len(self.bundles) == self._closed or Slot.CONTROL in self.bundles[-1]:
            self.bundles.append({})
        self.bundles[-1][Slot.CONTROL] = op

    def successors(self) -> list[list[int]]:
        """The bundles that can follow each one; after the last there is none."""
        follow = [[i + 1] if i + 1 < len(self.bundles) else [] for i in range(len(self.bundles))]
        for i, bundle in enumerate(self.bundles):
            op = bundle.get(Slot.CONTROL)
            if op is None or op.control != Control.LOOP:
                continue
            end = i + op.fields["imm2"]
            follow[end].append(i + 1)
            if op.reads or op.fields["imm"] == 0:
                follow[i].append(end + 1)
        return follow
