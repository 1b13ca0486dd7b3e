"""What keeps a stream's launches within their own memory and time: address windows and the watchdog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gemel.driver.buffer import Buffer
from gemel.driver.memory import Allocator
from gemel_golden.windows import OPEN, PAGE, WINDOWS, Window, Windows

if TYPE_CHECKING:
    from gemel.driver.device import Device
    from gemel.driver.ring import Ring

__all__ = ["ARENA_BYTES", "OWN", "Protection", "Window", "apply"]

ARENA_BYTES = 64 << 10
"""Memory for a protected stream's programs and events."""
OWN = 2
"""Windows that the driver needs of a ring's: the ring's packets, and the arena."""


class Protection:
    """Windows of a stream, beside the driver's own two, and its launches' cycles.

    Raises ValueError for more windows than a ring has, or for addresses within a page.
    """

    def __init__(self, device: Device, windows: Sequence[Window], watchdog: int):
        if len(windows) > WINDOWS - OWN:
            raise ValueError(f"a stream has {WINDOWS - OWN} windows, not {len(windows)}")
        if not 0 <= watchdog < 1 << 32:
            raise ValueError(f"a watchdog lies in 0..{(1 << 32) - 1} cycles, not {watchdog}")
        self.windows = tuple(windows)
        self.watchdog = watchdog
        self._arena = device.alloc(ARENA_BYTES, align=PAGE) if windows else None
        if self._arena is not None:
            self._allocator = Allocator(self._arena.address, self._arena.address + ARENA_BYTES)
        self.registers(0, 0)

    def alloc(self, device: Device, nbytes: int, align: int) -> Buffer:
        """Memory that the stream's ring and programs may use."""
        if self._arena is None:
            return device.alloc(nbytes, align)
        return Buffer(device.backend, self._allocator, nbytes, align)

    def registers(self, ring_base: int, ring_bytes: int) -> dict[str, int]:
        """The values of the ring's registers."""
        if self._arena is None:
            return OPEN.registers() | {"watchdog": self.watchdog}
        start = self._arena.address
        own = (
            Window(base=ring_base, limit=ring_base + ring_bytes, read=True, write=True),
            Window(base=start, limit=start + ARENA_BYTES, read=True, write=True),
        )
        return Windows((*own, *self.windows), enforced=True).registers() | {"watchdog": self.watchdog}


def apply(ring: Ring, protection: Protection | None) -> None:
    """Write the windows and the watchdog of a ring's stream; without any, everything is allowed."""
    values = OPEN.registers() | {"watchdog": 0} if protection is None else protection.registers(ring.base, ring.size)
    for name, value in values.items():
        ring.page.write(name, value)
