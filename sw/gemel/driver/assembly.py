"""The text form of programs: what `disassemble` writes, `assemble` reads back to the same bytes.

One instruction a line: the mnemonic, then ``name=value`` for every field that isn't at its default. Addresses read
``r3+0x40``, semaphores ``wait0=s5*2`` (two of semaphore 5), formats have names. ``#`` begins a comment. Bytes that
aren't a legal instruction read ``.bytes`` with their hexadecimal digits.
"""

from __future__ import annotations

import re

from gemel.driver.program import Address, Operand, Program, operand_values
from gemel_golden.formats import FORMATS
from gemel_golden.isa import INSTRUCTION_BYTES, INSTRUCTIONS, Field, Instruction, Opcode, lookup

RAW = ".bytes"
ADDRESS = re.compile(r"(?:r(\d+))?\+?(0x[0-9a-fA-F]+|\d+)?")
SEMAPHORE = re.compile(r"s(\d+)\*(\d+)")
WIDE = 32
_FORMAT_NAMES = {fmt.code: fmt.name for fmt in FORMATS.values()}


def disassemble(code: bytes) -> str:
    """The text of a program, one line per instruction, loop bodies indented."""
    lines: list[str] = []
    depth = 0
    for start in range(0, len(code), INSTRUCTION_BYTES):
        raw = code[start : start + INSTRUCTION_BYTES]
        opcode = raw[0]
        depth -= opcode == Opcode.END and depth > 0
        lines.append("    " * depth + disassemble_one(raw) + "\n")
        depth += opcode == Opcode.LOOP
    return "".join(lines)


def disassemble_one(raw: bytes) -> str:
    """The text of one instruction's 64 bytes."""
    row = lookup(raw)
    if row is None or row.check(raw) is not None:
        return f"{RAW} {raw.hex()}"
    values = row.decode(raw)
    words = [row.name]
    for slot in sorted(row.addresses, key=lambda slot: slot.slot):
        register, immediate = values.pop(slot.register.name), values.pop(slot.name)
        if register or immediate:
            words.append(f"{slot.name}={_address_text(register, immediate)}")
    pairs = [name for name in values if f"{name}_count" in values]
    sync = [(name, values.pop(name), values.pop(f"{name}_count")) for name in pairs]
    fields = {field.name: field for field in row.all_fields}
    words += [f"{name}={_value_text(fields[name], v)}" for name, v in values.items() if v != fields[name].default]
    words += [f"{name}=s{semaphore}*{count}" for name, semaphore, count in sync if semaphore or count]
    return " ".join(words)


def _address_text(register: int, immediate: int) -> str:
    if not register:
        return f"{immediate:#x}"
    return f"r{register}" + (f"+{immediate:#x}" if immediate else "")


def _value_text(field: Field, value: int) -> str:
    if field.name.endswith("_format"):
        return _FORMAT_NAMES[value]
    return f"{value:#x}" if field.width >= WIDE and not field.signed else str(value)


def assemble(text: str) -> Program:
    """The program that `text` describes. Raises ValueError with the line's number and what is wrong in it."""
    program = Program()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            program.append(_assemble_one(words))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return program


def _assemble_one(words: list[str]) -> bytes:
    mnemonic, *operands = words
    if mnemonic == RAW:
        return bytes.fromhex("".join(operands))
    if mnemonic.upper() not in Opcode.__members__:
        raise ValueError(f"no instruction {mnemonic}; there are {', '.join(row.name for row in INSTRUCTIONS.values())}")
    row = INSTRUCTIONS[Opcode[mnemonic.upper()]]
    values: dict[str, Operand] = {}
    for word in operands:
        name, equals, value = word.partition("=")
        if not equals:
            raise ValueError(f"{row.name}: {word!r} isn't name=value")
        if name in values:
            raise ValueError(f"{row.name}: {name} is given twice")
        values |= _parse(row, name, value)
    return row.encode(**operand_values(row, values))


def _parse(row: Instruction, name: str, value: str) -> dict[str, Operand]:
    if any(slot.name == name for slot in row.addresses):
        found = ADDRESS.fullmatch(value)
        if not found or not value:
            raise ValueError(f"{row.name}: {name}={value} isn't an address such as r3+0x40")
        return {name: Address(int(found[1] or 0), int(found[2] or "0", 0))}
    if found := SEMAPHORE.fullmatch(value):
        return {name: int(found[1]), f"{name}_count": int(found[2])}
    if value in FORMATS:
        return {name: value}
    try:
        return {name: int(value, 0)}
    except ValueError:
        raise ValueError(f"{row.name}: {name}={value} isn't a number") from None
