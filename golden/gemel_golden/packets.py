"""The command ring's packets: 64 bytes each, little-endian."""

from __future__ import annotations

from enum import IntEnum

from gemel_golden.isa import REGISTERS, Field

PACKET_BYTES = 64
MAX_ARGUMENTS = REGISTERS - 1
"""Arguments of a launch: 64-bit words that fill address registers 1, 2, ..."""


class PacketType(IntEnum):
    """What a packet asks for."""

    NOP = 0
    LAUNCH = 1
    WAIT = 2
    SIGNAL = 3
    COPY = 4


PACKETS: dict[PacketType, tuple[Field, ...]] = {
    PacketType.NOP: (),
    PacketType.LAUNCH: (
        Field(name="arguments", lsb=8, width=8, hi=MAX_ARGUMENTS, doc="number of 64-bit arguments"),
        Field(
            name="cores",
            lsb=32,
            width=32,
            lo=1,
            default=1,
            doc="mask of the cores that run it; it begins once all are free",
        ),
        Field(name="program", lsb=64, width=64, multiple=64, doc="memory address of the first instruction"),
        Field(name="length", lsb=128, width=32, lo=1, hi=(1 << 24) - 1, default=1, doc="instructions in the program"),
        Field(
            name="argument_block", lsb=192, width=64, multiple=64, doc="memory address of the first core's arguments"
        ),
        Field(
            name="argument_stride",
            lsb=256,
            width=32,
            multiple=64,
            doc="bytes from one core's arguments to those of the next core of the mask; 0: all have the same",
        ),
    ),
    PacketType.WAIT: (
        Field(name="address", lsb=64, width=64, multiple=8, doc="memory address of a 64-bit word"),
        Field(name="value", lsb=128, width=64, doc="go on when the word, unsigned, is at least this"),
    ),
    PacketType.SIGNAL: (
        Field(name="interrupt", lsb=8, width=1, doc="raise bit 0 of irq_status"),
        Field(name="timestamp", lsb=9, width=1, doc="write the clock to address + 8 as well"),
        Field(name="address", lsb=64, width=64, multiple=16, doc="memory address of a 64-bit word"),
        Field(name="value", lsb=128, width=64, doc="the value written once all packets before are done"),
    ),
    PacketType.COPY: (
        Field(name="source", lsb=64, width=64, doc="memory address of the first byte to read, of any alignment"),
        Field(
            name="target",
            lsb=128,
            width=64,
            doc="memory address of the first byte to write; the two ranges may not overlap",
        ),
        Field(name="bytes", lsb=192, width=48, doc="how many; all are written once the packet is done"),
    ),
}
"""Fields by packet type; bits 0-7 hold the type, bits that no field names must be zero."""


def encode_packet(kind: PacketType, **values: int) -> bytes:
    """64 bytes; unknown names and illegal values raise ``ValueError``."""
    fields = {f.name: f for f in PACKETS[kind]}
    unknown = values.keys() - fields.keys()
    if unknown:
        raise ValueError(f"{kind.name} has no field {sorted(unknown)[0]!r}; it has {', '.join(fields) or 'none'}")
    bits = int(kind)
    for name, field in fields.items():
        value = int(values.get(name, field.default))
        try:
            field.check(value)
        except ValueError as error:
            raise ValueError(f"{kind.name}: {error}") from None
        bits |= field.insert(value)
    return bits.to_bytes(PACKET_BYTES, "little")


def decode_packet(raw: bytes) -> tuple[PacketType, dict[str, int]]:
    """Type and fields; anything illegal raises ``ValueError`` with the reason."""
    bits = int.from_bytes(raw, "little")
    try:
        kind = PacketType(bits & 0xFF)
    except ValueError:
        raise ValueError(f"unknown packet type {bits & 0xFF}") from None
    used = 0xFF
    values: dict[str, int] = {}
    for field in PACKETS[kind]:
        used |= ((1 << field.width) - 1) << field.lsb
        values[field.name] = field.extract(bits)
        field.check(values[field.name])
    if bits & ~used:
        raise ValueError(f"{kind.name}: reserved bits are set")
    return kind, values
