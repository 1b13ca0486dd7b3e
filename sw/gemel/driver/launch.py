"""A launch under way, and what a finished one tells."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gemel.driver import faults
from gemel.driver.program import Program
from gemel.driver.registers import Page

if TYPE_CHECKING:
    from gemel.driver.stream import Stream

TIMEOUT = 100_000_000
"""Cycles that a launch may take unless its caller says otherwise."""
COUNTERS = ("tensor_busy", "load_busy", "store_busy", "vector_busy", "saturated")
FLAGS = ("invalid", "overflow", "saturated")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished launch tells.

    `cycles` from the first fetched instruction to the drained core; `total_cycles` from the doorbell to the interrupt,
    launch and waits behind earlier launches included; `counters` and `flags` as the registers name them;
    `seconds` of the host. Of several cores `cycles` is the most, counters are sums. Where another launch may have used
    one of the cores before the host looked, counters and flags are empty and cycles 0; so are those of a copy, which
    has no core.
    """

    cycles: int
    total_cycles: int
    counters: Mapping[str, int]
    flags: frozenset[str]
    seconds: float


@dataclass(eq=False)
class Launch:
    """A launch under way on `cores` in `stream`, or a copy, which has no cores: `wait` for its result."""

    stream: Stream = field(repr=False)
    number: int
    name: str
    cores: tuple[int, ...]
    program: Program = field(repr=False)
    keeps: tuple[Any, ...] = field(repr=False)
    begun: tuple[int, float] = field(repr=False)
    copied: int = 0
    """Bytes of a copy."""
    result: Result | None = None
    fault: faults.DeviceFault | None = None
    overwritten: bool = field(default=False, repr=False)
    """Another launch may use its cores' counters before the host reads them."""
    reported: bool = field(default=False, repr=False)
    """Its fault has been raised."""

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.result is not None or self.fault is not None

    def wait(self, timeout_cycles: int = TIMEOUT) -> Result:
        """Run the chip until this launch has ended. Raises DeviceFault when the chip stopped it, DeviceTimeout when
        `timeout_cycles` weren't enough."""
        self.stream.device.run_until(self, timeout_cycles)
        self.raise_fault()
        assert self.result is not None
        return self.result

    def cancel(self, timeout_cycles: int = TIMEOUT) -> None:
        """End it on all its cores, once it has begun, unless it has ended by itself; `wait` then raises DeviceFault.

        A copy isn't interrupted: it always ends by itself, and this waits until it has.

        Raises DeviceTimeout when launches before it don't end.
        """
        self.stream.device.cancel(self, timeout_cycles)

    def raise_fault(self) -> None:
        """Raise the fault that stopped it, if one did."""
        if self.fault is not None:
            self.reported = True
            raise self.fault

    def finish(self, now: int, cores: list[Page]) -> Result:
        """The result at cycle `now`, with the pages of its cores."""
        cycles, seconds = self.begun
        total, seconds = now - cycles, time.monotonic() - seconds
        if self.overwritten or not cores:
            return Result(cycles=0, total_cycles=total, counters={}, flags=frozenset(), seconds=seconds)
        counters = {name: sum(core.read(name) for core in cores) for name in COUNTERS}
        bits = [core.read("flags") for core in cores]
        flags = frozenset(name for bit, name in enumerate(FLAGS) if any(word >> bit & 1 for word in bits))
        cycles = max(core.read("launch_cycles") for core in cores)
        return Result(cycles=cycles, total_cycles=total, counters=counters, flags=flags, seconds=seconds)
