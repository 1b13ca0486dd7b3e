"""The golden core and chip: sequencing, semaphores, loops, faults and the ring, on hand-made programs."""

import numpy as np
import pytest

from gemel_golden.chip import GoldenChip
from gemel_golden.isa import FaultCode, Opcode, Unit, encode
from gemel_golden.packets import PacketType, encode_packet
from gemel_golden.registers import BLOCKS

RING, PROGRAM, ARGUMENTS, DATA, DONE = 0x1000, 0x2000, 0x4000, 0x5000, 0x1800


def put(chip, address, raw):
    chip.memory[address : address + len(raw)] = np.frombuffer(raw, np.uint8)


def read(chip, block, name):
    return chip.read_register(BLOCKS[block].address(name))


def write(chip, block, name, value):
    chip.write_register(BLOCKS[block].address(name), value)


def start(chip, packets):
    """Put packets into the ring and ring the doorbell; returns the interrupt line."""
    put(chip, RING, b"".join(packets))
    write(chip, "ring", "base_lo", RING)
    write(chip, "ring", "size", 16)
    write(chip, "chip", "irq_enable", 1 << 16 | 1)
    write(chip, "ring", "write", len(packets))
    write(chip, "ring", "control", 1)
    return chip.run(10_000)


def launch(chip, program, arguments=()):
    """Run one program; returns the interrupt line."""
    put(chip, PROGRAM, b"".join(program))
    put(chip, ARGUMENTS, np.array(arguments, "<u8").tobytes())
    packet = encode_packet(
        PacketType.LAUNCH,
        arguments=len(arguments),
        program=PROGRAM,
        length=len(program),
        argument_block=ARGUMENTS,
    )
    return start(chip, [packet, encode_packet(PacketType.SIGNAL, address=DONE, value=7, interrupt=1)])


@pytest.fixture
def chip():
    return GoldenChip("nano", 1 << 16)


def fault(chip):
    code, unit = FaultCode(read(chip, "ring", "fault_code")), Unit(read(chip, "ring", "fault_unit"))
    return code, unit, read(chip, "ring", "fault_pc"), read(chip, "ring", "fault_address_lo")


def test_copy_in_a_loop(chip, rng):
    data = rng.integers(0, 256, 1000, np.uint8)
    put(chip, DATA, data.tobytes())
    program = [
        encode(Opcode.LOOP, count=10),
        encode(Opcode.LOAD, mem=0, mem_reg=1, bytes=100, valid_bytes=100, valid1=1, signal0=3, signal0_count=1),
        encode(Opcode.STORE, mem=0, mem_reg=2, bytes=100, wait0=3, wait0_count=1, signal0=4, signal0_count=1),
        encode(Opcode.NOP, wait0=4, wait0_count=1),
        encode(Opcode.SET, rd=1, rs1=1, imm=100),
        encode(Opcode.SET, rd=2, rs1=2, imm=100),
        encode(Opcode.END),
        encode(Opcode.HALT),
    ]
    assert launch(chip, program, [DATA, DATA + 0x1000])
    np.testing.assert_array_equal(chip.memory[DATA + 0x1000 : DATA + 0x1000 + 1000], data)
    assert chip.memory[DONE] == 7
    assert read(chip, "ring", "read") == 2


@pytest.mark.parametrize(
    ("program", "code", "pc"),
    [
        ([b"\xff" + bytes(63)], FaultCode.ILLEGAL_OPCODE, 0),
        ([encode(Opcode.NOP), encode(Opcode.NOP)[:-1] + b"\x80"], FaultCode.ILLEGAL_FIELD, 1),
        ([encode(Opcode.NOP)], FaultCode.ILLEGAL_OPCODE, 1),
        ([encode(Opcode.END)], FaultCode.LOOP_NESTING, 0),
        ([encode(Opcode.LOOP, count=2)] * 5, FaultCode.LOOP_NESTING, 4),
        ([encode(Opcode.NOP, signal0=1, signal0_count=255)] * 2, FaultCode.SEMAPHORE_OVERFLOW, 1),
    ],
)
def test_sequencer_faults(chip, program, code, pc):
    assert launch(chip, program)
    assert fault(chip) == (code, Unit.SEQUENCER, pc, 0)
    assert chip.memory[DONE] == 0, "the ring stands still until the record is cleared"
    write(chip, "ring", "fault_clear", 1)
    chip.run(1)
    assert chip.memory[DONE] == 7


def test_unit_fault_has_its_instruction_and_address(chip):
    program = [encode(Opcode.NOP), encode(Opcode.LOAD, mem=0x7F_0000, bytes=4, valid_bytes=4, valid1=1)]
    assert launch(chip, [*program, encode(Opcode.HALT)])
    assert fault(chip) == (FaultCode.MEMORY_READ, Unit.LOAD, 1, 0x7F_0000)


def test_deadlock_names_who_waits(chip):
    program = [encode(Opcode.STORE, mem=0, bytes=1, wait0=9, wait0_count=2), encode(Opcode.HALT)]
    assert not launch(chip, program)
    assert read(chip, "core", "waiting") == 1 << Unit.STORE
    assert read(chip, "core", "store_pc") == 0


def test_wait_packet_holds_the_ring(chip):
    wait = encode_packet(PacketType.WAIT, address=DATA, value=3)
    signal = encode_packet(PacketType.SIGNAL, address=DONE, value=5, interrupt=1)
    assert not start(chip, [wait, signal])
    assert read(chip, "ring", "status") >> 3 & 1
    chip.memory[DATA] = 3
    assert chip.run(1)
    assert chip.memory[DONE] == 5


def test_illegal_packet(chip):
    start(chip, [encode_packet(PacketType.NOP), b"\x63" + bytes(63)])
    assert fault(chip)[:3] == (FaultCode.ILLEGAL_PACKET, Unit.COMMAND, 1)
