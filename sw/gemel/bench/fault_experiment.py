"""One kernel on one chip, run again and again from snapshots, with something turned over on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gemel.bench.fault_kernel import BYTES, IN, OUT, Y_BYTES, Kernel
from gemel.driver.device import FAULTS, RING_ADDRESS, Device
from gemel.driver.registers import Page
from gemel.driver.ring import PACKETS_PER_LAUNCH, Ring
from gemel.sim.library import SimulationError
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.core import Core
from gemel_golden.packets import PACKET_BYTES
from gemel_golden.registers import CHANNEL, CHIP, CORE

__all__ = ["Experiment"]

STEP = 32
"""Cycles from one snapshot to the next: a run begins at the last before its flip."""
PATIENCE = 4
"""Times the cycles of a run without a flip, after which a launch counts as one that doesn't end."""
LIMIT = 100_000


class Experiment:
    """A chip with a kernel, snapshots of a run without a flip, and what memory holds after it.

    Raises AssertionError when that run gives other bytes than golden.

    `cycles` of it, from doorbell to interrupt; `used`: first byte and bytes of what it has in memory: packets, code,
    inputs, results.
    """

    def __init__(self, device: Device, backend: RtlBackend, work: Kernel):
        self.device, self.backend = device, backend
        device.reset()
        self._chip, self._core = Page(backend, CHIP), Page(backend, CORE, 0)
        self._channels = [Page(backend, CHANNEL, channel) for channel in range(device.config.drams)]
        self._ring = Ring(backend, 0, RING_ADDRESS, device.config.cores)
        buffer, code = device.alloc(BYTES), device.upload(work.program.bytes)
        self._buffers = (buffer, code)
        at = buffer.address
        device.memory[at + IN : at + OUT] = work.inputs
        device.memory[at + OUT : at + BYTES] = 0
        self._number = self._ring.launch(code.address, len(work.program), 1, [[at]])
        self.used = (
            (self._ring.base, PACKETS_PER_LAUNCH * PACKET_BYTES),
            (code.address, len(work.program.bytes)),
            (at + IN, work.used),
            (at + OUT, Y_BYTES),
        )
        self._snapshots = [backend.save()]
        begun = backend.cycles
        while not backend.run(STEP):
            self._snapshots.append(backend.save())
            if backend.cycles - begun > LIMIT:
                raise AssertionError(f"the kernel hasn't ended after {LIMIT} cycles")
        self.cycles = STEP * (len(self._snapshots) - 1) + 1
        if not self._ends():
            raise AssertionError("the kernel ends with a fault")
        self._after = device.memory.copy()
        if not np.array_equal(self._after[at + OUT : at + BYTES], _golden(device, work)):
            raise AssertionError("the chip without a flip gives other bytes than golden")

    def run(self, flip: Callable[[], object], cycle: int) -> str:
        """One run with a flip before `cycle`; its outcome."""
        self.backend.restore(self._snapshots[cycle // STEP])
        try:
            self.backend.run(cycle % STEP)
            flip()
            if not self._ends():
                return "reported"
        except SimulationError:
            return "broken"
        stamp = self._ring.timeline + 8  # the clock of the launch's end, which corrections may delay
        self.device.memory[stamp : stamp + 8] = self._after[stamp : stamp + 8]
        if not np.array_equal(self.device.memory, self._after):
            return "silent"
        corrected = self._core.read("ecc_corrected") or any(page.read("corrected") for page in self._channels)
        return "corrected" if corrected else "masked"

    def close(self) -> None:
        """Leave the device without a trace of what was flipped."""
        self.backend.restore(self._snapshots[0])
        self.device.reset()

    def _ends(self) -> bool:
        """Whether the launch ends without a fault."""
        end = self.backend.cycles + PATIENCE * len(self._snapshots) * STEP
        while self.backend.run(max(0, end - self.backend.cycles)):
            causes = self._chip.read("irq_status")
            if causes >> FAULTS:
                return False
            self._chip.write("irq_status", causes)
            if self._ring.done >= self._number:
                return True
        return False


def _golden(device: Device, work: Kernel) -> np.ndarray:
    memory = np.zeros(1 << 16, np.uint8)
    code = np.frombuffer(work.program.bytes, np.uint8)
    memory[: len(work.inputs)] = work.inputs
    memory[BYTES : BYTES + len(code)] = code
    core = Core(device.config, memory)
    core.launch(BYTES, len(work.program), [IN])
    if not core.run():
        raise AssertionError("the kernel doesn't end on golden")
    return memory[OUT:BYTES]
