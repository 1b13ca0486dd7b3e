"""The Verilated hardware as a back end of the driver."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.sim.build import library
from gemel.sim.library import Chip, MemoryOptions
from gemel.sim.progress import RunProgress
from gemel_golden.config import WORD, ChipConfig
from gemel_golden.memory.timing import dram

SLICE_SECONDS = 0.1
"""Host seconds between two looks at the keyboard and the progress bar."""


class RtlBackend:
    """One simulated chip, built if need be.

    Parameters: `config`, `memory_bytes` (a multiple of 4096), `profile` of the build (default: fast-build for chips of
    up to 4 dot units, fast-run otherwise), `waves` = (path, first cycle, cycle after the last) for a VCD file,
    `upsets` for a build whose stored bits can be flipped, and those of `gemel.sim.library.MemoryOptions`.
    """

    def __init__(
        self,
        config: ChipConfig,
        memory_bytes: int,
        *,
        profile: str | None = None,
        waves: tuple[str | Path, int, int] | None = None,
        upsets: bool = False,
        **memory_options: Any,
    ):
        self.config = config
        self.timed = True
        options = MemoryOptions(**memory_options)
        self._bandwidth = float(options.bandwidth)
        profile = profile or ("fast-build" if config.rows * config.cols <= 4 else "fast-run")
        path = library(config, profile=profile, waves=waves is not None, upsets=upsets)
        self._chip = Chip(path, memory_bytes, options)
        if waves is not None:
            self._chip.waves(*waves)

    @property
    def memory(self) -> NDArray[np.uint8]:
        """All of device memory, with all writes that the chip has answered by now: behind DRAM controllers, which
        answer before they write, the clock runs until then. Empty once the chip is closed."""
        if len(self._chip.memory):
            self._chip.settle()
        return self._chip.memory

    @property
    def bandwidth(self) -> float:
        """Bytes a cycle that a memory port moves: each way, or, of DRAM, in all."""
        if self.config.memory == "ideal":
            return min(self._bandwidth, WORD)
        memory = dram(self.config.memory)
        return memory.access_bytes / memory.clocks.burst

    @property
    def cycles(self) -> int:
        """Clock cycles since the first reset."""
        return self._chip.cycles

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes moved over the memory port since the last reset: read, written."""
        return self._chip.traffic

    def states(self) -> list[tuple[str, int, int]]:
        """What can be flipped: name, bits of an entry, entries (`gemel.sim.library.Chip.states`)."""
        return self._chip.states()

    def save(self) -> int:
        """Remember chip, device memory, bus and clock between two cycles, in a build with upsets; a number."""
        return self._chip.save()

    def restore(self, number: int) -> None:
        """Everything as it was when `save` gave this number."""
        self._chip.restore(number)

    def upset(self, state: int, entry: int, bit: int) -> None:
        """Turn over bit `bit` of entry `entry` of the state with this number."""
        self._chip.upset(state, entry, bit)

    def flip_read(self, port: int, bit: int) -> None:
        """Turn over a bit of the next beat, or of DRAM's next access, that comes from memory at this port."""
        self._chip.flip_read(port, bit)

    def configure(self, **memory_options: Any) -> None:
        """Another latency, bandwidth, stalls, order or seed of the memory from now on (`MemoryOptions`)."""
        options = MemoryOptions(**memory_options)
        self._bandwidth = float(options.bandwidth)
        self._chip.configure(options)

    def flip(self, address: int, data: int = 0, check: int = 0) -> None:
        """Flip stored bits of the 64-bit word at `address` in DRAM: of its data, of its check bits."""
        self._chip.flip(address, data, check)

    def read_register(self, offset: int) -> int:
        """The 32-bit register at `offset`; the clock runs meanwhile."""
        return self._chip.read_register(offset)

    def write_register(self, offset: int, value: int) -> None:
        """Write the 32-bit register at `offset`; the clock runs meanwhile."""
        self._chip.write_register(offset, value)

    def run(self, max_cycles: int) -> bool:
        """Run until the interrupt line is high, `max_cycles` at most; whether it is high."""
        progress = RunProgress(f"running on the {self.config.name} chip")
        try:
            end = self.cycles + max_cycles
            part = 1000
            while True:
                begun = time.monotonic()
                if self._chip.run(min(part, end - self.cycles)):
                    return True
                if self.cycles >= end:
                    return False
                seconds = time.monotonic() - begun
                part = max(1000, min(4 * part, int(part * SLICE_SECONDS / max(seconds, 1e-6))))
                progress.update(self.cycles)
        finally:
            progress.stop()

    def events(self) -> list[tuple[int, int, int, int, int]]:
        """Instructions finished since the last call: unit + 16 * core, index, cycle in which it was queued, first
        cycle, cycle after the last."""
        return self._chip.events().tolist()

    def sample_every(self, interval: int) -> None:
        """Note the traffic of every memory port now and then every `interval` cycles; 0: no more."""
        self._chip.sample_every(interval)

    def samples(self) -> list[tuple[int, int, int, int, int, int]]:
        """Traffic noted since the last call: cycle and port; since reset, bytes read and written and, of DRAM, rows
        opened and refreshes."""
        return self._chip.samples().tolist()

    def reset(self) -> None:
        """Reset the chip; memory keeps its bytes."""
        self._chip.reset()

    def close(self) -> None:
        """Free the chip; its memory is gone then."""
        self._chip.close()
