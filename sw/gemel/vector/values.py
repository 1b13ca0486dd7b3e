"""What programs compute with: vectors, predicates, scalars and addresses, as handles of virtual registers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gemel.vector.ir import Reg
from gemel_golden.vector_isa import Permute

__all__ = ["Addr", "Operand", "Philox", "Pred", "Scalar", "Vec"]


@dataclass(frozen=True)
class _Modified:
    """A register with the changes that an operand makes for nothing: absolute value, then negation."""

    reg: Reg
    negate: bool = False
    absolute: bool = False

    def __neg__(self):
        return replace(self, negate=not self.negate)

    def __abs__(self):
        return replace(self, negate=False, absolute=True)


@dataclass(frozen=True)
class Vec(_Modified):
    """A vector of 32 lanes of 32 bits."""

    permute: Permute = Permute.NONE

    def permuted(self, how: Permute) -> Vec:
        """With other lanes, before absolute value and negation; operand a takes it for nothing."""
        if self.permute != Permute.NONE:
            raise ValueError(f"the vector is permuted already, by {self.permute.name}")
        return replace(self, permute=how)

    @property
    def first(self) -> Vec:
        """Lane 0 in all lanes."""
        return self.permuted(Permute.FIRST)

    @property
    def last(self) -> Vec:
        """Lane 31 in all lanes."""
        return self.permuted(Permute.LAST)

    @property
    def plain(self) -> bool:
        """Whether it is the register as it is."""
        return not (self.negate or self.absolute or self.permute)


@dataclass(frozen=True)
class Scalar(_Modified):
    """A scalar of 32 bits; as an operand of arithmetic, a vector with the value in all lanes."""


Operand = Vec | Scalar | float
"""An operand of arithmetic; numbers become constants in scalar registers."""


@dataclass(frozen=True)
class Pred:
    """A truth value a lane; `~p` is the complement."""

    reg: Reg
    complement: bool = False

    def __invert__(self) -> Pred:
        return replace(self, complement=not self.complement)


@dataclass(frozen=True)
class Addr:
    """An address register: a matrix in L1 and a place in it."""

    reg: Reg
    region: str | None = None
    memory: str | None = None
    apart: bool = False


@dataclass(frozen=True)
class Philox:
    """Four consecutive scalars: low and high half of the seed, tensor number, index of the group of four elements."""

    regs: tuple[Reg, Reg, Reg, Reg]

    @property
    def group(self) -> Scalar:
        """The index of the group of four elements."""
        return Scalar(self.regs[3])
