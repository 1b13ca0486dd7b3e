"""Shapes inside the DRAM controller: places, granules, and the port towards the DRAM."""

from enum import IntEnum
from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.address_map import GRANULE, AddressMap
from gemel_golden.memory.secded import CHECK_BITS, DATA_BITS
from gemel_golden.memory.timing import Dram

__all__ = ["BEATS", "ColumnCommand", "RowCommand", "accesses", "dfi", "oldest", "place_of", "places"]

BEATS = 2
"""64-byte beats of a granule."""


class RowCommand(IntEnum):
    """What the row bus says in a clock."""

    NONE = 0
    ACTIVATE = 1
    PRECHARGE = 2
    REFRESH_BANK = 3
    REFRESH_ALL = 4


class ColumnCommand(IntEnum):
    """What the column bus says in a clock."""

    NONE = 0
    READ = 1
    WRITE = 2


def accesses(dram: Dram) -> int:
    """Column accesses of a granule: two of HBM2, four of HBM3."""
    return GRANULE // dram.access_bytes


def places(dram: Dram) -> data.StructLayout:
    """A granule's place in its channel: bank (its low bits are the group), granule within the row, row."""
    granules = dram.page_bytes // GRANULE
    return data.StructLayout(
        {"bank": dram.group_bits + dram.bank_bits, "granule": granules.bit_length() - 1, "row": dram.row_bits}
    )


def place_of(mapping: AddressMap, address: Value) -> Value:
    """The bits of `places` for a byte address: `AddressMap.forward` without the channel."""

    def field(name: str, first: int = 0) -> Value:
        return Cat(
            reduce(xor, (address[bit] for bit in range(mask.bit_length()) if mask >> bit & 1))
            for mask in mapping.masks[name][first:]
        )

    within = accesses(mapping.dram).bit_length() - 1
    return Cat(field("group"), field("bank"), field("column", within), field("row"))


def dfi(dram: Dram) -> wiring.Signature:
    """The controller's side of the port towards the DRAM: one command on each bus and clock.

    `row_command` (`RowCommand`) with `row_bank`, `row`; `column_command` (`ColumnCommand`) with `column_bank`,
    `column`. A WRITE's data and check bits stand on `write_*` with `write_valid` cwl clocks after the command, all of
    the access at once; a READ's come on `read_*` with `read_valid` in the last clock of its burst, cl + burst - 1
    clocks after it.
    """
    bank, check = dram.group_bits + dram.bank_bits, dram.access_bytes * 8 * CHECK_BITS // DATA_BITS
    return wiring.Signature(
        {
            "row_command": Out(3),
            "row_bank": Out(bank),
            "row": Out(dram.row_bits),
            "column_command": Out(2),
            "column_bank": Out(bank),
            "column": Out(dram.columns.bit_length() - 1),
            "write_valid": Out(1),
            "write_data": Out(8 * dram.access_bytes),
            "write_check": Out(check),
            "read_valid": In(1),
            "read_data": In(8 * dram.access_bytes),
            "read_check": In(check),
        }
    )


def oldest(m: Module, candidates: Value, head: Value, name: str) -> Signal:
    """One-hot: the first of `candidates` at or after `head` in a ring of as many slots; zero without any."""
    slots = len(candidates)
    late, chosen, first = (Signal(slots, name=f"{name}_{part}") for part in ("late", "chosen", "first"))
    m.d.comb += [
        late.eq(candidates & ((1 << slots) - 1 << head)),
        chosen.eq(Mux(late.any(), late, candidates)),
        first.eq(chosen & (~chosen + 1)),
    ]
    return first
