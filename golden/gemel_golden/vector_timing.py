"""When the vector core's results can be used: cycles that the hardware keeps to and a compiler schedules by.

The hardware holds a bundle until its registers are free, so these numbers change when a program ends, never what it
computes. A test holds the hardware to them.
"""

from gemel_golden.vector_isa import LANES

__all__ = [
    "ARITHMETIC",
    "CONTROL",
    "FETCH",
    "FUNCTION_PIPELINE",
    "LOAD_ONE_BEAT",
    "LOAD_TWO_BEATS",
    "LOOP_PENALTY",
    "RANDOM",
    "RANDOM_INTERVAL",
    "STORE_INTERVAL",
    "STORE_VISIBLE",
    "WIDE_LOAD_INTERVAL",
    "function",
    "function_interval",
]

ARITHMETIC = 8
"""Cycles from an arithmetic bundle to the first one that may use its result or predicate."""
FUNCTION_PIPELINE = 11
"""The same for a function, beside the cycles in which the lanes take turns in the function units."""
RANDOM = 12
"""The same for PHILOX."""
RANDOM_INTERVAL = 12
"""Cycles from one PHILOX to the next."""
LOAD_ONE_BEAT = 8
"""Cycles from a load of up to 16 bits an element to the first use, when no other unit wants L1's banks."""
LOAD_TWO_BEATS = 9
"""The same for a load of 32 bits an element, which takes L1's read port for two cycles."""
WIDE_LOAD_INTERVAL = 2
"""Cycles from the load of a format of 32 bits to the next load; other loads follow each other each cycle."""
STORE_INTERVAL = 2
"""Cycles from one store to the next."""
STORE_VISIBLE = 8
"""Cycles from a store to a FENCE that needn't wait for it, when no other unit wants L1's banks."""
CONTROL = 1
"""Cycles from the control slot's bundle, or an access that makes a step, to the first one that may use its result."""
FETCH = 4
"""Cycles by which a fetched program's first bundle comes later than one that is there. Two more come in each cycle that
loads leave to L1's read port."""
LOOP_PENALTY = 1
"""Cycles that LOOP takes beyond its own."""


def function_interval(units: int) -> int:
    """Cycles from one function to the next with so many function units."""
    return LANES // units


def function(units: int) -> int:
    """Cycles from a function to the first bundle that may use its result."""
    return FUNCTION_PIPELINE + function_interval(units)
