"""How rows of the instruction table are made and encoded: fields, address slots, instructions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

__all__ = [
    "INSTRUCTION_BYTES",
    "RANKS",
    "SEMAPHORES",
    "SYNC_FIELDS",
    "AddressSlot",
    "Field",
    "Instruction",
    "Opcode",
    "Unit",
]

INSTRUCTION_BYTES = 64
SEMAPHORES = 32
RANKS = 16
"""Cores of a launch that a mask of ranks can name: bit k is the core of rank k, the k-th of the launch's cores."""


class Unit(IntEnum):
    """Who executes an instruction; also the unit number of a fault record and a trace."""

    SEQUENCER = 0
    LOAD = 1
    TENSOR = 2
    STORE = 3
    COMMAND = 4
    VECTOR = 5


class Opcode(IntEnum):
    """Instruction opcodes."""

    NOP = 0x00
    HALT = 0x01
    FENCE = 0x02
    SET = 0x03
    LOOP = 0x04
    END = 0x05
    BARRIER = 0x06
    SIGNAL = 0x07
    LOAD = 0x10
    GATHER = 0x11
    IM2COL = 0x12
    LOAD_TRANSPOSED = 0x13
    STORE = 0x20
    SCATTER = 0x21
    FILL = 0x22
    SCATTER_ADD = 0x23
    STORE_CONVERT = 0x24
    MATMUL = 0x30
    VECTOR = 0x40


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field: its bits, the least and greatest legal value and what it means."""

    name: str
    lsb: int
    width: int
    lo: int = 0
    hi: int | None = None
    """Greatest legal value; ``None`` means all that the width allows."""
    signed: bool = False
    legal: tuple[int, ...] | None = None
    """The legal values, where they aren't a range."""
    default: int = 0
    multiple: int = 1
    """The value must be a multiple of this power of two."""
    doc: str = ""

    @property
    def maximum(self) -> int:
        """Greatest legal value."""
        if self.hi is not None:
            return self.hi
        return (1 << (self.width - self.signed)) - 1

    @property
    def minimum(self) -> int:
        """Least legal value."""
        return -(1 << (self.width - 1)) if self.signed else self.lo

    def check(self, value: int) -> None:
        """Raise ``ValueError`` with the name, the value and the limit when ``value`` isn't legal."""
        if self.legal is not None:
            if value not in self.legal:
                raise ValueError(f"{self.name} = {value} isn't one of {', '.join(map(str, self.legal))}")
        elif not self.minimum <= value <= self.maximum:
            raise ValueError(f"{self.name} = {value} lies outside {self.minimum}..{self.maximum}")
        if value % self.multiple:
            raise ValueError(f"{self.name} = {value} isn't a multiple of {self.multiple}")

    def insert(self, value: int) -> int:
        """The field's bits, in place."""
        return (value & ((1 << self.width) - 1)) << self.lsb

    def extract(self, bits: int) -> int:
        """The field's value in an instruction's 512 bits."""
        value = (bits >> self.lsb) & ((1 << self.width) - 1)
        if self.signed and value >> (self.width - 1):
            value -= 1 << self.width
        return value


@dataclass(frozen=True, kw_only=True)
class AddressSlot:
    """One address operand: register + immediate, resolved by the sequencer."""

    name: str
    slot: int
    memory: bool
    multiple: int = 1
    """Alignment that the unit demands of the resolved address, in bytes."""
    doc: str = ""

    @property
    def imm(self) -> Field:
        """The immediate: 64 bits for slot 0, 32 for the others (both added modulo 2^64 resp. 2^32)."""
        if self.slot == 0:
            return Field(name=self.name, lsb=128, width=64, doc=self.doc)
        return Field(name=self.name, lsb=192 + 32 * (self.slot - 1), width=32, doc=self.doc)

    @property
    def register(self) -> Field:
        """The address register that is added."""
        return Field(
            name=f"{self.name}_reg", lsb=96 + 5 * self.slot, width=5, doc=f"address register added to {self.name}"
        )


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One row of the table."""

    opcode: Opcode
    unit: Unit
    fields: tuple[Field, ...] = ()
    addresses: tuple[AddressSlot, ...] = ()
    synchronises: bool = True
    """Has waits and signals."""
    doc: str = ""

    @property
    def name(self) -> str:
        """Mnemonic."""
        return self.opcode.name

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """Every field beside the opcode, in the order of the bits."""
        own = list(self.fields)
        if self.synchronises:
            own += SYNC_FIELDS
        for address in self.addresses:
            own += [address.imm, address.register]
        return tuple(sorted(own, key=lambda f: f.lsb))

    @property
    def used_bits(self) -> int:
        """Mask of the bits that the instruction names; all others must be zero."""
        mask = 0xFF
        for field in self.all_fields:
            mask |= ((1 << field.width) - 1) << field.lsb
        return mask

    def encode(self, **values: int) -> bytes:
        """64 bytes. Unknown names and illegal values raise ``ValueError``."""
        known = {field.name: field for field in self.all_fields}
        for name in values:
            if name not in known:
                raise ValueError(f"{self.name} has no field {name!r}; it has {', '.join(known)}")
        bits = int(self.opcode)
        for name, field in known.items():
            value = int(values.get(name, field.default))
            try:
                field.check(value)
            except ValueError as error:
                raise ValueError(f"{self.name}: {error}") from None
            bits |= field.insert(value)
        return bits.to_bytes(INSTRUCTION_BYTES, "little")

    def decode(self, raw: bytes) -> dict[str, int]:
        """Field values of 64 bytes; nothing is checked (see `check`)."""
        bits = int.from_bytes(raw, "little")
        return {field.name: field.extract(bits) for field in self.all_fields}

    def check(self, raw: bytes) -> str | None:
        """What is illegal in these 64 bytes, as a sentence, or ``None``; addresses are checked by the units."""
        bits = int.from_bytes(raw, "little")
        stray = bits & ~self.used_bits
        if stray:
            return f"{self.name}: reserved bit {(stray & -stray).bit_length() - 1} is set"
        for field in self.all_fields:
            try:
                field.check(field.extract(bits))
            except ValueError as error:
                return f"{self.name}: {error}"
        return None


def _sync(kind: str, index: int, lsb: int) -> list[Field]:
    return [
        Field(name=f"{kind}{index}", lsb=lsb, width=8, hi=SEMAPHORES - 1, doc=f"semaphore of {kind} {index}"),
        Field(name=f"{kind}{index}_count", lsb=lsb + 8, width=8, doc="its count; 0: unused"),
    ]


SYNC_FIELDS: list[Field] = [
    *_sync("wait", 0, 32),
    *_sync("wait", 1, 48),
    *_sync("signal", 0, 64),
    *_sync("signal", 1, 80),
]
