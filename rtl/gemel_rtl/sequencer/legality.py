"""Legality of encoded words, generated from their field tables: instructions and packets alike."""

from collections.abc import Iterable, Mapping
from functools import reduce
from operator import or_

from amaranth.hdl import C, Module, Signal, Value

from gemel_golden.isa import Field

__all__ = ["any_of", "illegal_field", "is_kind"]


def any_of(conditions: Iterable[Value]) -> Value:
    """The OR of one-bit conditions; of none it is 0."""
    return reduce(or_, conditions, C(0, 1))


def is_kind(m: Module, kind: Value, kinds: Iterable[int]) -> dict[int, Signal]:
    """One signal per kind, high when `kind` is it."""
    found = {code: Signal(name=f"is_{code:02x}") for code in kinds}
    for code, signal in found.items():
        m.d.comb += signal.eq(kind == code)
    return found


def illegal_field(m: Module, bits: Value, found: Mapping[int, Value], fields: Mapping[int, tuple[Field, ...]]) -> Value:
    """High when a reserved bit of `bits` is set or a field lies outside its limits.

    `found[k]` says that the word is of kind k, whose fields beside bits 0-7 are `fields[k]`.
    """
    wrong = [
        any_of(found[k] for k in kinds) & any_of(_violations(field, bits)) for field, kinds in _sharing(fields).items()
    ]
    wrong += [bits[low:high].any() & ~any_of(found[k] for k in kinds) for low, high, kinds in _runs(len(bits), fields)]
    return any_of(wrong)


def _violations(field: Field, bits: Value) -> list[Value]:
    value = bits[field.lsb : field.lsb + field.width]
    found = []
    if field.legal is not None:
        if len(set(field.legal)) < 1 << field.width:
            found.append(~any_of(value == code for code in field.legal))
    elif not field.signed:
        if field.minimum > 0:
            found.append(value < field.minimum)
        if field.maximum < (1 << field.width) - 1:
            found.append(value > field.maximum)
    if field.multiple > 1:
        found.append(value[: field.multiple.bit_length() - 1].any())
    return found


def _sharing(fields: Mapping[int, tuple[Field, ...]]) -> dict[Field, list[int]]:
    """Which kinds have each field that can be illegal; equal limits on equal bits are checked once."""
    probe = C(0, 512)
    sharing: dict[tuple[object, ...], tuple[Field, list[int]]] = {}
    for kind, own in fields.items():
        for field in own:
            if _violations(field, probe):
                limits = (field.lsb, field.width, field.minimum, field.maximum, field.legal, field.multiple)
                sharing.setdefault(limits, (field, []))[1].append(kind)
    return dict(sharing.values())


def _runs(width: int, fields: Mapping[int, tuple[Field, ...]]) -> list[tuple[int, int, frozenset[int]]]:
    """The word cut into runs of bits that the same kinds use; runs that every kind uses are left out."""
    users: list[set[int]] = [set() for _ in range(width)]
    for kind, own in fields.items():
        for field in own:
            for bit in range(field.lsb, field.lsb + field.width):
                users[bit].add(kind)
    runs, low = [], 8
    for bit in range(9, width + 1):
        if bit == width or users[bit] != users[low]:
            if len(users[low]) < len(fields):
                runs.append((low, bit, frozenset(users[low])))
            low = bit
    return runs
