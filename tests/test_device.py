"""The driver on the golden chip: buffers, launches, faults and time-outs."""

import gc

import numpy as np
import pytest

import gemel
from gemel import DeviceFault, DeviceTimeout, Program, assemble, reg
from gemel.driver.ring import LAUNCHES
from gemel_golden.isa import FaultCode, Unit
from gemel_verif.fault_programs import FAULTS

MEMORY = 1 << 20


@pytest.fixture
def device():
    with gemel.open("nano", "golden", memory_bytes=MEMORY) as device:
        yield device


def copy_program(nbytes: int) -> Program:
    """Copies `nbytes`, at most 65,536, from the address in register 1 to that in register 2."""
    p = Program()
    p.load(mem=reg(1), bytes=nbytes, valid_bytes=nbytes, valid1=1, signal={0: 1})
    p.store(mem=reg(2), bytes=nbytes, wait={0: 1})
    p.halt()
    return p


def test_buffers_hold_what_was_written(device, rng: np.random.Generator) -> None:
    data = rng.standard_normal((5, 7)).astype(np.float32)
    buffer = device.upload(data)
    np.testing.assert_array_equal(buffer.read(np.float32, (5, 7)), data)
    buffer.write(data[:, ::2].T, offset=4)
    np.testing.assert_array_equal(buffer.read(np.float32, (4, 5), offset=4), data[:, ::2].T)
    np.testing.assert_array_equal(buffer.read(np.float32, 1), data[0, :1])


def test_memory_comes_back_with_the_last_reference(device) -> None:
    before = device.free_bytes
    buffer = device.alloc(1000)
    assert device.free_bytes == before - 1024
    del buffer
    gc.collect()
    assert device.free_bytes == before


def test_buffers_refuse_what_lies_outside(device) -> None:
    buffer = device.alloc(100)
    with pytest.raises(ValueError, match=r"bytes 96\.\.104 lie outside a buffer of 100 bytes"):
        buffer.read(np.uint64, 1, offset=96)
    buffer.free()
    with pytest.raises(ValueError, match="has been freed"):
        buffer.write(b"1")


def test_a_4_bit_tensor_can_be_transposed_and_sliced(device, rng: np.random.Generator) -> None:
    codes = rng.integers(0, 16, (5, 7)).astype(np.uint8)
    x = gemel.empty(device, codes.shape, "e2m1")
    x.T.write_codes(codes.T)
    np.testing.assert_array_equal(x.codes(), codes)
    np.testing.assert_array_equal(x.T.codes(), codes.T)
    np.testing.assert_array_equal(x[1:4, 2:7].T.codes(), codes[1:4, 2:7].T)
    np.testing.assert_array_equal(x.T[2:6, 1:].codes(), codes.T[2:6, 1:])
    with pytest.raises(ValueError, match="starts at an even column, not 1"):
        x.T[1:]


def test_more_launches_than_the_ring_holds(device, rng: np.random.Generator) -> None:
    data = [rng.integers(0, 256, int(rng.integers(1, 300)), np.uint8) for _ in range(3 * LAUNCHES)]
    results = []
    for piece in data:
        source, target = device.upload(piece), device.alloc(piece.size)
        results.append((device.launch(copy_program(piece.size), [source, target]), target))
    for (launch, target), piece in zip(results, data, strict=True):
        launch.wait()
        np.testing.assert_array_equal(target.read(np.uint8, piece.size), piece)


@pytest.mark.parametrize(("text", "code", "unit", "pc", "address"), FAULTS)
def test_faults_name_the_cause_and_the_next_launch_works(
    device, text: str, code: str, unit: str, pc: int, address: int
) -> None:
    program = assemble(text + ("" if code == "ILLEGAL_OPCODE" else "\nHALT"))
    bad, good = device.launch(program), device.launch(assemble("HALT"))
    with pytest.raises(DeviceFault) as caught:
        bad.wait()
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc, fault.address) == (FaultCode[code], Unit[unit], pc, address)
    assert f"{code} in {unit} at instruction {pc}" in str(fault)
    assert fault.instruction == (text.split("\n")[pc] if pc < len(program) else None)
    assert good.wait().flags == frozenset()


def test_an_illegal_field_is_explained(device) -> None:
    with pytest.raises(DeviceFault, match=r"ILLEGAL_FIELD .*: HALT: reserved bit 511 is set$"):
        device.run(assemble(".bytes 01" + "00" * 62 + "80"))


def test_a_timeout_says_who_waits_for_what(device) -> None:
    stuck = assemble("LOAD wait0=s3*2 wait1=s4*1\nNOP signal0=s3*1\nHALT")
    with pytest.raises(DeviceTimeout) as caught:
        device.run(stuck, timeout_cycles=1000)
    assert str(caught.value) == (
        "launch 1 hasn't ended after 1,000 cycles: SEQUENCER is at instruction 2 (HALT); LOAD waits at instruction 0 "
        "(LOAD wait0=s3*2 wait1=s4*1) for semaphore 3 to reach 2 (it holds 1) and semaphore 4 to reach 1 (it holds 0)"
    )
    assert device.semaphore(3) == 1
    device.reset()
    device.run(assemble("HALT"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.launch(Program()), "a program needs at least one instruction"),
        (lambda d: d.launch(assemble("HALT"), [0] * 32), "32 arguments are more than the 31 registers they go to"),
        (lambda d: gemel.open("nano", "paper"), "no back end 'paper'; there are rtl, golden"),
        (lambda d: gemel.open("mega", "golden"), "no chip 'mega'; there are nano, inference, training, quad"),
        (lambda d: gemel.open("nano", "golden", memory_bytes=5000), "device memory is a multiple of 4096 bytes"),
        (lambda d: gemel.open("nano", "golden", overrides={"rows": 3}), "rows must be a power of two, not 3"),
    ],
)
def test_nonsense_is_refused(device, call, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        call(device)
    assert message in str(caught.value)
