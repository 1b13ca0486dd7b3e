"""The register file does what the table says, at random."""

from typing import Any

import numpy as np
import pytest

from gemel_golden.registers import BLOCKS
from gemel_rtl.command import registers
from gemel_rtl.command.registers import RegisterFile
from gemel_verif.runner import simulate

COUNTS = {"chip": 1, "ring": 2, "core": 3, "channel": 2}
REGISTERS = {
    f"{block.name}_{index}_{register.name}": (block.address(register.name, index), register.access)
    for block in BLOCKS.values()
    for index in range(COUNTS[block.name])
    for register in block.table
}
"""Address and access by the register file's member."""
HELD = {
    f"{block.name}_{index}_{high}": f"{block.name}_{index}_{low}"
    for block in BLOCKS.values()
    for index in range(COUNTS[block.name])
    for high, low in registers.HELD.items()
    if high in block.registers
}
"""Registers whose value another one's reading holds."""
UNKNOWN = (0x04C, 0x09C, 0x10F8, 0x1200, 0x4034, 0x4C00, 0xFFFC)
IRQ = REGISTERS["chip_0_irq_status"][0]


def word(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 32))


def random_accesses(rng: np.random.Generator, count: int) -> list[tuple[Any, ...]]:
    """Reads, writes with any strobes, and the chip's own changes."""
    addresses = [address for address, _ in REGISTERS.values()]
    ro = [name for name, (_, access) in REGISTERS.items() if access == "ro"]
    accesses: list[tuple[Any, ...]] = []
    for _ in range(count):
        address = int(rng.choice(UNKNOWN if rng.random() < 0.1 else addresses))
        match int(rng.integers(6)):
            case 0 | 1:
                accesses.append(("read", address))
            case 2 | 3:
                accesses.append(("write", address, word(rng), int(rng.choice([15, 15, int(rng.integers(16))]))))
            case 4:
                accesses.append(("set", "chip_0_irq_status", word(rng)))
            case _:
                accesses.append(("change", ro[int(rng.integers(len(ro)))], word(rng)))
    return accesses


def model(values: dict[str, int], accesses: list[tuple[Any, ...]]) -> tuple[list[Any], dict[str, int]]:
    """What each access gives and the registers at the end, by the table."""
    names = {address: name for name, (address, _) in REGISTERS.items()}
    values = dict(values) | {name: 0 for name, (_, access) in REGISTERS.items() if access in ("rw", "w1c")}
    held = dict.fromkeys(HELD, 0)
    results: list[Any] = []
    for kind, what, *more in accesses:
        name = what if kind in ("set", "change") else names.get(what, "")
        access = REGISTERS[name][1] if name else ""
        result: Any = None
        if kind == "read":
            result = held.get(name, values.get(name, 0)) if access != "wo" else 0
            held |= {high: values[high] for high, low in HELD.items() if low == name}
        elif kind == "write":
            data, strobes = more
            mask = sum(0xFF << 8 * byte for byte in range(4) if strobes >> byte & 1)
            if access == "rw":
                values[name] = (values[name] & ~mask) | (data & mask)
            elif access == "w1c":
                values[name] &= ~(data & mask)
            result = [(name, data & mask)] if access == "wo" and data & mask else []
        elif kind == "clash":
            values[name] = (values[name] & ~more[0]) | more[2]
            result = []
        elif kind == "set":
            values[name] |= more[0]
        else:
            values[name] = more[0]
        results.append(result)
    return results, {name: values[name] for name, (_, access) in REGISTERS.items() if access in ("rw", "w1c")}


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_accesses(rng: np.random.Generator, stall: float) -> None:
    values = {name: word(rng) for name, (_, access) in REGISTERS.items() if access == "ro"}
    warm_up: list[tuple[Any, ...]] = [("read", REGISTERS[low][0]) for low in HELD.values()]
    accesses = warm_up + random_accesses(rng, 1500)
    if not stall:  # then a write happens in the cycle of the bits that the chip sets
        accesses += [("clash", IRQ, word(rng), 15, word(rng)) for _ in range(20)]
    inputs = {
        "seed": int(rng.integers(1 << 30)),
        "stall": stall,
        "counts": COUNTS,
        "values": values,
        "accesses": accesses,
    }
    got = simulate(RegisterFile(COUNTS), "gemel_registers", "tb_registers", inputs)
    assert (got["results"], got["shown"]) == model(values, accesses)
