"""Programs for the vector core: the assembler-level API and its compiler."""

from gemel.vector.assembly import assemble, disassemble
from gemel.vector.builder import Builder
from gemel.vector.estimate import Estimate, estimate
from gemel.vector.interpret import interpret
from gemel.vector.program import VectorProgram
from gemel.vector.values import Addr, Operand, Philox, Pred, Scalar, Vec

__all__ = [
    "Addr",
    "Builder",
    "Estimate",
    "Operand",
    "Philox",
    "Pred",
    "Scalar",
    "Vec",
    "VectorProgram",
    "assemble",
    "disassemble",
    "estimate",
    "interpret",
]
