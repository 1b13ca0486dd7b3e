"""The register table: AXI4-Lite, 32 bits a register, in blocks; for RTL, driver and documents alike.

The chip has one block of its own, each ring and each core a page.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemel_golden.windows import WINDOWS

__all__ = [
    "ADDRESS_BITS",
    "BLOCKS",
    "CHANNEL",
    "CHIP",
    "COPY_COUNTS",
    "CORE",
    "ID_VALUE",
    "RING",
    "VERSION",
    "Block",
    "Register",
    "find",
]

ID_VALUE = 0x4C4D4547
"""The bytes "GEML"."""
VERSION = 0x0000_0200
ADDRESS_BITS = 16
"""Width of a register's byte address."""


@dataclass(frozen=True, kw_only=True)
class Register:
    """One 32-bit register: byte offset in its block, access ("ro", "rw", "w1c": write one to clear, "wo"), meaning."""

    name: str
    offset: int
    access: str
    doc: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """Registers that the chip has once, or that each of several rings or cores has.

    Block number i begins at byte `base` + i * `stride`; there are `limit` at most.
    """

    name: str
    base: int
    stride: int
    limit: int
    doc: str
    table: tuple[Register, ...]

    @property
    def registers(self) -> dict[str, Register]:
        """Registers by name."""
        return {register.name: register for register in self.table}

    def address(self, name: str, index: int = 0) -> int:
        """Byte address of a register of block number `index`. Raises ValueError for what doesn't exist."""
        if not 0 <= index < self.limit:
            raise ValueError(f"{self.name} {index} lies outside 0..{self.limit - 1}")
        for register in self.table:
            if register.name == name:
                return self.base + index * self.stride + register.offset
        raise ValueError(f"a {self.name} has no register {name!r}; there are {', '.join(self.registers)}")


def _pair(name: str, offset: int, access: str, doc: str) -> tuple[Register, Register]:
    return (
        Register(name=f"{name}_lo", offset=offset, access=access, doc=f"{doc} (bits 0-31)"),
        Register(name=f"{name}_hi", offset=offset + 4, access=access, doc=f"{doc} (bits 32-63)"),
    )


def _ro(name: str, offset: int, doc: str) -> Register:
    return Register(name=name, offset=offset, access="ro", doc=doc)


def _rw(name: str, offset: int, doc: str) -> Register:
    return Register(name=name, offset=offset, access="rw", doc=doc)


COPY_COUNTS = {
    "copy_busy": "cycles in which the copy engine had a copy, since reset",
    "copy_bytes": "bytes of the copies that it has done, since reset",
    "copy_beats": "beats of 64 bytes that it gave to memory, since reset",
}
"""What the chip's block shows of the copy engine, each in two registers."""

CHIP = Block(
    name="chip",
    base=0x0000,
    stride=0x1000,
    limit=1,
    doc="What the chip has once.",
    table=(
        _ro("id", 0x000, "0x4C4D4547, the bytes GEML"),
        _ro("version", 0x004, "version of registers and instructions"),
        _ro("array", 0x008, "dot units: bits 0-7 rows, 8-15 columns"),
        _ro("l1_bytes", 0x00C, "bytes of a core's L1"),
        _ro("cores", 0x010, "number of cores"),
        _ro("rings", 0x014, "number of rings"),
        Register(
            name="irq_status",
            offset=0x018,
            access="w1c",
            doc="bit r: a SIGNAL of ring r asked for an interrupt; bit 16 + r: a fault stopped ring r",
        ),
        _rw("irq_enable", 0x01C, "which bits of irq_status raise the interrupt line"),
        Register(
            name="core_reset",
            offset=0x028,
            access="wo",
            doc="bit c: reset core c but for L1; its launch ends with fault CANCELLED, other launches go on",
        ),
        *_pair("cycles", 0x020, "ro", "free-running clock; reading the low half holds the high half"),
        *(
            register
            for i, (name, doc) in enumerate(COPY_COUNTS.items())
            for register in _pair(name, 0x030 + 8 * i, "ro", f"{doc}; reading the low half holds the high half")
        ),
    ),
)
"""The chip's own block."""

RING = Block(
    name="ring",
    base=0x1000,
    stride=0x100,
    limit=16,
    doc="A ring of packets and what came of them.",
    table=(
        _rw("control", 0x00, "bit 0: the command processor reads the ring"),
        _ro(
            "status",
            0x04,
            "bit 0 busy, 1 launch running, 2 faulted, 3 held by a WAIT packet, 4 a LAUNCH waits for cores, "
            "5 a COPY runs or waits for its turn",
        ),
        *_pair("base", 0x08, "rw", "memory address of the ring, a multiple of 64"),
        _rw("size", 0x10, "packets in the ring, a power of two"),
        _rw("write", 0x14, "doorbell: packets written so far, modulo 2^32"),
        _ro("read", 0x18, "packets done so far, modulo 2^32"),
        _rw("priority", 0x1C, "0..7: of rings whose launches want the same cores the highest goes first"),
        _ro("fault_code", 0x20, "why the launch was stopped (isa.FaultCode); 0: it was not"),
        _ro("fault_unit", 0x24, "the unit (isa.Unit)"),
        _ro("fault_core", 0x28, "the core whose fault it was; 0 for unit COMMAND"),
        _ro("fault_pc", 0x2C, "index of the instruction in its program; for unit COMMAND, of the packet in the ring"),
        *_pair("fault_address", 0x30, "ro", "the address at fault, or 0"),
        Register(
            name="fault_clear",
            offset=0x38,
            access="wo",
            doc="bit 0: clear the record; the ring goes on with the next packet",
        ),
        _rw(
            "window_rights",
            0x3C,
            "bit 2 i: window i may be read, 2 i + 1: written; bit 31: nothing else may",
        ),
        *(
            register
            for i in range(WINDOWS)
            for register in (
                _rw(f"window{i}_base", 0x40 + 8 * i, f"window {i}: its first page (address / 4096)"),
                _rw(f"window{i}_limit", 0x44 + 8 * i, f"window {i}: the page after its last"),
            )
        ),
        _rw("watchdog", 0x60, "cycles that a launch may take, counted from its start; 0: any number"),
    ),
)
"""A ring's page."""

CORE = Block(
    name="core",
    base=0x4000,
    stride=0x400,
    limit=32,
    doc="A core, what it does now and what its last launch did.",
    table=(
        _ro("busy", 0x000, "bit u: unit u (isa.Unit) has work"),
        _ro("waiting", 0x004, "bit u: unit u (isa.Unit) waits for its semaphores"),
        _ro("sequencer_pc", 0x008, "index of the instruction that the sequencer is at"),
        _ro("load_pc", 0x00C, "index of the instruction that LOAD is at"),
        _ro("tensor_pc", 0x010, "index of the instruction that the tensor core fetches for"),
        _ro("store_pc", 0x014, "index of the instruction that STORE is at"),
        _ro("vector_pc", 0x018, "index of the instruction that the vector core is at"),
        _ro("vector_bundle", 0x01C, "index of the bundle that the vector core is at"),
        _rw("semaphore_select", 0x020, "which semaphore `semaphore_value` shows"),
        _ro("semaphore_value", 0x024, "count of the selected semaphore"),
        _rw("counter_select", 0x028, "the counter that the next two show: bits 0-6 number, bit 7 since reset"),
        *_pair("counter", 0x02C, "ro", "the selected counter; reading the low half holds the high half"),
        _ro("launch_cycles", 0x040, "the last launch: from the first fetched instruction to the drained core"),
        _ro("flags", 0x044, "the last launch, sticky: bit 0 invalid, 1 overflow, 2 saturated"),
        _ro("saturated", 0x048, "the last launch: outputs clamped at the drain"),
        _ro("tensor_busy", 0x04C, "the last launch: cycles in which the dot units took a block"),
        _ro("load_busy", 0x050, "the last launch: cycles with a beat accepted from memory by LOAD"),
        _ro("store_busy", 0x054, "the last launch: cycles with a beat given to memory by STORE"),
        _ro("vector_busy", 0x058, "the last launch: cycles in which the vector core issued a bundle"),
        _ro("ecc_corrected", 0x05C, "the last launch: words of 64 bits that check bits corrected"),
    ),
)
"""A core's page."""

CHANNEL = Block(
    name="channel",
    base=0xC000,
    stride=0x40,
    limit=64,
    doc="A channel of DRAM, counted since reset, modulo 2^32; a chip with an ideal memory has none.",
    table=(
        _ro("row_hits", 0x00, "column commands that found their row open"),
        _ro("row_misses", 0x04, "column commands that waited for the ACTIVATE of their row"),
        _ro("row_conflicts", 0x08, "rows closed in favour of others"),
        _ro("refreshes", 0x0C, "refreshes of a bank"),
        _ro("corrected", 0x10, "64-bit words with an error that was corrected"),
        _ro("uncorrectable", 0x14, "64-bit words with an error that was not"),
        _ro("activates", 0x18, "rows opened"),
        _ro("column_reads", 0x1C, "column commands that read"),
        _ro("column_writes", 0x20, "column commands that wrote"),
    ),
)
"""A memory channel's page."""

BLOCKS: dict[str, Block] = {block.name: block for block in (CHIP, RING, CORE, CHANNEL)}
"""Blocks by name."""


def find(address: int) -> tuple[Block, int, Register] | None:
    """The register at a byte address, with its block and the block's number; None where there is none."""
    for block in BLOCKS.values():
        index, offset = divmod(address - block.base, block.stride)
        if 0 <= index < block.limit:
            for register in block.table:
                if register.offset == offset:
                    return block, index, register
    return None
