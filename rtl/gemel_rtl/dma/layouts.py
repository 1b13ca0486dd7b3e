"""Payloads that pass between the parts of the DMA units."""

from amaranth.hdl import Value
from amaranth.lib import data

from gemel_golden.config import WORD
from gemel_golden.isa import INSTRUCTIONS, Opcode
from gemel_rtl.interfaces import AXI_DATA_BITS, PC_BITS, SEMAPHORE_PAIR

__all__ = [
    "BEAT",
    "BURST",
    "DEPTH",
    "LINE",
    "PLACE",
    "RETIRING",
    "ROW",
    "STROBED",
    "fields",
]

DEPTH = 16
"""Instructions that a DMA unit has under way."""

PLACE = data.StructLayout({"layout": 1, "pitch": 16, "l1": 32, "bytes": 17})
"""Where an instruction's rows lie in L1."""

ROW = data.StructLayout(
    {
        "place": PLACE,
        "length": 17,
        "present": 1,
        "fill": 32,
        "address": 64,
        "first": 1,
        "last": 1,
        "pc": PC_BITS,
    }
)
"""One row: `length` bytes at memory address `address` if `present`; first or last of its instruction."""

BURST = data.StructLayout({"address": 58, "len": 6, "outside": 1, "last": 1, "pc": PC_BITS})
"""One burst of len + 1 beats at 64 * address; `outside`: the address is wider than memory's; the instruction's last."""

BEAT = data.StructLayout({"data": AXI_DATA_BITS, "error": 1, "address": 58})
"""A beat that was read, or an error of the burst at 64 * address."""

STROBED = data.StructLayout({"data": AXI_DATA_BITS, "strb": WORD, "fault": 1})
"""A beat to write; `fault`: there is none, since L1 couldn't be read."""

LINE = data.StructLayout({"shift": 6, "length": 17})
"""A row of STORE as its aligner sees it: offset in the first beat, and bytes."""

RETIRING = data.StructLayout({"signal": SEMAPHORE_PAIR, "pc": PC_BITS})
"""What is left to do once an instruction's work is done."""


def fields(bits: Value, opcode: Opcode) -> dict[str, Value]:
    """An instruction's fields by the names of the instruction table."""
    return {
        f.name: bits[f.lsb : f.lsb + f.width].as_signed() if f.signed else bits[f.lsb : f.lsb + f.width]
        for f in INSTRUCTIONS[opcode].all_fields
    }
