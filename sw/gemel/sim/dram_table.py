"""The table of `gemel_golden.memory` as a C++ header for the simulator's DRAM (harness/dram.h)."""

from __future__ import annotations

from dataclasses import fields

from gemel_golden.memory.address_map import AddressMap
from gemel_golden.memory.secded import CHECK_BITS, ROWS
from gemel_golden.memory.timing import POSTPONED, Clocks

__all__ = ["dram_table", "secded_table"]


def dram_table(mapping: AddressMap) -> str:
    """Text of ``dram_table.h``: the constants ``kDram`` and ``kDramBytes`` (capacity) for `mapping`."""
    dram, clocks = mapping.dram, mapping.dram.clocks
    sizes = {
        "access_bytes": dram.access_bytes,
        "groups": dram.groups,
        "banks": dram.banks,
        "channels": mapping.channels,
        "postponed": POSTPONED,
    }
    lines = [f'.name = "{dram.name}"', *(f".{name} = {value}" for name, value in sizes.items())]
    lines += [f".{f.name} = {getattr(clocks, f.name)}" for f in fields(Clocks)]
    for name in ("row", "column", "bank", "channel", "group"):  # the order of `AddressMap.inverse`
        pairs = zip(mapping.bits[name], mapping.masks[name], strict=True)
        bits = ", ".join(f"{{{bit}, {mask & ~(1 << bit):#x}}}" for bit, mask in pairs)
        lines.append(f".{name}_bits = {{{len(mapping.bits[name])}, {{{bits}}}}}")
    body = "".join(f"    {line},\n" for line in lines)
    size = f"constexpr uint64_t kDramBytes = {mapping.bytes};\n"
    return f'#pragma once\n#include "dram.h"\n\nconstexpr DramTable kDram = {{\n{body}}};\n{size}'


def secded_table() -> str:
    """Text of ``secded.h``: the check bits of a word."""
    rows = ", ".join(f"{row:#x}" for row in ROWS)
    return f"""#pragma once
#include <cstdint>

inline uint8_t secded_encode(uint64_t word) {{
    constexpr uint64_t rows[{CHECK_BITS}] = {{{rows}}};
    uint8_t check = 0;
    for (unsigned i = 0; i < {CHECK_BITS}; ++i) check |= __builtin_parityll(word & rows[i]) << i;
    return check;
}}
"""
