"""What a builder traces: operations on virtual registers, in straight lines and loops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from gemel_golden.vector_isa import ADDRESS_REGISTERS, PREDICATES, SCALARS, VECTORS, Control

__all__ = ["Bank", "Body", "Loop", "Op", "Reg", "Slot", "all_ops"]


class Bank(Enum):
    """The register banks."""

    VECTOR = "v"
    PREDICATE = "p"
    SCALAR = "s"
    ADDRESS = "a"

    @property
    def registers(self) -> range:
        """Numbers that virtual registers may get."""
        return _NUMBERS[self]


_NUMBERS = {
    Bank.VECTOR: range(VECTORS),
    Bank.PREDICATE: range(1, PREDICATES),
    Bank.SCALAR: range(1, SCALARS),
    Bank.ADDRESS: range(ADDRESS_REGISTERS),
}


class Slot(Enum):
    """The slots of a bundle."""

    ALU = "arithmetic"
    LOAD = "load"
    STORE = "store"
    CONTROL = "control"


@dataclass(eq=False)
class Reg:
    """A virtual register. `fixed` ones have their number from the start: arguments, scalar 0 and predicate 0."""

    bank: Bank
    name: str
    fixed: int | None = None
    group: tuple[Reg, ...] = ()
    """Registers that need consecutive numbers, this one among them."""

    @property
    def constant(self) -> bool:
        """Whether it always reads the same: scalar 0 and predicate 0."""
        return self.fixed == 0 and self.bank in (Bank.SCALAR, Bank.PREDICATE)

    def __repr__(self) -> str:
        return f"{self.bank.value}:{self.name}"


@dataclass(eq=False)
class Op:
    """One slot's work. `uses` and `define` name registers by bundle field, `fields` holds all other fields' values."""

    slot: Slot
    fields: dict[str, int]
    uses: dict[str, Reg] = field(default_factory=dict)
    """By bundle field; fields that no bundle has (PHILOX's other scalars) are read too."""
    define: tuple[str, Reg] | None = None
    """The bundle field and the register that the operation writes."""
    merges: bool = False
    """Whether it leaves a part of that register as it was, so that it reads it too."""
    region: str | None = None
    """Of a load or store: what `Builder.address` was told of the memory it touches."""
    memory: str | None = None
    """The memory that the region is of, which others may be of too."""
    apart: bool = False
    """Whether other iterations of its loop touch other bytes of that region."""
    read_only: bool = False
    """Whether it loads from a memory that the program never stores to, so that no fence matters."""

    @property
    def post(self) -> Reg | None:
        """The address register that the access steps."""
        prefix = _PREFIX.get(self.slot)
        return self.uses[f"{prefix}_addr"] if prefix and self.fields.get(f"{prefix}_post") else None

    @property
    def reads(self) -> list[Reg]:
        """Registers read, without those that always read the same."""
        found = [reg for reg in self.uses.values() if not reg.constant]
        if self.merges and self.define:
            found.append(self.define[1])
        return list(dict.fromkeys(found))

    @property
    def writes(self) -> list[Reg]:
        """Registers written."""
        found = [self.define[1]] if self.define else []
        return found + [self.post] if self.post else found

    @property
    def touched(self) -> list[Reg]:
        """Registers read or written, each once, in an order that is the same in every run."""
        return list(dict.fromkeys(self.reads + self.writes))

    @property
    def kills(self) -> list[Reg]:
        """Registers whose old value is gone after it."""
        return [self.define[1]] if self.define and not self.merges else []

    @property
    def control(self) -> Control:
        """What it does in the control slot."""
        return Control(self.fields.get("control", Control.NOP)) if self.slot == Slot.CONTROL else Control.NOP

    def renamed(self, names: dict[Reg, Reg]) -> Op:
        """The same on other registers."""
        return Op(
            slot=self.slot,
            fields=self.fields,
            uses={key: names.get(reg, reg) for key, reg in self.uses.items()},
            define=(self.define[0], names.get(self.define[1], self.define[1])) if self.define else None,
            merges=self.merges,
            region=self.region,
            memory=self.memory,
            apart=self.apart,
            read_only=self.read_only,
        )


_PREFIX = {Slot.LOAD: "ld", Slot.STORE: "st"}


@dataclass(eq=False)
class Loop:
    """A body that runs `count` + s[`scalar`] times."""

    count: int
    scalar: Reg | None
    body: Body
    pipeline: bool = True
    """Whether iterations may overlap."""


Body = list[Op | Loop]


def all_ops(body: Body) -> Iterator[Op]:
    """Every operation, in program order."""
    for item in body:
        if isinstance(item, Op):
            yield item
        else:
            yield from all_ops(item.body)
