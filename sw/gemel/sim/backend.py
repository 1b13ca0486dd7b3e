"""What the driver needs of a chip, simulated hardware and golden model alike."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import ChipConfig


class Backend(Protocol):
    """One chip with its memory. Registers are byte offsets of `gemel_golden.registers`."""

    config: ChipConfig
    timed: bool
    """Whether there is a clock."""

    @property
    def memory(self) -> NDArray[np.uint8]:
        """Device memory, to be read and written until the next call. Take it anew after that: what the chip has written
        meanwhile may come only with it."""
        ...

    @property
    def bandwidth(self) -> float:
        """Bytes a cycle that a memory port moves: each way, or, of DRAM, in all; 0 without a clock."""
        ...

    @property
    def cycles(self) -> int:
        """Clock cycles so far; 0 for ever without a clock."""
        ...

    def read_register(self, offset: int) -> int:
        """The 32-bit register at `offset`."""
        ...

    def write_register(self, offset: int, value: int) -> None:
        """Write the 32-bit register at `offset`."""
        ...

    def run(self, max_cycles: int) -> bool:
        """Go on until the interrupt line is high, `max_cycles` at most; whether it is high."""
        ...

    def events(self) -> list[tuple[int, int, int, int, int]]:
        """Instructions finished since the last call: unit + 16 * core, index, cycle in which it was queued, first
        cycle, cycle after the last."""
        ...

    def sample_every(self, interval: int) -> None:
        """Note the traffic of every memory port now and then every `interval` cycles; 0: no more."""
        ...

    def samples(self) -> list[tuple[int, int, int, int, int, int]]:
        """Traffic noted since the last call: cycle and port; since reset, bytes read and written and, of DRAM, rows
        opened and refreshes."""
        ...

    def reset(self) -> None:
        """Reset the chip; memory keeps its bytes."""
        ...

    def close(self) -> None:
        """Release what it holds; nothing may be called after."""
        ...


def create(name: str, config: ChipConfig, memory_bytes: int, **options: Any) -> Backend:
    """The back end called `name` ("rtl" or "golden"); golden has no clock and ignores options of timing."""
    if name == "golden":
        from gemel_golden.chip import GoldenChip

        return GoldenChip(config, memory_bytes)
    if name == "rtl":
        from gemel.sim.rtl_backend import RtlBackend

        return RtlBackend(config, memory_bytes, **options)
    raise ValueError(f"no back end {name!r}; there are rtl, golden")
