"""Payloads that pass between the parts of the DMA units."""

from collections.abc import Mapping

from amaranth.hdl import C, Const, Mux, Value
from amaranth.lib import data

from gemel_golden.config import WORD
from gemel_golden.isa import INSTRUCTIONS, Opcode
from gemel_rtl.interfaces import AXI_DATA_BITS, PC_BITS, SEMAPHORE_PAIR

__all__ = [
    "BEAT",
    "BURST",
    "DEPTH",
    "INDEXING",
    "PLACE",
    "RECODING",
    "RETIRING",
    "ROW",
    "STROBED",
    "TURNED",
    "WORDS",
    "fields",
]

DEPTH = 64
"""Instructions that a DMA unit has under way: short ones too hide the memory's latency."""

PLACE = data.StructLayout({"layout": 1, "pitch": 16, "l1": 32, "bytes": 17})
"""Where an instruction's rows lie in L1."""

RECODING = data.StructLayout({"source": 4, "target": 4, "block_scale": 2, "factor": 32})
"""A conversion: format codes, `BlockScale` (NONE, MX or FP32), and FP32 bits of the factor without block scales."""

ROW = data.StructLayout(
    {
        "place": PLACE,
        "length": 17,
        "present": 1,
        "constant": 1,
        "fill": 32,
        "indexed": 1,
        "accumulate": 1,
        "serial": 1,
        "format": 4,
        "recode": 1,
        "recoding": RECODING,
        "turn": 1,
        "element": 2,
        "block_first": 1,
        "block_last": 1,
        "block_final": 1,
        "beside": 1,
        "beside_length": 10,
        "fault": 1,
        "address": 64,
        "first": 1,
        "last": 1,
        "pc": PC_BITS,
    }
)
"""One row: `length` bytes at memory address `address` if `present`; first or last of its instruction.

`constant`: `fill` takes L1's part. `indexed`: its index times the stride is still to be added; `fault`: that index is
one (see `Indexer`). `accumulate`: it is added to memory's, in `format`; `serial`: such rows may overlap. `recode`: its
elements are converted. `turn`: it is the first or last of a block whose columns, of 2^element bytes, become rows; of
the last block of the instruction, if `block_final`. What is stored is one block of all rows that have a part in L1.
`beside`: its length is `beside_length`, as the end of turned rows, or as scales, which have no part in L1.
"""

INDEXING = data.StructLayout({"l1": 32, "count": 16, "stride": 40, "limit": 32})
"""An instruction's list of `count` indices at L1 address `l1`."""

BURST = data.StructLayout(
    {
        "address": 58,
        "len": 6,
        "outside": 1,
        "fault": 1,
        "absent": 1,
        "accumulate": 1,
        "sum": 1,
        "last": 1,
        "pc": PC_BITS,
    }
)
"""One burst of len + 1 beats at 64 * address; `outside`: the address is wider than memory's; the instruction's last.

`fault`: there is none, since the row's index is a fault; `absent`: there is none, since the last row isn't present.
`accumulate`: its row is accumulated; `sum`: it ends such a row.
"""

BEAT = data.StructLayout({"data": AXI_DATA_BITS, "error": 1, "address": 58})
"""A beat that was read, or an error of the burst at 64 * address."""

TURNED = data.StructLayout({"beat": BEAT, "turn": 1, "element": 2, "columns": 7, "last": 1})
"""A word of a row, and of a block of `columns` columns if `turn`, which it may end."""

WORDS = data.StructLayout(
    {
        "data": AXI_DATA_BITS,
        "size": 7,
        "starts": 1,
        "ends": 1,
        "fault": 1,
        "accumulate": 1,
        "format": 4,
        "recode": 1,
        "recoding": RECODING,
    }
)
"""A word (two chunks, the first one low) of a row, the first or the last one; `size` bytes of it are the row's.

`fault`: it couldn't be read. What is to become of it is as the row says.
"""

STROBED = data.StructLayout({"data": AXI_DATA_BITS, "strb": WORD, "fault": 1})
"""A beat to write; `fault`: there is none, since L1 couldn't be read."""

RETIRING = data.StructLayout({"signal": SEMAPHORE_PAIR, "pc": PC_BITS})
"""What is left to do once an instruction's work is done."""


def fields(bits: Value, defaults: Mapping[Opcode, Mapping[str, int]]) -> dict[str, Value]:
    """The fields of an instruction that is one of `defaults`, by the names of the instruction table.

    What an instruction doesn't have is as its `defaults` say, or zero.
    """
    own = {opcode: {f.name: f for f in INSTRUCTIONS[opcode].all_fields} for opcode in defaults}
    everything = {name: f for table in own.values() for name, f in table.items()}
    found: dict[str, Value] = {}
    for name, widest in everything.items():
        choices: dict[tuple[int, int] | int, tuple[Value, list[Opcode]]] = {}
        for opcode, table in own.items():
            if name in table:
                f = table[name]
                value: Value = bits[f.lsb : f.lsb + f.width]
                key: tuple[int, int] | int = (f.lsb, f.width)
            else:
                key = defaults[opcode].get(name, 0)
                value = C(key, widest.width)
            choices.setdefault(key, (value, []))[1].append(opcode)
        (chosen, _), *others = sorted(choices.values(), key=lambda choice: -len(choice[1]))
        for value, opcodes in others:
            chosen = Mux(sum(((bits[:8] == opcode) for opcode in opcodes), Const(0, 1)).bool(), value, chosen)
        found[name] = chosen.as_signed() if widest.signed else chosen
    return found
