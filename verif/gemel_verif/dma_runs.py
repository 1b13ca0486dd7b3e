"""Runs LOAD or STORE in simulation on lists of instructions, with what golden makes of the same."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden import dma
from gemel_golden.config import CONFIGS, ChipConfig
from gemel_golden.faults import Fault
from gemel_golden.isa import INSTRUCTIONS, Opcode, Unit
from gemel_rtl.dma.load import LoadUnit
from gemel_rtl.dma.store import StoreUnit
from gemel_verif.dma_scenarios import Images
from gemel_verif.runner import simulate

__all__ = ["DmaRun", "golden", "run"]

UNITS = {Unit.LOAD: LoadUnit, Unit.STORE: StoreUnit}
Values = dict[str, int]
"""An instruction's fields; `opcode` where it isn't the run's."""


@dataclass(frozen=True, kw_only=True)
class DmaRun:
    """One simulation: programs (lists of field values) run one after the other, and the bus.

    `opcode` says which unit, and is the opcode of instructions that don't name theirs.
    """

    opcode: Opcode
    programs: list[list[Values]]
    images: Images
    """Contents before the first program."""
    seed: int = 0
    latency: int = 1
    """Cycles between an address (a write: its last beat) and the first answer."""
    stall: float = 0.0
    """Share of cycles in which each channel holds back."""
    broken: tuple[int, ...] = ()
    """Addresses of beats that are answered with an error."""
    abort_after: dict[int, int] = field(default_factory=dict)
    """Cycles after which the program of this index is aborted."""
    limit: int = 40000
    config: ChipConfig = CONFIGS["nano"]


def run(what: DmaRun) -> dict[str, Any]:
    """Simulate; see `tb_dma` for the results. An instruction's index is its position in its program."""
    unit = INSTRUCTIONS[what.opcode].unit
    name = unit.name.lower()
    programs = [
        {
            "instructions": [(pc, encoded(what, values)) for pc, values in enumerate(program)],
            "abort_after": what.abort_after.get(index),
        }
        for index, program in enumerate(what.programs)
    ]
    inputs = {
        "unit": name,
        "config": what.config,
        "programs": programs,
        "memory": what.images.memory,
        "l1": what.images.l1,
        "seed": what.seed,
        "latency": what.latency,
        "stall": what.stall,
        "broken": what.broken,
        "limit": what.limit,
    }
    return simulate(UNITS[unit](what.config), f"gemel_{name}", "tb_dma", inputs)


def encoded(what: DmaRun, values: Values) -> bytes:
    """An instruction of the run."""
    fields = dict(values)
    return INSTRUCTIONS[Opcode(fields.pop("opcode", what.opcode))].encode(**fields)


def golden(what: DmaRun) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[dict[str, int] | None]]:
    """Memory, L1 and each program's fault record, by the golden model; a fault ends its program."""
    memory, l1 = what.images.memory.copy(), what.images.l1.copy()
    faults: list[dict[str, int] | None] = []
    for program in what.programs:
        faults.append(None)
        for pc, values in enumerate(program):
            try:
                raw = encoded(what, values)
                dma.execute(Opcode(raw[0]), INSTRUCTIONS[Opcode(raw[0])].decode(raw), memory, l1)
            except Fault as fault:
                faults[-1] = {"code": int(fault.code), "pc": pc, "address": fault.address}
                break
    return memory, l1, faults
