"""The exception that stands for a launch stopped by a fault."""

from gemel_golden.isa import FaultCode, Unit

__all__ = ["Fault"]


class Fault(Exception):
    """A fault's record. Raised by the golden units, which leave ``pc`` (the instruction's index) and ``core`` to their
    callers.

    ``address`` is a byte address of L1 (L1_ADDRESS) or of memory (MEMORY_READ, MEMORY_WRITE, FETCH), and 0 otherwise.
    """

    def __init__(self, code: FaultCode, unit: Unit, address: int = 0, pc: int = 0):
        super().__init__(code, unit, address, pc)
        self.code = code
        self.unit = unit
        self.address = address
        self.pc = pc
        self.core: int | None = None

    def __str__(self) -> str:
        return f"{self.code.name} in {self.unit.name} at instruction {self.pc}, address {self.address:#x}"
