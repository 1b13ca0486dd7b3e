"""What went wrong on the chip, as exceptions that name the unit, the instruction and the cause."""

from __future__ import annotations

from gemel.driver.assembly import disassemble_one
from gemel.driver.program import Program
from gemel.driver.registers import Page
from gemel_golden.isa import SEMAPHORES, FaultCode, Unit, lookup
from gemel_golden.registers import CORE

CAUSES = {
    FaultCode.NONE: "no fault is recorded",
    FaultCode.ILLEGAL_OPCODE: "the opcode is unknown, or the program ran past its end without HALT",
    FaultCode.ILLEGAL_FIELD: "a field holds an illegal value",
    FaultCode.L1_ADDRESS: "an L1 address is misaligned or beyond L1",
    FaultCode.MEMORY_READ: "the memory bus answered a read with an error",
    FaultCode.MEMORY_WRITE: "the memory bus answered a write with an error",
    FaultCode.SEMAPHORE_OVERFLOW: "a semaphore was signalled beyond 255",
    FaultCode.LOOP_NESTING: "LOOP and END don't nest, or nest too deeply",
    FaultCode.FETCH: "the memory bus answered an instruction fetch with an error",
    FaultCode.ILLEGAL_PACKET: "the command ring holds an illegal packet",
    FaultCode.PROTECTION: "no window of the ring allows the access",
    FaultCode.WATCHDOG: "the launch ran for more cycles than its watchdog allows",
    FaultCode.ECC_L1: "data read from L1 had more wrong bits than its check bits can correct",
    FaultCode.ECC_MEMORY: "data read from memory had more wrong bits than its check bits can correct",
    FaultCode.ECC_FETCH: "a stored instruction had more wrong bits than its check bits can correct",
    FaultCode.CANCELLED: "the launch was cancelled",
    FaultCode.INDEX: "an index in a list is not below its limit",
}
WITH_ADDRESS = {
    FaultCode.L1_ADDRESS,
    FaultCode.MEMORY_READ,
    FaultCode.MEMORY_WRITE,
    FaultCode.FETCH,
    FaultCode.PROTECTION,
    FaultCode.ECC_L1,
    FaultCode.ECC_MEMORY,
    FaultCode.INDEX,
}


class DeviceError(RuntimeError):
    """A launch that didn't end well."""


class DeviceFault(DeviceError):
    """The chip stopped a launch.

    Attributes: `code` (FaultCode), `unit` (Unit), `pc` (index of the instruction, or of the packet for unit COMMAND),
    `core`, `instruction` (its text, or None), `address` (bytes of L1 or memory; 0 where the fault has none), `bundle`
    (index of the bundle in the vector core's memory, or None).
    """

    def __init__(
        self,
        code: FaultCode,
        unit: Unit,
        pc: int,
        address: int,
        program: Program | None = None,
        bundle: int | None = None,
        core: int = 0,
    ):
        self.code, self.unit, self.pc, self.address, self.bundle, self.core = code, unit, pc, address, bundle, core
        raw = program[pc] if program is not None and unit != Unit.COMMAND and pc < len(program) else None
        self.instruction = disassemble_one(raw) if raw is not None else None
        row = lookup(raw) if raw is not None else None
        place = f"packet {pc} of the ring" if unit == Unit.COMMAND else f"instruction {pc}"
        text = f"{code.name} in {unit.name}{f' of core {core}' if core else ''} at {place}"
        if self.instruction is not None:
            text += f" ({self.instruction})"
        if bundle is not None:
            text += f", bundle {bundle}"
        if code in WITH_ADDRESS:
            text += f", address {address:#x}"
        cause = CAUSES[code]
        if code == FaultCode.ILLEGAL_FIELD and row is not None and raw is not None:
            cause = row.check(raw) or cause
        super().__init__(f"{text}: {cause}")


class DeviceTimeout(DeviceError):
    """A launch hasn't ended in time; the message says where each unit is. It goes on when waited for again."""


def read_fault(ring: Page, core: Page, program: Program | None) -> DeviceFault:
    """The ring's fault record; `program` is the one it concerns, `core` the core that ran it."""
    code, unit = FaultCode(ring.read("fault_code")), Unit(ring.read("fault_unit"))
    bundle = core.read("vector_bundle") if unit == Unit.VECTOR else None
    address = ring.read_pair("fault_address")
    return DeviceFault(code, unit, ring.read("fault_pc"), address, program, bundle, core.index)


def describe_stall(ring: Page, cores: list[Page], program: Program | None) -> str:
    """Where every unit of the launch's cores that isn't idle stands, and for which semaphores it waits."""
    status = ring.read("status")
    if not status >> 1 & 1:
        held = {
            3: "the ring waits on a WAIT packet",
            4: "the launch waits for its cores",
            5: "a copy runs or waits for its turn",
        }
        return "; ".join(["no program is running", *(text for bit, text in held.items() if status >> bit & 1)])
    parts: list[str] = []
    for core in cores:
        busy, waiting = core.read("busy"), core.read("waiting")
        name = f"core {core.index}: " if len(cores) > 1 else ""
        for unit in Unit:
            register = f"{unit.name.lower()}_pc"
            if register in CORE.registers and (unit == Unit.SEQUENCER or (busy | waiting) >> unit & 1):
                waits = bool(waiting >> unit & 1)
                parts.append(name + _describe_unit(core, unit, core.read(register), waits, program))
    return "; ".join(parts)


def _describe_unit(core: Page, unit: Unit, pc: int, waits: bool, program: Program | None) -> str:
    raw = program[pc] if program is not None and pc < len(program) else None
    text = f"{unit.name} {'waits' if waits else 'is'} at instruction {pc}"
    row = lookup(raw) if raw is not None else None
    if raw is None or row is None:
        return text
    text += f" ({disassemble_one(raw)})"
    values = row.decode(raw)
    if not waits or "wait0" not in values:
        return text
    needs = [(values[f"wait{i}"], values[f"wait{i}_count"]) for i in (0, 1) if values[f"wait{i}_count"]]
    held = [f"semaphore {sem} to reach {count} (it holds {semaphore(core, sem)})" for sem, count in needs]
    return f"{text} for {' and '.join(held)}"


def semaphore(core: Page, index: int) -> int:
    """The count of a core's semaphore, 0..31."""
    if not 0 <= index < SEMAPHORES:
        raise ValueError(f"semaphore {index} lies outside 0..{SEMAPHORES - 1}")
    core.write("semaphore_select", index)
    return core.read("semaphore_value")
