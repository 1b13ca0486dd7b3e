"""Flipped bits in a running chip with DRAM: what check bits protect never gives wrong results silently."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
from typer.testing import CliRunner

import gemel
from gemel import Device, DeviceFault
from gemel.bench.fault_experiment import Experiment
from gemel.bench.fault_kernel import L1_A, kernel
from gemel.bench.fault_structures import STRUCTURES, classify
from gemel.bench.faults import OUTCOMES, inject
from gemel.cli import app
from gemel.driver.ring import ARGUMENT_BYTES, PACKETS
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.packets import PACKET_BYTES

BANKS = 4


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    sizes = {"ecc": True, "memory": "hbm3"}
    with gemel.open("nano", memory_bytes=1 << 18, overrides=sizes, upsets=True) as opened:
        yield opened


def backend_of(device: Device) -> RtlBackend:
    assert isinstance(device.backend, RtlBackend)
    return device.backend


def test_every_structure_is_there(device: Device) -> None:
    found = {classify(name).name for name, _, _ in backend_of(device).states()}
    assert found == {s.name for s in STRUCTURES if s.states}


def test_runs_begin_at_snapshots(device: Device, rng: np.random.Generator) -> None:
    """From every snapshot on a run without a flip is the first one again, whatever came before."""
    experiment = Experiment(device, backend_of(device), kernel(rng))
    for cycle in (experiment.cycles - 1, 0, *rng.integers(experiment.cycles, size=3)):
        assert experiment.run(lambda: None, int(cycle)) == "masked"
    out = experiment.used[-1][0]

    def spoil() -> None:
        device.memory[out + 5] ^= 1

    assert experiment.run(spoil, experiment.cycles - 1) == "silent"
    assert experiment.run(lambda: None, 0) == "masked"
    experiment.close()


def test_nothing_protected_is_silent(device: Device, rng: np.random.Generator) -> None:
    summary = inject(device, 80, int(rng.integers(1 << 30)))
    assert summary.runs == 80
    assert summary.silent_protected == 0
    assert sum(row["corrected"] for row in summary.table.values()) > 0


def test_two_wrong_bits_are_reported(device: Device, rng: np.random.Generator) -> None:
    """Or nobody reads them; they are never taken for one, nor for none."""
    summary = inject(device, 60, int(rng.integers(1 << 30)), bits=2)
    assert set(summary.table) == {s.name for s in STRUCTURES if s.protected}
    outcomes = sum(summary.table.values(), Counter())
    assert outcomes["reported"] > 0 and set(outcomes) == {"reported", "masked"}


def test_the_command(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemel, "open", lambda *arguments, **options: nullcontext(device))
    run = CliRunner().invoke(app, ["bench", "faults", "--n", "12", "--seed", "3", "--json"])
    assert run.exit_code == 0, run.output
    values = json.loads(run.stdout)
    assert (values["runs"], values["silent_protected"]) == (12, 0)
    assert values["table"]["memory"]["protected"] and not values["table"]["AXI data"]["protected"]
    assert sum(row[outcome] for row in values["table"].values() for outcome in OUTCOMES) == 12


def flip_l1(device: Device, address: int, bits: tuple[int, ...]) -> None:
    """Flip bits of the 64-byte word at an L1 address, in its first half; data bit i of lane j is bit 72 j + i."""
    backend = backend_of(device)
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


def test_errors_in_lists_of_indices(device: Device, rng: np.random.Generator) -> None:
    """A list is its instruction's, though LOAD's come through STORE's port: here STORE is busy beside it."""
    data = rng.integers(0, 256, 4096, np.uint8)
    source = device.upload(data)
    fill = f"LOAD mem=r1 l1={L1_A} bytes=256 valid_bytes=256 valid1=1\nHALT"
    for text, unit, pc in (
        ("STORE mem=r1 l1=0x8000 bytes=2048\nGATHER mem=r1 l1=0x4000 bytes=64 count1=16 limit=9 indices={}", "LOAD", 1),
        ("NOP\nNOP\nSCATTER mem=r1 l1=0x8000 bytes=64 count1=16 limit=9 indices={}", "STORE", 2),
    ):
        device.run(gemel.assemble(fill), [source])
        flip_l1(device, L1_A, (7, 8))
        with pytest.raises(DeviceFault) as caught:
            device.run(gemel.assemble(text.format(L1_A) + "\nHALT"), [source])
        fault = caught.value
        assert (fault.code.name, fault.unit.name, fault.pc, fault.address) == ("ECC_L1", unit, pc, L1_A)


READERS = {
    "nothing": ("NOP\nHALT", None, 0, 0),
    "LOAD": ("NOP\nLOAD mem=r1 bytes=256 valid_bytes=256 valid1=1\nHALT", Unit.LOAD, 1, 0),
    "STORE of a part": ("STORE mem=r1+66 l1=0 bytes=3\nHALT", Unit.STORE, 0, 64),
    "SCATTER_ADD": (
        "NOP\nSCATTER_ADD mem=r1 l1=0 bytes=256 count1=1 limit=1 indices=0x8000\nHALT",
        Unit.STORE,
        1,
        0,
    ),
    "instructions": ("NOP\nNOP\nHALT", Unit.SEQUENCER, 1, None),
    "arguments": ("NOP\nHALT", Unit.COMMAND, None, None),
    "the packet": ("NOP\nHALT", Unit.COMMAND, None, None),
}
"""Who reads a word of memory: a program, the unit at fault, its instruction, and where from r1 on its burst began."""


@pytest.mark.parametrize("wrong", [1, 2])
@pytest.mark.parametrize("reader", READERS)
def test_errors_in_memory(device: Device, rng: np.random.Generator, reader: str, wrong: int) -> None:
    """One wrong bit of a word and its check bits is corrected and counted, two are a fault of the launch that reads
    them; the next launch is well."""
    backend = backend_of(device)
    device.reset()
    text, unit, pc, offset = READERS[reader]
    data = rng.integers(0, 256, 256, np.uint8)
    buffer = device.upload(data)
    device.run(gemel.assemble("LOAD l1=0 bytes=256\nLOAD l1=0x8000 bytes=64\nHALT"))
    launch = device.launch(gemel.assemble(text), [buffer])
    ring = device._rings[0]
    place = {
        "instructions": launch.keeps[0].address + 64,
        "arguments": ring.base + PACKETS * PACKET_BYTES + ARGUMENT_BYTES,
        "the packet": ring.base + 2 * PACKET_BYTES,
    }.get(reader, buffer.address + 64)
    bits = sum(1 << int(bit) for bit in rng.choice(72, wrong, replace=False))
    flips = {"data": bits & (1 << 64) - 1, "check": bits >> 64}
    backend.flip(place, **flips)
    before = device.read_register("channel", "corrected")
    if wrong == 2 and unit is not None:
        with pytest.raises(DeviceFault) as caught:
            launch.wait()
        fault = caught.value
        assert (fault.code, fault.unit) == (FaultCode.ECC_MEMORY, unit)
        assert pc is None or fault.pc == pc
        assert offset is None or fault.address == buffer.address + offset
    else:
        launch.wait()
        assert (device.read_register("channel", "corrected") > before) is (unit is not None)
    if wrong == 2 or unit is None:  # else it went back corrected
        backend.flip(place, **flips)
    device.run(gemel.assemble(text), [buffer])


@pytest.mark.parametrize("bits", [(100,), (100, 101)])
def test_errors_in_instructions(device: Device, bits: tuple[int, ...]) -> None:
    """In the window, while the sequencer waits at the instruction before."""
    backend = backend_of(device)
    device.reset()  # or registers still show the launch before, until this one has begun
    index = next(i for i, (name, _, _) in enumerate(backend.states()) if name.endswith(".fetch.window"))
    launch = device.launch(
        gemel.assemble("LOAD mem=0x8000 bytes=16384 valid_bytes=16384 valid1=1 signal0=s1*1\nNOP wait0=s1*1\nHALT")
    )

    def waits() -> bool:
        """Whether the launch has begun, and its second instruction waits."""
        running = device.read_register("ring", "status") >> 1 & 1
        core = [device.read_register("core", name) for name in ("sequencer_pc", "waiting")]
        return bool(running) and core == [1, 1 << Unit.SEQUENCER]

    while not waits():
        assert not launch.done
        backend.run(2)
    backend.run(8)  # what comes behind the instruction that waits is there too
    assert waits()
    for bit in bits:
        backend.upset(index, 2, bit)
    if len(bits) == 1:
        launch.wait()
        assert device.read_register("core", "ecc_corrected") == 1
    else:
        with pytest.raises(DeviceFault) as caught:
            launch.wait()
        assert (caught.value.code, caught.value.unit, caught.value.pc) == (FaultCode.ECC_FETCH, Unit.SEQUENCER, 2)
