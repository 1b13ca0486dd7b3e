"""The copy engine: bytes from memory to memory, or through the aperture to and from L1."""

from __future__ import annotations

from gemel_golden.aperture import Space
from gemel_golden.config import WORD
from gemel_golden.dma.rows import first_burst_outside, piece
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.windows import Windows

__all__ = ["copy"]


def copy(space: Space, windows: Windows, source: int, target: int, count: int) -> None:
    """Copy `count` bytes; what a fault leaves of the target is undefined, except that windows are looked at first.

    The ranges may not overlap. Raises Fault PROTECTION, MEMORY_READ or MEMORY_WRITE with the address of the first beat
    at fault; where both ends are at fault, PROTECTION and the source go first.
    """
    if not count:
        return
    ends = (("read", source, FaultCode.MEMORY_READ), ("write", target, FaultCode.MEMORY_WRITE))
    for right, address, _ in ends:
        limit = windows.limit(address, right) if windows.enforced else address + count
        if limit < address + count:
            raise Fault(FaultCode.PROTECTION, Unit.COMMAND, max(address, limit) & -WORD)
    for _, address, code in ends:
        beat = first_burst_outside(address, count, space)
        if beat is not None:
            raise Fault(code, Unit.COMMAND, beat)
    piece(space, target, count)[:] = piece(space, source, count).copy()
