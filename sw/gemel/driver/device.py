"""A chip in use: memory, launches and what came of them, the same on simulated hardware and on the golden model."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.driver import faults
from gemel.driver.buffer import Buffer
from gemel.driver.memory import Allocator
from gemel.driver.program import Program
from gemel.driver.registers import Page
from gemel.driver.ring import LAUNCHES, RESERVED, Ring
from gemel.sim import backend as backends
from gemel_golden.config import ChipConfig, config
from gemel_golden.isa import INSTRUCTION_BYTES, Unit
from gemel_golden.registers import BLOCKS, CHIP, CORE

TIMEOUT = 100_000_000
"""Cycles that a launch may take unless its caller says otherwise."""
RING_ADDRESS = 4096
"""The first page stays unused: address 0 belongs to no buffer."""
FAULTS = 0xFFFF_0000
"""Bits of irq_status that a fault sets."""
INTERRUPTS = 0xFFFF_FFFF
"""Bits of irq_status that interrupt."""
COUNTERS = ("tensor_busy", "load_busy", "store_busy", "vector_busy", "saturated")
FLAGS = ("invalid", "overflow", "saturated")


@dataclass(frozen=True)
class Event:
    """One instruction in one unit, from its first cycle to the cycle after its last."""

    unit: Unit
    pc: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a finished launch tells.

    `cycles` from the first fetched instruction to the drained core; `total_cycles` from the doorbell to the interrupt,
    launch and waits behind earlier launches included; `counters` and `flags` as the registers name them;
    `seconds` of the host. Where another launch followed before the host looked, counters and flags are empty and
    cycles 0.
    """

    cycles: int
    total_cycles: int
    counters: Mapping[str, int]
    flags: frozenset[str]
    seconds: float


@dataclass(eq=False)
class Launch:
    """A launch under way: `wait` for its result."""

    device: Device = field(repr=False)
    number: int
    program: Program = field(repr=False)
    keeps: tuple[Any, ...] = field(repr=False)
    begun: tuple[int, float] = field(repr=False)
    result: Result | None = None
    fault: faults.DeviceFault | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.result is not None or self.fault is not None

    def wait(self, timeout_cycles: int = TIMEOUT) -> Result:
        """Run the chip until this launch has ended. Raises DeviceFault when the chip stopped it, DeviceTimeout when
        `timeout_cycles` weren't enough."""
        self.device.run_until(self, timeout_cycles)
        if self.fault is not None:
            raise self.fault
        assert self.result is not None
        return self.result


class Device:
    """One chip. Made by `gemel.open`; a context manager."""

    def __init__(self, chip: ChipConfig, backend: backends.Backend):
        self.config = chip
        self.backend = backend
        self.last: Result | None = None
        """Result of the launch that ended last."""
        self._allocator = Allocator(RING_ADDRESS + RESERVED, len(backend.memory))
        self._start()

    def _start(self) -> None:
        self._chip, self._core = Page(self.backend, CHIP), Page(self.backend, CORE)
        self._chip.write("irq_enable", INTERRUPTS)
        self._ring = Ring(self.backend, RING_ADDRESS)
        self._under_way: deque[Launch] = deque()
        self._fault: faults.DeviceFault | None = None

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Device({self.config.name}, {type(self.backend).__name__})"

    @property
    def memory(self) -> NDArray[np.uint8]:
        """All of device memory; byte i is address i."""
        return self.backend.memory

    @property
    def free_bytes(self) -> int:
        """Device memory not allocated."""
        return self._allocator.free_bytes

    def alloc(self, nbytes: int, align: int = 64) -> Buffer:
        """`nbytes` of device memory at a multiple of `align`. Raises OutOfDeviceMemory with the numbers."""
        return Buffer(self.backend.memory, self._allocator, nbytes, align)

    def upload(self, data: Any, align: int = 64) -> Buffer:
        """A new buffer that holds an array's or bytes' content."""
        size = len(data) if isinstance(data, bytes | bytearray) else data.nbytes
        buffer = self.alloc(size, align)
        buffer.write(data)
        return buffer

    def launch(self, program: Program | bytes, arguments: Sequence[int | Buffer] = ()) -> Launch:
        """Queue `program`; its arguments fill address registers 1, 2, ... (a buffer stands for its address).

        Returns at once: the chip runs while somebody waits. Raises ValueError for an empty program or too many
        arguments.
        """
        program = Program(program if isinstance(program, bytes) else program.bytes)
        if not len(program):
            raise ValueError("a program needs at least one instruction")
        if len(self._under_way) == LAUNCHES:
            self.run_until(self._under_way[0], TIMEOUT)
        code = self.upload(program.bytes, align=INSTRUCTION_BYTES)
        begun = (self.backend.cycles, time.monotonic())
        number = self._ring.submit(code.address, len(program), [int(argument) for argument in arguments])
        launch = Launch(self, number, program, (code, *arguments), begun)
        self._under_way.append(launch)
        return launch

    def run(
        self, program: Program | bytes, arguments: Sequence[int | Buffer] = (), timeout_cycles: int = TIMEOUT
    ) -> Result:
        """Launch and wait."""
        return self.launch(program, arguments).wait(timeout_cycles)

    def run_until(self, launch: Launch, timeout_cycles: int) -> None:
        """Run the chip until `launch` has ended; DeviceTimeout when that takes more than `timeout_cycles`."""
        end = self.backend.cycles + timeout_cycles
        while not launch.done:
            if not self.backend.run(max(0, end - self.backend.cycles)):
                program = self._under_way[0].program if self._under_way else None
                stall = faults.describe_stall(self._ring.page, self._core, program)
                raise faults.DeviceTimeout(
                    f"launch {launch.number} hasn't ended after {timeout_cycles:,} cycles: {stall}"
                )
            self._interrupt()

    def _interrupt(self) -> None:
        now = self.backend.cycles
        causes = self._chip.read("irq_status")
        self._chip.write("irq_status", causes)
        if causes & FAULTS:
            program = self._under_way[0].program if self._under_way else None
            self._fault = faults.read_fault(self._ring.page, self._core, program)
            self._ring.page.write("fault_clear", 1)
        while self._under_way and self._under_way[0].number <= self._ring.done:
            launch = self._under_way.popleft()
            if self._fault is not None:
                launch.fault, self._fault = self._fault, None
            else:
                launch.result = self.last = self._result(launch, now)
            launch.keeps = ()

    def _result(self, launch: Launch, now: int) -> Result:
        cycles, seconds = launch.begun
        total, seconds = now - cycles, time.monotonic() - seconds
        if launch.number != self._ring.submitted:
            return Result(cycles=0, total_cycles=total, counters={}, flags=frozenset(), seconds=seconds)
        counters = {name: self._core.read(name) for name in COUNTERS}
        bits = self._core.read("flags")
        flags = frozenset(name for bit, name in enumerate(FLAGS) if bits >> bit & 1)
        cycles = self._core.read("launch_cycles")
        return Result(cycles=cycles, total_cycles=total, counters=counters, flags=flags, seconds=seconds)

    def events(self) -> list[Event]:
        """Instructions that ended since the last call, in the order of their ends; empty on golden."""
        return [Event(Unit(unit), pc, start, stop) for unit, pc, start, stop in self.backend.events()]

    def read_register(self, block: str, name: str, index: int = 0) -> int:
        """A 32-bit register of the chip, of ring `index` or of core `index`, by `gemel_golden.registers`."""
        if block not in BLOCKS:
            raise ValueError(f"no registers of a {block!r}; there are {', '.join(BLOCKS)}")
        return Page(self.backend, BLOCKS[block], index).read(name)

    def semaphore(self, index: int) -> int:
        """The count of a semaphore now."""
        return faults.semaphore(self._core, index)

    def reset(self) -> None:
        """Reset the chip after a launch that will never end: launches under way are lost, memory stays."""
        self.backend.reset()
        self._start()

    def close(self) -> None:
        """Release the chip and its memory."""
        self.backend.close()


def open(
    chip: str | ChipConfig = "inference",
    backend: str = "rtl",
    *,
    memory_bytes: int = 256 << 20,
    overrides: Mapping[str, int] | None = None,
    **options: Any,
) -> Device:
    """A chip to work with.

    Parameters: `chip`, a named configuration, with single sizes changed by `overrides`; `backend`, "rtl" (the hardware,
    simulated by Verilator, built at the first use) or "golden" (the model); `memory_bytes`, a multiple of 4096. For rtl
    also `latency`, `bandwidth`, `stalls`, `reorder`, `seed` (see `gemel.sim.library.MemoryOptions`), `profile` of the
    build, and `waves` = (path, first cycle, cycle after the last) for a VCD file. Raises ValueError naming what
    doesn't exist.
    """
    if memory_bytes % 4096 or memory_bytes < RING_ADDRESS + RESERVED + 4096:
        raise ValueError(f"device memory is a multiple of 4096 bytes and holds the ring, not {memory_bytes}")
    sizes = config(chip).override(**overrides or {})
    return Device(sizes, backends.create(backend, sizes, memory_bytes, **options))
