"""From a trace to a program: coalesce, schedule, allocate, encode, with less overlap when registers don't suffice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gemel.vector import kept
from gemel.vector.assembly import disassemble
from gemel.vector.coalesce import coalesce
from gemel.vector.compiler import Compiler
from gemel.vector.encode import encode
from gemel.vector.estimate import Estimate, estimate
from gemel.vector.ir import Body
from gemel_golden.vector_isa import BUNDLE_BYTES

__all__ = ["VectorProgram", "compile_program"]


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

    def estimate(self, arguments: Mapping[int, int] | None = None) -> Estimate:
        """Cycles by the timing model; `arguments` gives x1 to x9, which loops may count by."""
        return estimate(self.bundles, arguments)


def compile_program(trace: Body) -> VectorProgram:
    """Raises ValueError when registers or bundles don't suffice."""
    return VectorProgram(kept.made(trace, lambda: _bundles(trace)), trace)


def _bundles(trace: Body) -> bytes:
    layout, numbers = Compiler(coalesce(trace)).run()
    return encode(layout.bundles, numbers)
