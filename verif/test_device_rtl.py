"""The driver on the simulated hardware: the same programs leave the same bytes, faults and sentences as on golden."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault, DeviceTimeout, Program, assemble, reg
from gemel.bench.random_programs import random_copies, random_matmul
from gemel.sim import waves
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import Unit
from gemel_verif.fault_programs import FAULTS

MEMORY = 1 << 20
DATA = 256 << 10
"""Memory from here on belongs to the tests' programs."""
BUSES = [
    {"latency": 100},
    {"latency": 1, "stalls": 0.3},
    {"latency": 37, "bandwidth": 24.5, "stalls": {"r": 0.5, "b": 0.8}, "reorder": True},
    {"latency": 200, "stalls": {"ar": 0.7, "aw": 0.7, "w": 0.5}, "reorder": True},
]


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with gemel.open("nano", memory_bytes=MEMORY) as rtl, gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        yield rtl, golden


def configure(device: Device, **options) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


def compare(devices: tuple[Device, Device], program: Program, data: np.ndarray, **bus) -> gemel.Result:
    """Run `program` on both with memory from `DATA` on filled alike; everything that it leaves must be equal."""
    configure(devices[0], **bus)
    results = []
    for device in devices:
        device.backend.memory[DATA:] = data
        results.append(device.run(program, [DATA], timeout_cycles=2_000_000))
    rtl, golden = results
    np.testing.assert_array_equal(devices[0].backend.memory[DATA:], devices[1].backend.memory[DATA:])
    assert rtl.flags == golden.flags
    assert rtl.counters["saturated"] == golden.counters["saturated"]
    return rtl


def noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, MEMORY - DATA, np.uint8)


@pytest.mark.parametrize("bus", range(len(BUSES)))
@pytest.mark.parametrize("program", [lambda rng: random_copies(rng, 12), random_matmul, random_matmul, random_matmul])
def test_programs_leave_golden_bytes(
    devices: tuple[Device, Device],
    program: Callable[[np.random.Generator], Program],
    bus: int,
    rng: np.random.Generator,
) -> None:
    compare(devices, program(rng), noise(rng), seed=int(rng.integers(1 << 30)), **BUSES[bus])


@pytest.mark.parametrize(("text", "code", "unit", "pc", "address"), FAULTS)
def test_faults_are_golden_faults(
    devices: tuple[Device, Device], text: str, code: str, unit: str, pc: int, address: int
) -> None:
    program = assemble(text + ("" if code == "ILLEGAL_OPCODE" else "\nHALT"))
    configure(devices[0], latency=20)
    sentences = []
    for device in devices:
        bad, good = device.launch(program), device.launch(assemble("HALT"))
        with pytest.raises(DeviceFault) as caught:
            bad.wait(timeout_cycles=20_000)
        fault = caught.value
        assert (fault.code.name, fault.unit.name, fault.pc, fault.address) == (code, unit, pc, address)
        good.wait(timeout_cycles=20_000)
        sentences.append(str(fault))
    assert sentences[0] == sentences[1]


def test_a_timeout_says_who_waits_for_what(devices: tuple[Device, Device]) -> None:
    stuck = assemble("LOAD wait0=s3*2 wait1=s4*1\nNOP signal0=s3*1\nHALT")
    sentences = []
    for device in devices:
        with pytest.raises(DeviceTimeout) as caught:
            device.run(stuck, timeout_cycles=2000)
        sentences.append(str(caught.value).partition("cycles: ")[2])
        device.reset()
        device.run(assemble("HALT"), timeout_cycles=2000)
    assert sentences[0] == sentences[1]


def test_a_launch_costs_three_latencies_and_a_little(devices: tuple[Device, Device]) -> None:
    device, halt = devices[0], assemble("HALT")
    totals = []
    for latency in (100, 400):
        configure(device, latency=latency)
        totals.append(device.run(halt).total_cycles)
    assert totals[0] <= 3 * 100 + 50
    assert totals[1] - totals[0] == 3 * 300


def test_events_tell_what_ran(devices: tuple[Device, Device], rng: np.random.Generator) -> None:
    device = devices[0]
    device.events()
    compare(devices, random_copies(rng, 5), noise(rng))
    events = device.events()
    for unit, first in ((Unit.LOAD, 0), (Unit.STORE, 1)):
        mine = [event for event in events if event.unit == unit]
        assert [event.pc for event in mine] == list(range(first, 10, 2))
        assert all(event.start < event.stop for event in mine)
    ends = {(event.unit, event.pc): event.stop for event in events}
    starts = {(event.unit, event.pc): event.start for event in events}
    assert all(starts[Unit.STORE, i + 1] >= ends[Unit.LOAD, i] for i in range(0, 10, 2))


def test_handshakes_read_back_from_waves(tmp_path: Path) -> None:
    path, latency = tmp_path / "chip.vcd", 30
    with gemel.open("nano", memory_bytes=MEMORY, latency=latency, waves=(path, 10, 2000)) as device:
        p = Program()
        for i in range(3):
            p.load(mem=reg(1) + 256 * i, bytes=256, valid_bytes=256, valid1=1)
        p.halt()
        device.run(p, [DATA])
        device.backend.run(2000)
    seen = waves.read(path, ["m_axi0_ar*", "m_axi0_r[vrl]*"])
    assert (seen.first, seen.last) == (10, 2000)
    column = seen.values
    cycles = range(seen.last - seen.first)
    taken = [i for i in cycles if column["m_axi0_arvalid"][i] & column["m_axi0_arready"][i]]
    bursts = [(column["m_axi0_araddr"][i], column["m_axi0_arlen"][i] + 1) for i in taken]
    assert [burst for burst in bursts if burst[0] >= DATA] == [(DATA + 256 * i, 4) for i in range(3)]
    beats = [i for i in cycles if column["m_axi0_rvalid"][i] & column["m_axi0_rready"][i]]
    assert len(beats) == sum(length for _, length in bursts)
    assert beats[0] == taken[0] + latency
