"""The register table: AXI4-Lite, 32 bits a register, for RTL, driver and documents alike."""

from __future__ import annotations

from dataclasses import dataclass

ID_VALUE = 0x4C4D4547
"""The bytes "GEML"."""
VERSION = 0x0000_0100


@dataclass(frozen=True, kw_only=True)
class Register:
    """One 32-bit register: byte offset, access ("ro", "rw", "w1c": write one to clear, "wo") and meaning."""

    name: str
    offset: int
    access: str
    doc: str


def _pair(name: str, offset: int, access: str, doc: str) -> tuple[Register, Register]:
    return (
        Register(name=f"{name}_lo", offset=offset, access=access, doc=f"{doc} (bits 0-31)"),
        Register(name=f"{name}_hi", offset=offset + 4, access=access, doc=f"{doc} (bits 32-63)"),
    )


def _ro(name: str, offset: int, doc: str) -> Register:
    return Register(name=name, offset=offset, access="ro", doc=doc)


_TABLE: tuple[Register, ...] = (
    _ro("id", 0x000, "0x4C4D4547, the bytes GEML"),
    _ro("version", 0x004, "version of registers and instructions"),
    _ro("array", 0x008, "dot units: bits 0-7 rows, 8-15 columns, 16-23 cores"),
    _ro("l1_bytes", 0x00C, "bytes of L1"),
    Register(name="control", offset=0x010, access="rw", doc="bit 0: the command processor reads its ring"),
    _ro(
        "status",
        0x014,
        "bit 0 ring busy, 1 launch running, 2 faulted, 3 load, 4 tensor, 5 store busy, 6 ring held by a WAIT packet, "
        "7 vector busy",
    ),
    Register(name="irq_status", offset=0x018, access="w1c", doc="bit 0 a SIGNAL asked for an interrupt, 1 a fault"),
    Register(name="irq_enable", offset=0x01C, access="rw", doc="which bits of irq_status raise the interrupt line"),
    *_pair("ring_base", 0x020, "rw", "memory address of the ring, a multiple of 64"),
    Register(name="ring_size", offset=0x028, access="rw", doc="packets in the ring, a power of two"),
    Register(name="ring_write", offset=0x02C, access="rw", doc="doorbell: packets written so far, modulo 2^32"),
    _ro("ring_read", 0x030, "packets done so far, modulo 2^32"),
    _ro("fault_code", 0x040, "why the launch was stopped (isa.FaultCode); 0: it was not"),
    _ro("fault_unit", 0x044, "the unit (isa.Unit)"),
    _ro("fault_pc", 0x048, "index of the instruction in its program; for unit COMMAND, of the packet in the ring"),
    *_pair("fault_address", 0x04C, "ro", "the address at fault, or 0"),
    Register(
        name="fault_clear",
        offset=0x054,
        access="wo",
        doc="any write clears the record; the ring goes on with the next packet",
    ),
    *_pair("cycles", 0x060, "ro", "free-running clock; reading the low half holds the high half"),
    _ro("launch_cycles", 0x068, "the last launch: from the first fetched instruction to the drained core"),
    _ro("flags", 0x06C, "the last launch, sticky: bit 0 invalid, 1 overflow, 2 saturated"),
    _ro("tensor_busy", 0x070, "the last launch: cycles in which the dot units took a block"),
    _ro("load_busy", 0x074, "the last launch: cycles with a beat accepted from memory by LOAD"),
    _ro("store_busy", 0x078, "the last launch: cycles with a beat given to memory by STORE"),
    _ro("saturated", 0x07C, "the last launch: outputs clamped at the drain"),
    _ro("load_pc", 0x080, "index of the instruction that LOAD is at"),
    _ro("tensor_pc", 0x084, "index of the instruction that the tensor core fetches for"),
    _ro("store_pc", 0x088, "index of the instruction that STORE is at"),
    _ro("sequencer_pc", 0x08C, "index of the instruction that the sequencer is at"),
    _ro("waiting", 0x090, "bit u: unit u (isa.Unit) waits for its semaphores"),
    Register(name="semaphore_select", offset=0x094, access="rw", doc="which semaphore `semaphore_value` shows"),
    _ro("semaphore_value", 0x098, "count of the selected semaphore"),
    _ro("vector_busy", 0x09C, "the last launch: cycles in which the vector core issued a bundle"),
    _ro("vector_pc", 0x0A0, "index of the instruction that the vector core is at"),
    _ro("vector_bundle", 0x0A4, "index of the bundle that the vector core is at"),
)

REGISTERS: dict[str, Register] = {r.name: r for r in _TABLE}
"""Registers by name."""
