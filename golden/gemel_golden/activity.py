"""What a unit does in a cycle: the classes that split a launch's cycles, for each unit of a core."""

from enum import IntEnum

from gemel_golden.isa import Unit

__all__ = ["CLASSES", "UNITS", "Activity"]


class Activity(IntEnum):
    """A unit's class in one cycle; where several hold, the first that is listed under `Activity.order`."""

    INSTRUCTION = 0
    """it has no instruction"""
    BUSY = 1
    """it works: the sequencer on an instruction, LOAD and STORE on a beat, the dot units on a block, the vector core
    on a bundle"""
    SEMAPHORE = 2
    """its next instruction waits for semaphores"""
    L1 = 3
    """L1 refuses an access, or what was read from L1 isn't there yet"""
    MEMORY = 4
    """memory has not taken or not given something yet"""
    DEPENDENCE = 5
    """its own earlier work is in the way: results that aren't ready, accumulators that drain, signals to give; for the
    sequencer full queues, and units that a FENCE or HALT waits for"""

    @staticmethod
    def order() -> "tuple[Activity, ...]":
        """The classes in the order in which they are looked for; INSTRUCTION is what is left."""
        return (Activity.BUSY, Activity.L1, Activity.MEMORY, Activity.SEMAPHORE, Activity.DEPENDENCE)


UNITS = (Unit.SEQUENCER, Unit.LOAD, Unit.TENSOR, Unit.STORE, Unit.VECTOR)
"""The units of a core."""

CLASSES = 8
"""Places for classes in the numbering of counters."""
