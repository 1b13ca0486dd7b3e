"""The vector core's latencies and throughputs, in cycles: the one table for scheduler and estimate."""

from __future__ import annotations

from gemel.vector.ir import Op, Slot
from gemel_golden.formats import by_code
from gemel_golden.vector_isa import FUNCTION_BASE, PHILOX, Control

__all__ = ["latency", "occupies"]

ARITHMETIC = 7
"""From an arithmetic operation's issue to the issue of one that uses its vector or predicate."""
FUNCTION = 16
FUNCTION_INTERVAL = 4
"""From one function to the next: 8 units for 32 lanes."""
PHILOX_LATENCY = 14
PHILOX_INTERVAL = 10
LOAD = 10
CONTROL = 1
READ = 2
"""From READ to the use of its scalar."""
STORE_VISIBLE = 8
"""From a store to the earliest FENCE that needn't wait for it."""
LOOP_CYCLES = 1
"""What LOOP costs beside its bundle."""
STORE_INTERVAL = 2
WIDE_LOAD_INTERVAL = 2
"""From the load of a 32-bit format to the next load."""


def _is_function(op: int) -> bool:
    return FUNCTION_BASE <= op < PHILOX


def latency(op: Op) -> int:
    """Cycles until what the operation writes can be used."""
    match op.slot:
        case Slot.ALU:
            code = op.fields["op"]
            return PHILOX_LATENCY if code == PHILOX else FUNCTION if _is_function(code) else ARITHMETIC
        case Slot.LOAD:
            return LOAD
        case Slot.STORE:
            return STORE_VISIBLE
        case Slot.CONTROL:
            return READ if op.control == Control.READ else CONTROL


def occupies(op: Op) -> list[tuple[str, int]]:
    """Units that the operation needs, with the cycles for which it keeps them from its issue on."""
    match op.slot:
        case Slot.ALU:
            code = op.fields["op"]
            if code == PHILOX:
                return [("arithmetic", 1), ("philox", PHILOX_INTERVAL)]
            return [("arithmetic", 1), ("function", FUNCTION_INTERVAL)] if _is_function(code) else [("arithmetic", 1)]
        case Slot.LOAD:
            return [("load", WIDE_LOAD_INTERVAL if by_code(op.fields["ld_format"]).bits == 32 else 1)]
        case Slot.STORE:
            return [("store", STORE_INTERVAL), ("stored vector", 1)]
        case Slot.CONTROL:
            return [("control", 1), ("stored vector", 1)] if op.control == Control.READ else [("control", 1)]
