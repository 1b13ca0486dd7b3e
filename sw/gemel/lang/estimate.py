"""How many cycles a kernel's program takes: its units side by side, held by semaphores, each with its own rate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache

from gemel.lang.compiled import Compiled
from gemel.vector import estimate as vector_estimate
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import by_code
from gemel_golden.isa import INSTRUCTION_BYTES, Opcode, Unit, lookup
from gemel_golden.vector_isa import BUNDLE_BYTES

__all__ = ["estimate"]

LATENCY = {Unit.LOAD: 60, Unit.TENSOR: 40, Unit.STORE: 40, Unit.VECTOR: 15}
"""Cycles from an instruction's last beat to its signals, about."""
START = 60
"""Cycles before the first instruction starts."""


def estimate(compiled: Compiled, config: ChipConfig) -> int:
    """Cycles from the first fetched instruction to the last byte, for a memory of 64 bytes a cycle each way."""
    codes = {compiled.entries[name]: part.bundles for name, part in compiled.parts.items()}

    @cache
    def running(entry: int, fetched: range | None) -> int:
        return vector_estimate(codes[entry], {}, fetched=fetched).cycles

    given: dict[int, list[int]] = defaultdict(list)
    taken: dict[int, int] = defaultdict(int)
    free: dict[Unit, int] = defaultdict(int)
    done: dict[Unit, int] = defaultdict(int)
    now = START
    for at in range(0, len(compiled.program), INSTRUCTION_BYTES):
        raw = compiled.program[at : at + INSTRUCTION_BYTES]
        row = lookup(raw)
        assert row is not None, "the program's own instruction"
        if not row.synchronises:
            continue
        values, unit = row.decode(raw), row.unit
        start = max(now, free[unit])
        for kind in ("wait0", "wait1"):
            if values[f"{kind}_count"]:
                semaphore = values[kind]
                start = max(start, given[semaphore][taken[semaphore]])
                taken[semaphore] += 1
        now = start if unit == Unit.SEQUENCER else now + 1
        free[unit] = start + _cycles(row.opcode, values, config, compiled.code_address, running)
        done[unit] = max(done[unit], free[unit] + LATENCY.get(unit, 0))
        for kind in ("signal0", "signal1"):
            if values[f"{kind}_count"]:
                given[values[kind]].append(done[unit])
    return max(done.values())


def _cycles(
    opcode: Opcode,
    values: Mapping[str, int],
    config: ChipConfig,
    code: int,
    running: Callable[[int, range | None], int],
) -> int:
    match opcode:
        case Opcode.LOAD | Opcode.STORE:
            rows = values["count1"] * values["count2"] * values["count3"]
            words = -(-values["bytes"] // WORD) + (values["mem"] % WORD > 0)
            return rows * words
        case Opcode.MATMUL:
            bits = max(by_code(values["a_format"]).bits, by_code(values["b_format"]).bits)
            blocks = -(-values["k"] * bits // (8 * CHUNK))
            return -(-values["m"] // config.rows) * -(-values["n"] // config.cols) * blocks
        case Opcode.VECTOR:
            if not values["run"]:
                return values["fetch"] // 2
            if not values["fetch"]:
                return running(values["entry"], None)
            first = values["entry"] - values["at"]
            entry = first + (values["program"] - code) // BUNDLE_BYTES
            return running(entry, range(first, values["fetch"]))
    return 0
