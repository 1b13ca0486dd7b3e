"""One command ring: its registers, and what its packets do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gemel_golden.aperture import Space
from gemel_golden.copier import copy
from gemel_golden.dispatch import Dispatcher, Launch
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.packets import PACKET_BYTES, PacketType, decode_packet
from gemel_golden.registers import RING
from gemel_golden.windows import Windows

__all__ = ["Ring"]

MASK32 = (1 << 32) - 1
RECORD = ("fault_code", "fault_unit", "fault_core", "fault_pc", "fault_address_lo", "fault_address_hi")


class Ring:
    """Executes its packets in order.

    Parameters: `space` (memory with what else COPY reaches) and `dispatcher` of the chip; `interrupt`,
    `faulted`: called when irq_status is to be set.
    """

    def __init__(
        self,
        space: Space,
        dispatcher: Dispatcher,
        interrupt: Callable[[], None],
        faulted: Callable[[], None],
    ):
        self.space = space
        self.memory = space.memory
        self.dispatcher = dispatcher
        self.values = dict.fromkeys(RING.registers, 0)
        self._interrupt, self._faulted = interrupt, faulted
        self._launch: Launch | None = None
        self._waiting = self._queued = False

    def read(self, name: str) -> int:
        """A register of the ring's page."""
        if name != "status":
            return self.values[name]
        busy = self.values["read"] != self.values["write"]
        bits = (busy, self._launch is not None, self.values["fault_code"] != 0, self._waiting, self._queued)
        return sum(bit << i for i, bit in enumerate(bits))

    def clear(self) -> None:
        """Clear the fault's record; the ring goes on."""
        self.values |= dict.fromkeys(RECORD, 0)

    def reset(self, cores: int) -> None:
        """Cancel the launch under way if it runs on one of the cores of a mask."""
        if self._launch is not None and any(cores >> number & 1 for number in self._launch.numbers):
            self._stop(Fault(FaultCode.CANCELLED, Unit.COMMAND, 0, self.values["read"]))

    def advance(self) -> bool:
        """Do the next packet as far as it goes; whether anything has happened."""
        enabled = self.values["control"] & 1 and not self.values["fault_code"]
        if not enabled or (self._launch is None and self.values["read"] == self.values["write"]):
            return False
        try:
            return self._packet()
        except Fault as fault:
            self._stop(fault)
            return True

    def _stop(self, fault: Fault) -> None:
        self.values |= {
            "fault_code": int(fault.code),
            "fault_unit": int(fault.unit),
            "fault_core": fault.core or 0,
            "fault_pc": fault.pc,
            "fault_address_lo": fault.address & MASK32,
            "fault_address_hi": fault.address >> 32,
        }
        self._finish()
        self._faulted()

    def _finish(self) -> bool:
        if self._launch is not None:
            self.dispatcher.end(self._launch)
        self._launch = None
        self._waiting = self._queued = False
        self.values["read"] = (self.values["read"] + 1) & MASK32
        return True

    def _packet(self) -> bool:
        if self._launch is not None:
            return self._run(self._launch)
        index = self.values["read"]
        base = self.values["base_lo"] | self.values["base_hi"] << 32
        raw = self._word(base + PACKET_BYTES * (index % max(1, self.values["size"])), PACKET_BYTES)
        try:
            kind, values = decode_packet(raw)
        except ValueError:
            raise self._fault(FaultCode.ILLEGAL_PACKET) from None
        match kind:
            case PacketType.LAUNCH:
                return self._begin(values)
            case PacketType.WAIT:
                self._waiting = int.from_bytes(self._word(values["address"], 8), "little") < values["value"]
                return not self._waiting and self._finish()
            case PacketType.SIGNAL:
                self._write_word(values["address"], values["value"])
                if values["timestamp"]:
                    self._write_word(values["address"] + 8, 0)
                if values["interrupt"]:
                    self._interrupt()
            case PacketType.COPY:
                self._copy(values)
        return self._finish()

    def _begin(self, values: dict[str, int]) -> bool:
        mask = values["cores"]
        if mask >> len(self.dispatcher.cores):
            raise self._fault(FaultCode.ILLEGAL_PACKET)
        arguments = []
        for rank in range(mask.bit_count()):
            block, count = values["argument_block"] + rank * values["argument_stride"], values["arguments"]
            if count and block + 8 * count > len(self.memory):
                raise self._fault(FaultCode.MEMORY_READ, values["argument_block"])
            if count and not all(self._windows.allows(at, "read") for at in (block, block + 8 * count - 1)):
                raise self._fault(FaultCode.PROTECTION, values["argument_block"])
            raw = self._word(block, 8 * count) if count else b""
            arguments.append([int(word) for word in np.frombuffer(raw, "<u8")])
        self._launch = self.dispatcher.begin(mask, values["program"], values["length"], arguments, self._windows)
        self._queued = self._launch is None
        return self._launch is not None and self._run(self._launch)

    def _run(self, launch: Launch) -> bool:
        moved = launch.run()
        if not launch.done and self.values["watchdog"]:  # without a clock: what can't go on never ends
            raise launch.stalled()
        return self._finish() if launch.done else moved

    def _copy(self, values: dict[str, int]) -> None:
        try:
            copy(self.space, self._windows, values["source"], values["target"], values["bytes"])
        except Fault as fault:
            fault.pc = self.values["read"]
            raise

    @property
    def _windows(self) -> Windows:
        return Windows.of_registers(self.values)

    def _fault(self, code: FaultCode, address: int = 0) -> Fault:
        return Fault(code, Unit.COMMAND, address, self.values["read"])

    def _word(self, address: int, size: int) -> bytes:
        if not self._windows.allows(address, "read"):
            raise self._fault(FaultCode.PROTECTION, address)
        if address + size > len(self.memory):
            raise self._fault(FaultCode.MEMORY_READ, address)
        return self.memory[address : address + size].tobytes()

    def _write_word(self, address: int, value: int) -> None:
        if not self._windows.allows(address, "write"):
            raise self._fault(FaultCode.PROTECTION, address)
        if address + 8 > len(self.memory):
            raise self._fault(FaultCode.MEMORY_WRITE, address)
        self.memory[address : address + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
