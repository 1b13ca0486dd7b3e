"""Windows, watchdog and core reset on the simulated hardware, beside golden and under random stalls."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest

import gemel
from gemel import Buffer, Device, DeviceFault, Stream, Window
from gemel.bench.random_programs import random_copies
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import FaultCode, Unit

MEMORY = 1 << 20
DATA = 512 << 10
PAGE = 4096
VIOLATIONS = [
    ("LOAD mem=r1+0x2000 bytes=64 valid_bytes=64 valid1=1", "LOAD", 0, 0x2000),
    ("NOP\nSTORE mem=r1+0x2000 bytes=64", "STORE", 1, 0x2000),
    # The first page is allowed, and so is what the first bursts do there.
    ("LOAD mem=r1+0x1fc1 bytes=256 valid_bytes=256 valid1=1", "LOAD", 0, 0x2000),
    ("STORE mem=r1+0x1fc1 bytes=256", "STORE", 0, 0x2000),
    # Rows: the second lies outside, before the window.
    ("STORE mem=r1 bytes=100 count1=3 stride1=-70", "STORE", 0, -0x80),
    # May be read, not written.
    ("LOAD mem=r2 bytes=64 valid_bytes=64 valid1=1\nSTORE mem=r2 bytes=64", "STORE", 1, 0x4000),
]
"""Program text without its HALT; the unit at fault, its instruction, the address counted from the first window."""


@dataclass
class Place:
    """A stream with two pages that it may read and write and one that it may read, in the middle of others' memory."""

    device: Device
    around: Buffer
    stream: Stream

    @property
    def begin(self) -> int:
        """Where the first window begins."""
        return self.around.address + 2 * PAGE

    @property
    def readable(self) -> int:
        """Where the second window begins."""
        return self.begin + 4 * PAGE


def prepare(device: Device, rng: np.random.Generator, watchdog: int = 0) -> Place:
    """A protected stream on `device`, and random bytes around its windows."""
    around = device.alloc(10 * PAGE, align=PAGE)
    around.write(rng.integers(0, 256, around.size, np.uint8))
    begin = around.address + 2 * PAGE
    windows = [
        Window(base=begin, limit=begin + 2 * PAGE, read=True, write=True),
        Window(base=begin + 4 * PAGE, limit=begin + 5 * PAGE, read=True),
    ]
    return Place(device, around, device.stream(windows=windows, watchdog=watchdog))


def check(place: Place, text: str, unit: str, pc: int, offset: int) -> str:
    """The program is stopped where it leaves its windows, nothing outside is touched, and both streams go on; the
    fault's sentence without addresses."""
    device = place.device
    before = device.memory.copy()
    bad = place.stream.launch(gemel.assemble(text + "\nHALT"), [place.begin, place.readable])
    other = device.launch(gemel.assemble("STORE mem=r1 bytes=64\nHALT"), [place.begin + 8 * PAGE - 64])
    try:
        bad.wait(timeout_cycles=50_000)
    except DeviceFault as fault:
        found = (fault.code.name, fault.unit.name, fault.pc, fault.address - place.begin)
        assert found == ("PROTECTION", unit, pc, offset)
        sentence = re.sub(r"0x\w+", "", str(fault))
    else:
        raise AssertionError("the launch wasn't stopped")
    other.wait(timeout_cycles=50_000)
    place.stream.launch(gemel.assemble("STORE mem=r1+0x1fc0 bytes=64\nHALT"), [place.begin]).wait(timeout_cycles=50_000)
    place.stream.close()
    around = slice(place.around.address, place.around.address + place.around.size)
    changed = np.flatnonzero(before[around] != device.memory[around]) + place.around.address - place.begin
    allowed = ((changed >= 0) & (changed < 2 * PAGE)) | ((changed >= 8 * PAGE - 64) & (changed < 8 * PAGE))
    assert allowed.all(), changed[~allowed]
    return sentence


BUSES = [{"latency": 30}, {"latency": 5, "stalls": 0.4, "reorder": True}]


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with gemel.open("nano", memory_bytes=MEMORY) as rtl, gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        yield rtl, golden


def configure(device: Device, **options) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


@pytest.mark.parametrize("bus", range(len(BUSES)))
@pytest.mark.parametrize(("text", "unit", "pc", "offset"), VIOLATIONS)
def test_launches_stay_in_their_windows(
    devices: tuple[Device, Device],
    rng: np.random.Generator,
    bus: int,
    text: str,
    unit: str,
    pc: int,
    offset: int,
) -> None:
    configure(devices[0], **BUSES[bus])
    seed = int(rng.integers(1 << 30))
    sentences = [check(prepare(device, np.random.default_rng(seed)), text, unit, pc, offset) for device in devices]
    assert sentences[0] == sentences[1]


@pytest.mark.parametrize("right", ["read", "write"])
def test_a_sum_in_memory_needs_both_rights(devices: tuple[Device, Device], right: str) -> None:
    configure(devices[0], latency=20)
    text = "LOAD l1=0x8000 bytes=64 signal0=s1*1\nSCATTER_ADD mem=r1 l1=0 bytes=64 indices=0x8000 limit=1 wait0=s1*1"
    for device in devices:
        page = device.alloc(PAGE, align=PAGE)
        begin = page.address
        window = Window(base=begin, limit=begin + PAGE, read=right == "read", write=right == "write")
        with contextlib.closing(device.stream(windows=[window])) as stream:
            with pytest.raises(DeviceFault) as caught:
                stream.launch(gemel.assemble(text + "\nHALT"), [begin]).wait(timeout_cycles=50_000)
        fault = caught.value
        assert (fault.code, fault.unit, fault.pc, fault.address) == (FaultCode.PROTECTION, Unit.STORE, 1, begin)


@pytest.mark.parametrize(
    ("name", "pages", "what"),
    [("window0_limit", 0, "packet"), ("window0_limit", 1, "arguments"), ("window_rights", None, "end")],
)
def test_the_rings_own_accesses(
    devices: tuple[Device, Device], rng: np.random.Generator, name: str, pages: int | None, what: str
) -> None:
    """A packet, arguments, or the SIGNAL at the end outside of the windows: the ring stops with golden's record."""
    configure(devices[0], latency=20)
    found = []
    for device in devices:
        place = prepare(device, rng)
        number = place.stream.ring
        page = device._rings[number].page
        base = page.read("window0_base")
        page.write(name, 1 << 31 | 0b1101 if pages is None else base + pages)
        launch = place.stream.launch(gemel.assemble("HALT"), [1, 2])
        with contextlib.suppress(gemel.DeviceTimeout):  # without its SIGNAL, the host doesn't see a launch's end
            device.run_until(launch, 20_000)
        fault = launch.fault or device._faults[number]
        assert (fault.code, fault.unit) == (FaultCode.PROTECTION, Unit.COMMAND), what
        found.append((fault.pc, fault.address - 4096 * base))
        device.release(place.stream)
        device.reset()
    assert found[0] == found[1]


def test_the_watchdog(devices: tuple[Device, Device]) -> None:
    configure(devices[0], latency=20)
    sentences = []
    for device in devices:
        stream = device.stream(watchdog=1000)
        stuck = stream.launch(gemel.assemble("NOP\nLOAD wait0=s1*1\nNOP wait0=s2*1\nHALT"))
        begun = device.backend.cycles
        with pytest.raises(DeviceFault) as caught:
            stuck.wait(timeout_cycles=20_000)
        assert device.backend.cycles - begun < 1000 + 400
        sentences.append(str(caught.value))
        stream.launch(gemel.assemble("HALT")).wait(timeout_cycles=20_000)
        stream.close()
    assert sentences[0] == sentences[1]


def test_a_core_reset_leaves_the_bus_in_order(devices: tuple[Device, Device], rng: np.random.Generator) -> None:
    """At any moment of a program, under stalls: the launch ends as cancelled and the next one is golden's."""
    rtl, golden = devices
    for _ in range(12):
        configure(rtl, latency=int(rng.choice([1, 40, 300])), stalls=float(rng.choice([0, 0.5])), seed=1)
        program = random_copies(rng, 8)
        data = rng.integers(0, 256, MEMORY - DATA, np.uint8)
        rtl.memory[DATA:] = data
        launch = rtl.launch(program, [DATA])
        rtl.backend.run(int(rng.integers(2000)))
        if rtl.read_register("ring", "status") >> 1 & 1:
            rtl._chip.write("core_reset", 1)
            with pytest.raises(DeviceFault) as caught:
                launch.wait(timeout_cycles=50_000)
            assert (caught.value.code, caught.value.unit) == (FaultCode.CANCELLED, Unit.COMMAND)
        else:
            launch.wait(timeout_cycles=50_000)
        for device in devices:
            device.memory[DATA:] = data
            device.run(program, [DATA], timeout_cycles=50_000)
        np.testing.assert_array_equal(rtl.memory[DATA:], golden.memory[DATA:])
