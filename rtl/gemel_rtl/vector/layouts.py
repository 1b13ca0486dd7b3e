"""Shapes inside the vector core: a bundle's fields, an access, and what travels beside a result."""

from typing import Any

from amaranth.hdl import Value
from amaranth.lib import data

from gemel_golden.isa import INSTRUCTIONS, Field, Opcode
from gemel_golden.vector_isa import BUNDLE, BUNDLE_BYTES, LANES

__all__ = ["BUNDLE_BITS", "HALF", "VECTOR_FIELDS", "WORD_BITS", "Access", "Place", "fields_of", "pair"]

BUNDLE_BITS = 8 * BUNDLE_BYTES
HALF = LANES // 2
"""Lanes of a store's beat, and of a load's where the format has 32 bits."""
VECTOR_FIELDS: dict[str, Field] = {field.name: field for field in INSTRUCTIONS[Opcode.VECTOR].all_fields}

WORD_BITS = 36
"""Bits of a word address in the arithmetic: 2^26 words of base and a product of 18 by 16 bits don't wrap."""


class Access(data.Struct):
    """A load's or store's place before its address is known: what the address register and the bundle say."""

    base: 32
    pitch: 16
    tile: 1
    row: 16
    column: 16
    fmt: 4
    element: 1
    mask: LANES
    """Lanes that are accessed; of an element's store only lane 0."""


class Place(data.Struct):
    """Where an access lies: the words of up to four chunks, and what is needed of them."""

    words: data.ArrayLayout(WORD_BITS, 4)
    parity: 1
    """The half in which chunk 0 (and 2) lies."""
    needed: 4
    offset: 5
    """Bytes before the first code in chunk 0."""
    outside: 1
    """A chunk that is needed lies beyond L1, or the base isn't aligned."""
    address: 64
    """Its byte address."""


def fields_of(bits: Value, fields: dict[str, Field] = BUNDLE) -> dict[str, Value]:
    """The fields of an encoded word by name."""
    return {name: bits[field.lsb : field.lsb + field.width] for name, field in fields.items()}


def pair(target: data.View, fields: dict[str, Value], kind: str) -> list[Any]:
    """Fill two semaphores and counts from an instruction's waits or signals."""
    return [
        target[f"{name}{i}"].eq(fields[f"{kind}{i}{tail}"])
        for i in (0, 1)
        for name, tail in (("sem", ""), ("count", "_count"))
    ]
