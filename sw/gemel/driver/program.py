"""Programs: a builder with one method per instruction of the table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from gemel_golden.formats import FORMATS, Format
from gemel_golden.isa import INSTRUCTION_BYTES, INSTRUCTIONS, REGISTERS, Instruction, Opcode


@dataclass(frozen=True)
class Address:
    """An address operand: address register + immediate bytes; made by `reg` and ``+``."""

    register: int
    immediate: int = 0

    def __add__(self, offset: int) -> Address:
        return Address(self.register, self.immediate + offset)

    def __sub__(self, offset: int) -> Address:
        return self + -offset


def reg(number: int) -> Address:
    """Address register `number`, 0..31; register 0 reads zero, the launch's arguments begin in register 1."""
    if not 0 <= number < REGISTERS:
        raise ValueError(f"address register {number} lies outside 0..{REGISTERS - 1}")
    return Address(number)


Code = bytes
"""Machine code; `Program` has a property of the type's own name."""
Operand = int | str | Format | Address
Counts = Mapping[int, int]
"""Semaphores with their counts, two at most."""


class Program:
    """A list of instructions under construction.

    Every mnemonic of `gemel_golden.isa` is a method in lower case that appends one instruction and returns its index::

        p = Program()
        p.load(mem=reg(1) + 64, l1=0, bytes=64, signal={0: 1})
        with p.loop(3):
            p.matmul(a=0, b=0x400, d=0x800, a_format="int8", k=64, wait={0: 1})
        p.halt()

    Fields take integers; formats take names too; addresses take `reg(n)` plus bytes; `wait` and `signal` take
    ``{semaphore: count}``. Raises ValueError naming the instruction, the value and the limit.
    """

    def __init__(self, code: Code = b""):
        if len(code) % INSTRUCTION_BYTES:
            raise ValueError(f"a program is a multiple of {INSTRUCTION_BYTES} bytes, not {len(code)}")
        self._code = bytearray(code)

    @property
    def bytes(self) -> Code:
        """The program's bytes, 64 per instruction."""
        return bytes(self._code)

    def __len__(self) -> int:
        return len(self._code) // INSTRUCTION_BYTES

    def __getitem__(self, index: int) -> Code:
        if not 0 <= index < len(self):
            raise IndexError(f"instruction {index} of a program of {len(self)}")
        return bytes(self._code[index * INSTRUCTION_BYTES : (index + 1) * INSTRUCTION_BYTES])

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.upper() not in Opcode.__members__:
            known = ", ".join(opcode.name.lower() for opcode in INSTRUCTIONS)
            raise AttributeError(f"no instruction {name!r}; there are {known}")
        return partial(self.emit, Opcode[name.upper()])

    def emit(
        self, opcode: Opcode, *, wait: Counts | None = None, signal: Counts | None = None, **operands: Operand
    ) -> int:
        """Append one instruction; its index."""
        row = INSTRUCTIONS[opcode]
        values = operand_values(row, operands)
        for kind, counts in (("wait", wait), ("signal", signal)):
            values |= _counts(row, kind, counts or {})
        return self.append(row.encode(**values))

    def append(self, raw: Code) -> int:
        """Append 64 bytes as they are; the instruction's index."""
        if len(raw) != INSTRUCTION_BYTES:
            raise ValueError(f"an instruction has {INSTRUCTION_BYTES} bytes, not {len(raw)}")
        self._code += raw
        return len(self) - 1

    @contextmanager
    def loop(self, count: int) -> Iterator[None]:
        """The instructions emitted within are run `count` times; with 1 no loop is made. Raises ValueError below 1."""
        if count == 1:
            yield
            return
        self.emit(Opcode.LOOP, count=count)
        yield
        self.emit(Opcode.END)

    def __str__(self) -> str:
        from gemel.driver.assembly import disassemble

        return disassemble(self.bytes)


def operand_values(row: Instruction, operands: Mapping[str, Operand]) -> dict[str, int]:
    """Field values of operands: addresses split into register and immediate, formats by their codes."""
    slots = {slot.name: slot for slot in row.addresses}
    values: dict[str, int] = {}
    for name, operand in operands.items():
        if isinstance(operand, Address) or name in slots:
            values |= _address(row, name, operand)
        elif isinstance(operand, Format):
            values[name] = operand.code
        elif isinstance(operand, str):
            if not name.endswith("_format") or operand not in FORMATS:
                raise ValueError(f"{row.name}: {name} can't be {operand!r}")
            values[name] = FORMATS[operand].code
        else:
            values[name] = int(operand)
    return values


def _address(row: Instruction, name: str, operand: Operand) -> dict[str, int]:
    slot = next((slot for slot in row.addresses if slot.name == name), None)
    if slot is None:
        raise ValueError(f"{row.name}: {name} isn't an address")
    if isinstance(operand, int):
        operand = Address(0, operand)
    if not isinstance(operand, Address):
        raise ValueError(f"{row.name}: the address {name} can't be {operand!r}")
    bits = slot.imm.width
    if not -(1 << (bits - 1)) <= operand.immediate < 1 << bits:
        raise ValueError(f"{row.name}: {name} = {operand.immediate} doesn't fit in {bits} bits")
    values = {name: operand.immediate % (1 << bits)}
    if operand.register:
        values[slot.register.name] = operand.register
    return values


def _counts(row: Instruction, kind: str, counts: Counts) -> dict[str, int]:
    if len(counts) > 2:
        raise ValueError(f"{row.name}: {len(counts)} semaphores to {kind} are more than two")
    values: dict[str, int] = {}
    for index, (semaphore, count) in enumerate(counts.items()):
        values |= {f"{kind}{index}": semaphore, f"{kind}{index}_count": count}
    return values
