"""The text form of bundles: what `disassemble` writes, `assemble` reads back to the same bytes.

One bundle a line, its slots apart by ``;``: the operation, then ``name=value`` for what it writes and for every field
that isn't at its default::

    fma rd=v3 a=-abs(v1) b=v2 c=s5 pred=!p1 ; load reg=v4 addr=a0 format=bf16 post=1 ; loop sa=s1 imm2=12

Operand a may be permuted: ``a=v1.xor16``. An empty bundle reads ``nop``, and bytes that aren't a legal bundle read
``.bytes`` with their hexadecimal digits. ``#`` begins a comment.
"""

from __future__ import annotations

import re

from gemel_golden.formats import FORMATS
from gemel_golden.vector_isa import (
    ALU_OPS,
    BUNDLE,
    BUNDLE_BYTES,
    NOP,
    SCALAR_OPERAND,
    Control,
    Permute,
    check_bundle,
    decode_bundle,
    encode_bundle,
    writes_predicate,
)

__all__ = ["assemble", "disassemble"]

RAW = ".bytes"
_FORMAT_NAMES = {fmt.code: fmt.name for fmt in FORMATS.values()}
_VALUE = re.compile(r"(-?)(abs\()?([vs])(\d+)(?:\.(\w+))?(\)?)")
_REGISTER = re.compile(r"[vspa](\d+)")
_SCALAR_NAMES = {Control[name]: f"s{name.lower()}" for name in ("ADD", "SUB", "AND", "SHL", "SHR")}
_ARITHMETIC = {**{name.lower(): code for code, name in ALU_OPS.items() if code != NOP}, "idle": NOP}
_CONTROL = {_SCALAR_NAMES.get(op, op.name.lower()): op for op in Control}
_MNEMONICS: dict[str, tuple[str, dict[str, int]]] = {
    **{name: ("alu", {"op": code}) for name, code in _ARITHMETIC.items()},
    **{name: ("ld", {"ld_en": int(name == "load")}) for name in ("load", "noload")},
    **{name: ("st", {"st_en": int(name == "store")}) for name in ("store", "nostore")},
    **{name: ("control", {"control": int(op)}) for name, op in _CONTROL.items()},
}
"""Each operation's slot, and the field that says it."""
_KINDS = {"rd": "v", "reg": "v", "random": "v", "vector": "v", "pd": "p", "addr": "a", "sa": "s", "sb": "s"}
_DESTINATIONS = {Control.ADDRESS: "a", Control.STEP: "a", Control.MOVE: "a", Control.PSET: "p"}


def _slot(name: str) -> str:
    prefix = name.partition("_")[0]
    return prefix if prefix in ("ld", "st") else "alu" if BUNDLE[name].lsb < BUNDLE["ld_en"].lsb else "control"


_FIELDS = {slot: [name for name in BUNDLE if _slot(name) == slot] for slot in ("alu", "ld", "st", "control")}


def disassemble(code: bytes) -> str:
    """The text of a program, one line per bundle, loop bodies indented."""
    lines: list[str] = []
    ends: list[int] = []
    for i in range(len(code) // BUNDLE_BYTES):
        raw = code[i * BUNDLE_BYTES : (i + 1) * BUNDLE_BYTES]
        lines.append("    " * len(ends) + disassemble_one(raw) + "\n")
        ends = [end for end in ends if end != i]
        values = decode_bundle(raw)
        if values["control"] == Control.LOOP:
            ends.append(i + values["imm2"])
    return "".join(lines)


def disassemble_one(raw: bytes) -> str:
    """The text of one bundle's 32 bytes."""
    if check_bundle(raw) is not None:
        return f"{RAW} {raw.hex()}"
    values = decode_bundle(raw)
    return " ; ".join(text for slot in _FIELDS if (text := _slot_text(slot, values))) or "nop"


def _slot_text(slot: str, values: dict[str, int]) -> str:
    """A slot's text, empty when all of its fields are at their defaults."""
    own = {name: values[name] for name in _FIELDS[slot] if values[name] != BUNDLE[name].default}
    if not own:
        return ""
    mnemonic = next(
        name
        for name, (where, chosen) in _MNEMONICS.items()
        if where == slot and all(values[field] == value for field, value in chosen.items())
    )
    words = [mnemonic]
    for name in _FIELDS[slot]:
        short = name.removeprefix(f"{slot}_")
        if slot == "alu" and name in ("a", "b", "c"):
            modified = any(field in own for field in (f"neg_{name}", f"abs_{name}", *(["permute"] * (name == "a"))))
            if name in own or modified:
                words.append(f"{name}={_operand_text(name, values)}")
        elif short == "pred":
            complement = name.removesuffix("pred") + ("not" if slot != "alu" else "pred_not")
            if values[name] or values[complement]:
                words.append(f"pred={'!' * values[complement]}p{values[name]}")
        elif _shown(name, slot, values) and name not in _MNEMONICS[mnemonic][1] and short not in _MERGED:
            words.append(f"{short}={_value_text(name, short, values)}")
    return " ".join(words)


def _shown(name: str, slot: str, values: dict[str, int]) -> bool:
    """Whether a field stands in the text: a changed one, or what the operation writes."""
    always = {
        "alu": {"pd" if writes_predicate(values["op"]) else "rd"} if values["op"] != NOP else set(),
        "ld": {"ld_reg", "ld_addr"} if values["ld_en"] else set(),
        "st": {"st_reg", "st_addr"} if values["st_en"] else set(),
        "control": {"d"} if values["control"] in _WRITERS else set(),
    }
    return values[name] != BUNDLE[name].default or name in always[slot]


_WRITERS = (*_SCALAR_NAMES, Control.READ, *_DESTINATIONS)
_MERGED = ("neg_a", "neg_b", "neg_c", "abs_a", "abs_b", "permute", "pred_not", "not")
"""Fields whose text is part of another's."""


def _operand_text(name: str, values: dict[str, int]) -> str:
    code = values[name]
    text = f"s{code - SCALAR_OPERAND}" if code >= SCALAR_OPERAND else f"v{code}"
    if name == "a" and values["permute"]:
        text += f".{Permute(values['permute']).name.lower()}"
    if values.get(f"abs_{name}"):
        text = f"abs({text})"
    return "-" * values[f"neg_{name}"] + text


def _value_text(name: str, short: str, values: dict[str, int]) -> str:
    value = values[name]
    if short == "format":
        return _FORMAT_NAMES[value]
    if name == "d":
        return f"{_DESTINATIONS.get(Control(values['control']), 's')}{value}"
    return f"{value:#x}" if name == "imm" else f"{_KINDS.get(short, '')}{value}"


def assemble(text: str) -> bytes:
    """The bytes that `text` describes. Raises ValueError with the line's number and what is wrong in it."""
    code = b""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].strip()
        if not words:
            continue
        try:
            code += _assemble_one(words)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return code


def _assemble_one(line: str) -> bytes:
    if line.startswith(RAW):
        return bytes.fromhex(line.removeprefix(RAW))
    values: dict[str, int] = {}
    seen: set[str] = set()
    for part in line.split(";"):
        mnemonic, *words = part.split() or [""]
        if mnemonic not in _MNEMONICS:
            raise ValueError(f"no operation {mnemonic!r}; there are {', '.join(_MNEMONICS)}")
        slot, chosen = _MNEMONICS[mnemonic]
        if slot in seen:
            raise ValueError(f"{mnemonic}: its slot is taken already")
        seen.add(slot)
        values |= chosen
        for word in words:
            name, equals, value = word.partition("=")
            if not equals:
                raise ValueError(f"{mnemonic}: {word!r} isn't name=value")
            values |= _parse(slot, mnemonic, name, value)
    return encode_bundle(**values)


def _parse(slot: str, mnemonic: str, name: str, value: str) -> dict[str, int]:
    field = f"{slot}_{name}" if slot in ("ld", "st") else name
    if field not in BUNDLE:
        raise ValueError(f"{mnemonic}: no field {name!r}")
    if field in ("a", "b", "c"):
        return _parse_operand(mnemonic, field, value)
    if name == "pred":
        complement = "pred_not" if slot == "alu" else f"{slot}_not"
        return {field: _parse_number(mnemonic, name, value.removeprefix("!")), complement: int(value.startswith("!"))}
    if value in FORMATS:
        return {field: FORMATS[value].code}
    return {field: _parse_number(mnemonic, name, value)}


def _parse_number(mnemonic: str, name: str, value: str) -> int:
    if found := _REGISTER.fullmatch(value):
        return int(found[1])
    try:
        return int(value, 0)
    except ValueError:
        raise ValueError(f"{mnemonic}: {name}={value} isn't a number or a register") from None


def _parse_operand(mnemonic: str, name: str, value: str) -> dict[str, int]:
    found = _VALUE.fullmatch(value)
    if not found or bool(found[2]) != bool(found[6]) or not _legal_permute(name, found[5]):
        raise ValueError(f"{mnemonic}: {name}={value} isn't an operand such as -abs(v3.xor16)")
    values = {name: int(found[4]) + SCALAR_OPERAND * (found[3] == "s"), f"neg_{name}": int(bool(found[1]))}
    if found[2]:
        values[f"abs_{name}"] = 1
    if found[5]:
        values["permute"] = int(Permute[found[5].upper()])
    return values


def _legal_permute(name: str, how: str | None) -> bool:
    return how is None or (name == "a" and how.upper() in Permute.__members__)
