"""From bundles of operations on numbered registers to bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gemel.vector.ir import Bank, Op, Reg
from gemel.vector.schedule import Bundle
from gemel_golden.vector_isa import BUNDLE, SCALAR_OPERAND, encode_bundle

__all__ = ["encode"]

_OPERANDS = ("a", "b", "c")


def encode(bundles: Sequence[Bundle], numbers: Mapping[Reg, int]) -> bytes:
    """The program's bytes. Raises ValueError for a field beyond its limits."""
    return b"".join(encode_bundle(**_fields(bundle, numbers)) for bundle in bundles)


def _fields(bundle: Bundle, numbers: Mapping[Reg, int]) -> dict[str, int]:
    fields: dict[str, int] = {}
    for op in bundle.values():
        fields |= op.fields
        fields |= {name: _number(name, reg, numbers) for name, reg in _named(op)}
    return fields


def _named(op: Op) -> list[tuple[str, Reg]]:
    found = [(name, reg) for name, reg in op.uses.items() if name in BUNDLE]
    return [*found, op.define] if op.define else found


def _number(name: str, reg: Reg, numbers: Mapping[Reg, int]) -> int:
    number = numbers[reg] if reg.fixed is None else reg.fixed
    return number + SCALAR_OPERAND if name in _OPERANDS and reg.bank == Bank.SCALAR else number
