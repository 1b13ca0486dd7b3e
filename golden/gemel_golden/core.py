"""The instruction-level model of a core: executes a program's bytes exactly, without a notion of time.

Units run in any order that the semaphores allow; a program whose result depends on that order has a race. Queues are as
deep as the chip's, so a program that relies on more room than there is stops here too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel_golden import dma, tensor, vector
from gemel_golden.aperture import Space
from gemel_golden.config import ChipConfig
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.isa import (
    INSTRUCTION_BYTES,
    INSTRUCTIONS,
    LOOP_DEPTH,
    REGISTERS,
    SEMAPHORE_MAX,
    SEMAPHORES,
    FaultCode,
    Instruction,
    Opcode,
    Unit,
    lookup,
)
from gemel_golden.windows import OPEN, Guarded, Windows

__all__ = ["Core"]

MASK64 = (1 << 64) - 1
UNITS = tuple(dict.fromkeys(i.unit for i in INSTRUCTIONS.values() if i.unit != Unit.SEQUENCER))
"""The units that have a queue."""


@dataclass(frozen=True)
class _Issued:
    """An instruction in a unit's queue: its fields with resolved addresses, and its index."""

    opcode: Opcode
    values: Mapping[str, int]
    pc: int


class Core:
    """One core's architectural state and what a launch does to it.

    ``memory`` is the chip's memory, a uint8 array that LOAD and STORE share with the host, or all that they reach, of
    which core ``number``'s L1 is this one's.
    """

    def __init__(self, config: ChipConfig, memory: NDArray[np.uint8] | Space, number: int = 0):
        self.config = config
        self.number = number
        self.space = memory if isinstance(memory, Space) else Space(memory)
        self.memory = self.space.memory
        self.l1 = self.space.l1(number) if self.space.cores else np.zeros(config.l1_bytes, np.uint8)
        self.flags = Flags()
        self.vector = vector.VectorState()
        self.windows = OPEN
        self._start(0, 0, (), ())

    def _start(self, address: int, length: int, arguments: Sequence[int], team: Sequence[Core]) -> None:
        self.team: tuple[Core, ...] = tuple(team) or (self,)
        self.arrived = False
        self.program = address
        self.length = length
        self.registers = [0] * REGISTERS
        self.registers[1 : 1 + len(arguments)] = arguments
        self.semaphores = [0] * SEMAPHORES
        self.queues: dict[Unit, deque[_Issued]] = {unit: deque() for unit in UNITS}
        self.loops: list[list[int]] = []
        self.pc = 0
        self.halted = False
        self.steps = 0
        """Instructions queued and instructions done so far."""

    def launch(
        self,
        address: int,
        length: int,
        arguments: Sequence[int] = (),
        team: Sequence[Core] = (),
        windows: Windows = OPEN,
    ) -> None:
        """Set a launch up: program address and length (instructions), values of registers 1, 2, ...; see `run`.

        ``team``: the launch's cores by rank, where there are others than this one; all are set up before one runs.
        ``windows``: where its accesses must lie.
        """
        self.windows = windows
        self._start(address, length, arguments, team)
        self.flags = Flags()

    def run(self) -> bool:
        """Execute until the program has halted, or until nothing can go on: then ``False``, and `waiting` tells why.

        Raises `Fault` when the launch is stopped by one; memory then holds what had been written.
        """
        progress = True
        while progress and not self.halted:
            progress = self._sequence()
            for unit in UNITS:
                while self._execute(unit):
                    progress = True
        return self.halted

    def waiting(self) -> dict[Unit, int]:
        """Units held by their semaphores, with the index of the instruction at which they stand."""
        held = {
            unit: queue[0].pc for unit, queue in self.queues.items() if queue and not self._granted(queue[0].values)
        }
        if not self.halted and self.pc < self.length:
            row, raw = self._fetch(self.pc)
            waits = row is not None and row.opcode in (Opcode.NOP, Opcode.SIGNAL) and not self._granted(row.decode(raw))
            if waits or self.arrived:
                held[Unit.SEQUENCER] = self.pc
        return held

    def _granted(self, values: Mapping[str, int]) -> bool:
        taken = [(values[f"wait{i}"], values[f"wait{i}_count"]) for i in (0, 1)]
        need = dict.fromkeys((sem for sem, _ in taken), 0)
        for sem, count in taken:
            need[sem] += count
        return all(self.semaphores[sem] >= count for sem, count in need.items())

    def _targets(self, values: Mapping[str, int]) -> Sequence[Core]:
        """The cores that an instruction's results and signals are for: those in its mask of ranks, or this one."""
        ranks = values.get("cores", 0)
        return [core for rank, core in enumerate(self.team) if ranks >> rank & 1] or [self]

    def _take(self, values: Mapping[str, int]) -> None:
        for i in (0, 1):
            self.semaphores[values[f"wait{i}"]] -= values[f"wait{i}_count"]

    def _signal(self, values: Mapping[str, int], pc: int) -> None:
        for i in (0, 1):
            sem = values[f"signal{i}"]
            self.semaphores[sem] += values[f"signal{i}_count"]
            if self.semaphores[sem] > SEMAPHORE_MAX:
                fault = Fault(FaultCode.SEMAPHORE_OVERFLOW, Unit.SEQUENCER, 0, pc)
                fault.core = self.number  # whoever has given it
                raise fault

    def _execute(self, unit: Unit) -> bool:
        """Do the head of a unit's queue; ``False`` when there is none or it waits."""
        queue = self.queues[unit]
        if not queue or not self._granted(queue[0].values):
            return False
        issued = queue.popleft()
        self.steps += 1
        self._take(issued.values)
        try:
            match unit:
                case Unit.LOAD | Unit.STORE:
                    for core in self._targets(issued.values):
                        self._move(issued, core.l1)
                case Unit.TENSOR:
                    self.flags |= tensor.matmul(issued.values, self.l1)
                case Unit.VECTOR:
                    self.flags |= vector.execute(issued.values, self.vector, self.l1)
        except Fault as fault:
            fault.pc = issued.pc
            raise
        for core in self._targets(issued.values):
            core._signal(issued.values, issued.pc)
        return True

    def _move(self, issued: _Issued, l1: NDArray[np.uint8]) -> None:
        """Do an instruction of LOAD or STORE; what its windows don't allow isn't there for it."""
        if not self.windows.enforced:
            dma.execute(issued.opcode, issued.values, self.space, l1)
            return
        rights = ("read",) if INSTRUCTIONS[issued.opcode].unit == Unit.LOAD else ("write",)
        if issued.opcode == Opcode.SCATTER_ADD:  # reads what it adds to
            rights = ("read", "write")
        space = Guarded(self.space, self.windows, *rights)
        try:
            dma.execute(issued.opcode, issued.values, space, l1)
        except Fault as fault:
            if fault.code in (FaultCode.MEMORY_READ, FaultCode.MEMORY_WRITE) and not space.allows(fault.address):
                fault.code = FaultCode.PROTECTION
            raise

    def _fetch(self, pc: int) -> tuple[Instruction | None, bytes]:
        address = self.program + pc * INSTRUCTION_BYTES
        if not self.windows.allows(address, "read"):
            raise Fault(FaultCode.PROTECTION, Unit.SEQUENCER, address, pc)
        if address + INSTRUCTION_BYTES > len(self.memory):
            raise Fault(FaultCode.FETCH, Unit.SEQUENCER, address, pc)
        raw = self.memory[address : address + INSTRUCTION_BYTES].tobytes()
        return lookup(raw), raw

    def _sequence(self) -> bool:
        """Run the sequencer until it is held; ``False`` when it couldn't do a single instruction."""
        start = True
        while not self.halted:
            if self.pc >= self.length:
                raise Fault(FaultCode.ILLEGAL_OPCODE, Unit.SEQUENCER, 0, self.pc)
            row, raw = self._fetch(self.pc)
            if row is None:
                raise Fault(FaultCode.ILLEGAL_OPCODE, Unit.SEQUENCER, 0, self.pc)
            if row.check(raw) is not None:
                raise Fault(FaultCode.ILLEGAL_FIELD, Unit.SEQUENCER, 0, self.pc)
            values = row.decode(raw)
            if values.get("cores", 0) >> len(self.team):
                raise Fault(FaultCode.ILLEGAL_FIELD, Unit.SEQUENCER, 0, self.pc)
            done = self._control(row.opcode, values) if row.unit == Unit.SEQUENCER else self._issue(row, values)
            if not done:
                return not start
            start = False
            self.steps += 1
        return True

    def _issue(self, row: Instruction, values: dict[str, int]) -> bool:
        queue = self.queues[row.unit]
        if len(queue) >= self.config.queue_depth:
            return False
        for address in row.addresses:
            bits = address.imm.width
            values[address.name] = (values[address.name] + self.registers[values[address.register.name]]) % (1 << bits)
        queue.append(_Issued(row.opcode, values, self.pc))
        self.pc += 1
        return True

    def _control(self, opcode: Opcode, values: dict[str, int]) -> bool:
        actions: dict[Opcode, Callable[[dict[str, int]], bool]] = {
            Opcode.NOP: self._nop,
            Opcode.HALT: self._halt,
            Opcode.FENCE: self._fence,
            Opcode.BARRIER: self._barrier,
            Opcode.SIGNAL: self._signal_cores,
            Opcode.SET: self._set,
            Opcode.LOOP: self._loop,
            Opcode.END: self._end,
        }
        return actions[opcode](values)

    def _nop(self, values: dict[str, int]) -> bool:
        if not self._granted(values):
            return False
        self._take(values)
        self._signal(values, self.pc)
        self.pc += 1
        return True

    def _fence(self, _: dict[str, int]) -> bool:
        if any(self.queues.values()):
            return False
        self.pc += 1
        return True

    def _barrier(self, _: dict[str, int]) -> bool:
        if any(self.queues.values()):
            return False
        self.arrived = True
        if not all(core.arrived for core in self.team):
            return False
        for core in self.team:
            core.arrived = False
            core.pc += 1
        return True

    def _signal_cores(self, values: dict[str, int]) -> bool:
        if not self._granted(values):
            return False
        self._take(values)
        for core in self._targets(values):
            core._signal(values, self.pc)
        self.pc += 1
        return True

    def _halt(self, values: dict[str, int]) -> bool:
        self.halted = self._fence(values)
        return self.halted

    def _set(self, values: dict[str, int]) -> bool:
        total = self.registers[values["rs1"]] + self.registers[values["rs2"]] + values["imm"]
        self.registers[values["rd"]] = total & MASK64
        self.pc += 1
        return True

    def _loop(self, values: dict[str, int]) -> bool:
        if len(self.loops) == LOOP_DEPTH:
            raise Fault(FaultCode.LOOP_NESTING, Unit.SEQUENCER, 0, self.pc)
        self.pc += 1
        self.loops.append([self.pc, values["count"]])
        return True

    def _end(self, _: dict[str, int]) -> bool:
        if not self.loops:
            raise Fault(FaultCode.LOOP_NESTING, Unit.SEQUENCER, 0, self.pc)
        loop = self.loops[-1]
        loop[1] -= 1
        if loop[1]:
            self.pc = loop[0]
        else:
            self.loops.pop()
            self.pc += 1
        return True
