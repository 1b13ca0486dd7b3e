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
from gemel_golden.registers import ID_VALUE, REGISTERS, VERSION

__all__ = ["GoldenChip"]

_BY_OFFSET = {register.offset: register.name for register in REGISTERS.values()}
MASK32 = (1 << 32) - 1


class GoldenChip:
    """The chip as host software sees it: `memory`, registers, and `run`.

    ``memory`` is a uint8 array of ``memory_bytes`` bytes, shared with the model: what the host writes, a program reads.
    """

    def __init__(self, chip: str | ChipConfig, memory_bytes: int):
        self.config = named_config(chip)
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.core = Core(self.config, self.memory)
        self._values = dict.fromkeys(REGISTERS, 0)
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
        name = _BY_OFFSET.get(offset)
        if name is None or REGISTERS[name].access == "wo":
            return 0
        match name:
            case "id":
                return ID_VALUE
            case "version":
                return VERSION
            case "array":
                return self.config.rows | self.config.cols << 8 | 1 << 16
            case "l1_bytes":
                return self.config.l1_bytes
            case "status":
                return self._status()
            case "flags":
                flags = self.core.flags
                return flags.invalid | flags.overflow << 1 | (flags.saturated > 0) << 2
            case "saturated":
                return self.core.flags.saturated & MASK32
            case "waiting":
                return sum(1 << unit for unit in self.core.waiting()) if self._running else 0
            case "load_pc" | "tensor_pc" | "store_pc" | "vector_pc":
                queue = self.core.queues[Unit[name.removesuffix("_pc").upper()]]
                return queue[0].pc if queue else self.core.pc
            case "vector_bundle":
                return self.core.vector.bundle
            case "sequencer_pc":
                return self.core.pc
            case "semaphore_value":
                return self.core.semaphores[self._values["semaphore_select"] % SEMAPHORES]
        return self._values[name]

    def _status(self) -> int:
        busy = self._values["ring_read"] != self._values["ring_write"]
        units = [bool(self.core.queues[u]) for u in (Unit.LOAD, Unit.TENSOR, Unit.STORE)]
        vector = bool(self.core.queues[Unit.VECTOR])
        bits = [busy, self._running, self._values["fault_code"] != 0, *units, self._waiting_packet, vector]
        return sum(bit << i for i, bit in enumerate(bits))

    def write_register(self, offset: int, value: int) -> None:
        """Write a 32-bit register; writes to read-only and unknown ones are ignored, as on the bus."""
        name = _BY_OFFSET.get(offset)
        if name is None:
            return
        access = REGISTERS[name].access
        if access == "w1c":
            self._values[name] &= ~value
        elif access == "rw":
            self._values[name] = value & MASK32
        elif name == "fault_clear":
            for part in ("fault_code", "fault_unit", "fault_pc", "fault_address_lo", "fault_address_hi"):
                self._values[part] = 0

    def run(self, max_cycles: int) -> bool:
        """Process the ring as far as it goes; the interrupt line. ``max_cycles`` is ignored: there is no clock."""
        while self._values["control"] & 1 and not self._values["fault_code"]:
            if not self._running and self._values["ring_read"] == self._values["ring_write"]:
                break
            try:
                done = self._packet()
            except Fault as fault:
                self._running = False
                self._record(fault)
                done = True
            if not done:
                break
            self._values["ring_read"] = (self._values["ring_read"] + 1) & MASK32
        return bool(self._values["irq_status"] & self._values["irq_enable"])

    def _packet(self) -> bool:
        """Do the packet at the ring's read index; ``False`` when it has to wait."""
        index = self._values["ring_read"]
        base = self._values["ring_base_lo"] | self._values["ring_base_hi"] << 32
        address = base + PACKET_BYTES * (index % max(1, self._values["ring_size"]))
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
                self._values["irq_status"] |= values["interrupt"]
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
        self._values["fault_code"] = int(fault.code)
        self._values["fault_unit"] = int(fault.unit)
        self._values["fault_pc"] = fault.pc
        self._values["fault_address_lo"] = fault.address & MASK32
        self._values["fault_address_hi"] = fault.address >> 32
        self._values["irq_status"] |= 2
