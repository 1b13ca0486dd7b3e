"""Flipped bits in a running chip: what check bits protect never gives wrong results silently."""

import re
from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault
from gemel.bench.fault_kernel import L1_A
from gemel.bench.faults import STRUCTURES, classify, inject
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import FaultCode, Unit

BANKS = 4


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with gemel.open("nano", memory_bytes=1 << 20, latency=20, overrides={"ecc": True}, upsets=True) as opened:
        yield opened


def test_every_structure_is_there(device: Device) -> None:
    assert isinstance(device.backend, RtlBackend)
    found = {classify(name).name for name, _, _ in device.backend.states()}
    assert {s.name for s in STRUCTURES if s.states} <= found


def test_nothing_protected_is_silent(device: Device, rng: np.random.Generator) -> None:
    summary = inject(device, 80, int(rng.integers(1 << 30)))
    assert summary.runs == 80
    assert summary.silent_protected == 0
    assert sum(row["corrected"] for row in summary.table.values()) > 0


def flip_l1(device: Device, address: int, bits: tuple[int, ...]) -> None:
    """Flip bits of the 64-byte word at an L1 address, in its first half; data bit i of lane j is bit 72 j + i."""
    backend = device.backend
    assert isinstance(backend, RtlBackend)
    word = address // 64
    wanted = re.compile(rf"\.l1\.bank0_{word % BANKS}\b.*\.memory$")
    index = next(i for i, (name, _, _) in enumerate(backend.states()) if wanted.search(name))
    for bit in bits:
        backend.upset(index, word // BANKS, bit)


@pytest.mark.parametrize(("bits", "code"), [((3,), None), ((70,), None), ((3, 60), FaultCode.ECC_L1)])
def test_errors_in_l1(device: Device, rng: np.random.Generator, bits: tuple[int, ...], code: FaultCode | None) -> None:
    """Between two launches, of which the second stores what the first loaded."""
    data = rng.integers(0, 256, 256, np.uint8)
    source, target = device.upload(data), device.alloc(256)
    device.run(gemel.assemble(f"LOAD mem=r1 l1={L1_A} bytes=256 valid_bytes=256 valid1=1\nHALT"), [source])
    flip_l1(device, L1_A + 64, bits)
    store = gemel.assemble(f"NOP\nSTORE mem=r1 l1={L1_A} bytes=256\nHALT")
    if code is None:
        for corrected in (1, 0):  # what was read went back corrected
            device.run(store, [target])
            assert device.read_register("core", "ecc_corrected") == corrected
            np.testing.assert_array_equal(device.memory[target.address : target.address + 256], data)
        return
    with pytest.raises(DeviceFault) as caught:
        device.run(store, [target])
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc, fault.address) == (code, Unit.STORE, 1, L1_A + 64)


@pytest.mark.parametrize("bits", [(100,), (100, 101)])
def test_errors_in_instructions(device: Device, bits: tuple[int, ...]) -> None:
    """In the window, while the sequencer waits at the instruction before."""
    backend = device.backend
    assert isinstance(backend, RtlBackend)
    backend.configure(latency=400)
    index = next(i for i, (name, _, _) in enumerate(backend.states()) if name.endswith(".fetch.window"))
    launch = device.launch(
        gemel.assemble("LOAD mem=0x8000 bytes=64 valid_bytes=64 valid1=1 signal0=s1*1\nNOP wait0=s1*1\nHALT")
    )
    while device.read_register("core", "waiting") != 1 << Unit.SEQUENCER:
        assert not launch.done
        backend.run(10)
    for bit in bits:
        backend.upset(index, 2, bit)
    if len(bits) == 1:
        launch.wait()
        assert device.read_register("core", "ecc_corrected") == 1
    else:
        with pytest.raises(DeviceFault) as caught:
            launch.wait()
        assert (caught.value.code, caught.value.unit, caught.value.pc) == (FaultCode.ECC_FETCH, Unit.SEQUENCER, 2)
    backend.configure(latency=20)
