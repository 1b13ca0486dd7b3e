"""The instruction-level model of a chip: registers, command ring and core behind the interface of a simulated chip.

It executes the same rings, programs and registers as the hardware and gives the same memory, flags and faults.
It has no clock: counters of cycles read zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import ChipConfig
from gemel_golden.config import config as named_config
from gemel_golden.core import Core
from gemel_golden.faults import Fault
from gemel_golden.isa import SEMAPHORES, FaultCode, Unit
from gemel_golden.packets import PACKET_BYTES, PacketType, decode_packet
from gemel_golden.registers import BLOCKS, ID_VALUE, VERSION, find

__all__ = ["GoldenChip"]

MASK32 = (1 << 32) - 1


class GoldenChip:
    """The chip as host software sees it: `memory`, registers, and `run`.

    ``memory`` is a uint8 array of ``memory_bytes`` bytes, shared with the model: what the host writes, a program reads.
    """

    def __init__(self, chip: str | ChipConfig, memory_bytes: int):
        self.config = named_config(chip)
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.core = Core(self.config, self.memory)
        self._values = {name: dict.fromkeys(block.registers, 0) for name, block in BLOCKS.items()}
        self._running = False
        self._waiting_packet = False

    @property
    def cycles(self) -> int:
        """Always 0: golden has no clock."""
        return 0

    def events(self) -> list[tuple[int, int, int, int]]:
        """Always empty: golden has no clock."""
        return []

    def close(self) -> None:
        """Nothing to release."""

    def read_register(self, offset: int) -> int:
        """The 32-bit register at a byte offset; unknown offsets read 0, as on the bus."""
        found = find(offset)
        if found is None or found[1] or found[2].access == "wo":
            return 0
        block, _, register = found
        shown = {"chip": self._chip_register, "ring": self._ring_register, "core": self._core_register}
        return shown[block.name](register.name)

    def _chip_register(self, name: str) -> int:
        constants = {
            "id": ID_VALUE,
            "version": VERSION,
            "array": self.config.rows | self.config.cols << 8,
            "l1_bytes": self.config.l1_bytes,
            "cores": 1,
            "rings": 1,
        }
        return constants.get(name, self._values["chip"][name])

    def _ring_register(self, name: str) -> int:
        ring = self._values["ring"]
        if name != "status":
            return ring[name]
        busy = ring["read"] != ring["write"]
        return busy | self._running << 1 | (ring["fault_code"] != 0) << 2 | self._waiting_packet << 3

    def _core_register(self, name: str) -> int:
        core = self.core
        match name:
            case "busy":
                return self._running << Unit.SEQUENCER | sum(1 << unit for unit, queue in core.queues.items() if queue)
            case "flags":
                return core.flags.invalid | core.flags.overflow << 1 | (core.flags.saturated > 0) << 2
            case "saturated":
                return core.flags.saturated & MASK32
            case "waiting":
                return sum(1 << unit for unit in core.waiting()) if self._running else 0
            case "load_pc" | "tensor_pc" | "store_pc" | "vector_pc":
                queue = core.queues[Unit[name.removesuffix("_pc").upper()]]
                return queue[0].pc if queue else core.pc
            case "vector_bundle":
                return core.vector.bundle
            case "sequencer_pc":
                return core.pc
            case "semaphore_value":
                return core.semaphores[self._values["core"]["semaphore_select"] % SEMAPHORES]
        return self._values["core"][name]

    def write_register(self, offset: int, value: int) -> None:
        """Write a 32-bit register; writes to read-only and unknown ones are ignored, as on the bus."""
        found = find(offset)
        if found is None or found[1]:
            return
        values, register = self._values[found[0].name], found[2]
        if register.access == "w1c":
            values[register.name] &= ~value
        elif register.access == "rw":
            values[register.name] = value & MASK32
        elif register.name == "fault_clear":
            for part in ("fault_code", "fault_unit", "fault_pc", "fault_address_lo", "fault_address_hi"):
                values[part] = 0

    def run(self, max_cycles: int) -> bool:
        """Process the ring as far as it goes; the interrupt line. ``max_cycles`` is ignored: there is no clock."""
        ring = self._values["ring"]
        while ring["control"] & 1 and not ring["fault_code"]:
            if not self._running and ring["read"] == ring["write"]:
                break
            try:
                done = self._packet()
            except Fault as fault:
                self._running = False
                self._record(fault)
                done = True
            if not done:
                break
            ring["read"] = (ring["read"] + 1) & MASK32
        chip = self._values["chip"]
        return bool(chip["irq_status"] & chip["irq_enable"])

    def _packet(self) -> bool:
        """Do the packet at the ring's read index; ``False`` when it has to wait."""
        ring = self._values["ring"]
        index = ring["read"]
        base = ring["base_lo"] | ring["base_hi"] << 32
        address = base + PACKET_BYTES * (index % max(1, ring["size"]))
        raw = self._word(address, PACKET_BYTES, index)
        try:
            kind, values = decode_packet(raw)
        except ValueError:
            raise Fault(FaultCode.ILLEGAL_PACKET, Unit.COMMAND, 0, index) from None
        match kind:
            case PacketType.LAUNCH:
                return self._launch(values, index)
            case PacketType.WAIT:
                word = int.from_bytes(self._word(values["address"], 8, index), "little")
                self._waiting_packet = word < values["value"]
                return not self._waiting_packet
            case PacketType.SIGNAL:
                self._write_word(values["address"], values["value"], index)
                if values["timestamp"]:
                    self._write_word(values["address"] + 8, self.cycles, index)
                self._values["chip"]["irq_status"] |= values["interrupt"]
        return True

    def _launch(self, values: dict[str, int], index: int) -> bool:
        if not self._running:
            count = values["arguments"]
            block = self._word(values["argument_block"], 8 * count, index) if count else b""
            arguments = [int(word) for word in np.frombuffer(block, "<u8")]
            self.core.launch(values["program"], values["length"], arguments)
            self._running = True
        self._running = not self.core.run()
        return not self._running

    def _word(self, address: int, size: int, index: int) -> bytes:
        if address + size > len(self.memory):
            raise Fault(FaultCode.MEMORY_READ, Unit.COMMAND, address, index)
        return self.memory[address : address + size].tobytes()

    def _write_word(self, address: int, value: int, index: int) -> None:
        if address + 8 > len(self.memory):
            raise Fault(FaultCode.MEMORY_WRITE, Unit.COMMAND, address, index)
        self.memory[address : address + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)

    def _record(self, fault: Fault) -> None:
        self._values["ring"] |= {
            "fault_code": int(fault.code),
            "fault_unit": int(fault.unit),
            "fault_pc": fault.pc,
            "fault_address_lo": fault.address & MASK32,
            "fault_address_hi": fault.address >> 32,
        }
        self._values["chip"]["irq_status"] |= 1 << 16
