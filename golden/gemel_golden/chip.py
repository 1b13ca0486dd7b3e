"""The instruction-level model of a chip: registers, command rings and cores behind the interface of a simulated chip.

It executes the same rings, programs and registers as the hardware and gives the same memory, flags and faults, as long
as rings and cores meet only as they should: through WAIT and SIGNAL. It has no clock: counters of cycles and timestamps
read zero.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from gemel_golden.aperture import Space
from gemel_golden.config import ChipConfig
from gemel_golden.config import config as named_config
from gemel_golden.core import Core
from gemel_golden.dispatch import Dispatcher
from gemel_golden.isa import SEMAPHORES, Unit
from gemel_golden.registers import CHIP, CORE, ID_VALUE, VERSION, find
from gemel_golden.ring import Ring

__all__ = ["GoldenChip"]

MASK32 = (1 << 32) - 1
FAULTS = 16
"""Bit of irq_status at which the rings' faults begin."""


class GoldenChip:
    """The chip as host software sees it: `memory`, registers, and `run`.

    ``memory`` is a uint8 array of ``memory_bytes`` bytes, shared with the model: what the host writes, a program reads.
    """

    def __init__(self, chip: str | ChipConfig, memory_bytes: int):
        self.config = named_config(chip)
        self.timed = False
        self.bandwidth = 0.0
        self._space = Space.of(self.config, memory_bytes)
        self.memory: NDArray[np.uint8] = self._space.memory
        self.reset()

    def reset(self) -> None:
        """All state but memory as at the start."""
        self._space.bytes[len(self.memory) :] = 0
        self.cores = [Core(self.config, self._space, number) for number in range(self.config.cores)]
        self.dispatcher = Dispatcher(self.cores)
        self._chip = dict.fromkeys(CHIP.registers, 0)
        self._core = [dict.fromkeys(CORE.registers, 0) for _ in self.cores]
        self.rings = [
            Ring(self._space, self.dispatcher, partial(self._raise, number), partial(self._raise, FAULTS + number))
            for number in range(self.config.rings)
        ]

    @property
    def cycles(self) -> int:
        """Always 0: golden has no clock."""
        return 0

    def events(self) -> list[tuple[int, int, int, int, int]]:
        """Always empty: golden has no clock."""
        return []

    def sample_every(self, interval: int) -> None:
        """Nothing to note."""

    def samples(self) -> list[tuple[int, int, int, int, int, int]]:
        """Always empty."""
        return []

    def close(self) -> None:
        """Nothing to release."""

    def read_register(self, offset: int) -> int:
        """The 32-bit register at a byte offset; unknown offsets read 0, as on the bus."""
        found = find(offset)
        if found is None or found[2].access == "wo":
            return 0
        block, index, register = found
        if block.name == "chip":
            return self._chip_register(register.name)
        if block.name == "ring":
            return self.rings[index].read(register.name) if index < len(self.rings) else 0
        if block.name == "channel":
            return 0  # golden's memory has neither rows nor errors
        return self._core_register(index, register.name) if index < len(self.cores) else 0

    def _chip_register(self, name: str) -> int:
        constants = {
            "id": ID_VALUE,
            "version": VERSION,
            "array": self.config.rows | self.config.cols << 8,
            "l1_bytes": self.config.l1_bytes,
            "cores": self.config.cores,
            "rings": self.config.rings,
        }
        return constants.get(name, self._chip[name])

    def _core_register(self, index: int, name: str) -> int:
        core, running = self.cores[index], self.dispatcher.running(index)
        match name:
            case "busy":
                return running << Unit.SEQUENCER | sum(1 << unit for unit, queue in core.queues.items() if queue)
            case "flags":
                return core.flags.invalid | core.flags.overflow << 1 | (core.flags.saturated > 0) << 2
            case "saturated":
                return core.flags.saturated & MASK32
            case "waiting":
                return sum(1 << unit for unit in core.waiting()) if running else 0
            case "load_pc" | "tensor_pc" | "store_pc" | "vector_pc":
                queue = core.queues[Unit[name.removesuffix("_pc").upper()]]
                return queue[0].pc if queue else core.pc
            case "vector_bundle":
                return core.vector.bundle
            case "sequencer_pc":
                return core.pc
            case "semaphore_value":
                return core.semaphores[self._core[index]["semaphore_select"] % SEMAPHORES]
        return self._core[index][name]

    def write_register(self, offset: int, value: int) -> None:
        """Write a 32-bit register; writes to read-only and unknown ones are ignored, as on the bus."""
        found = find(offset)
        if found is None:
            return
        block, index, register = found
        pages = {"chip": [self._chip], "ring": [ring.values for ring in self.rings], "core": self._core}[block.name]
        if index >= len(pages):
            return
        if register.access == "w1c":
            pages[index][register.name] &= ~value
        elif register.access == "rw":
            pages[index][register.name] = value & MASK32
        elif register.name == "fault_clear" and value & 1:
            self.rings[index].clear()
        elif register.name == "core_reset":
            for ring in self.rings:
                ring.reset(value)

    def run(self, max_cycles: int) -> bool:
        """Process the rings as far as they go; the interrupt line. ``max_cycles`` is ignored: there is no clock."""
        moved = True
        while moved:
            moved = False
            for ring in self.rings:
                moved |= ring.advance()
        return bool(self._chip["irq_status"] & self._chip["irq_enable"])

    def _raise(self, bit: int) -> None:
        self._chip["irq_status"] |= 1 << bit
