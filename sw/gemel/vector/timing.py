"""The vector core's latencies and throughputs by operation, for scheduler and estimate."""

from __future__ import annotations

from gemel.vector.ir import Op, Slot
from gemel_golden import vector_timing
from gemel_golden.formats import by_code
from gemel_golden.vector_isa import FUNCTION_BASE, PHILOX, Control

__all__ = ["FETCH", "LOADS", "LOOP_CYCLES", "STORE_VISIBLE", "latency", "occupies"]

FUNCTION_UNITS = 8
"""Those of the chips that programs are tuned for."""
STORE_VISIBLE = vector_timing.STORE_VISIBLE
"""From a store to the earliest FENCE that needn't wait for it."""
FETCH = vector_timing.FETCH
"""What fetching a program as it runs costs at its beginning."""
LOOP_CYCLES = vector_timing.LOOP_PENALTY
"""What LOOP costs beside its bundle."""
LOADS = 8
"""Loads under way at most."""


def _is_function(op: int) -> bool:
    return FUNCTION_BASE <= op < PHILOX


def _wide(op: Op) -> bool:
    return by_code(op.fields["ld_format"]).bits == 32 and not op.fields["ld_element"]


def latency(op: Op) -> int:
    """Cycles until what the operation writes can be used."""
    match op.slot:
        case Slot.ALU:
            code = op.fields["op"]
            if _is_function(code):
                return vector_timing.function(FUNCTION_UNITS)
            return vector_timing.RANDOM if code == PHILOX else vector_timing.ARITHMETIC
        case Slot.LOAD:
            return vector_timing.LOAD_TWO_BEATS if _wide(op) else vector_timing.LOAD_ONE_BEAT
        case Slot.STORE:
            return STORE_VISIBLE
        case Slot.CONTROL:
            return vector_timing.CONTROL


def occupies(op: Op) -> list[tuple[str, int]]:
    """Units that the operation needs, with the cycles for which it keeps them from its issue on."""
    match op.slot:
        case Slot.ALU:
            code = op.fields["op"]
            if code == PHILOX:
                return [("arithmetic", 1), ("philox", vector_timing.RANDOM_INTERVAL)]
            interval = vector_timing.function_interval(FUNCTION_UNITS)
            return [("arithmetic", 1), ("function", interval)] if _is_function(code) else [("arithmetic", 1)]
        case Slot.LOAD:
            return [("load", vector_timing.WIDE_LOAD_INTERVAL if _wide(op) else 1)]
        case Slot.STORE:
            return [("store", vector_timing.STORE_INTERVAL), ("stored vector", 1)]
        case Slot.CONTROL:
            return [("control", 1), ("stored vector", 1)] if op.control == Control.READ else [("control", 1)]
