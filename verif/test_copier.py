"""The copy engine on the simulated hardware: golden's bytes and faults at any alignment, and its cycles."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault, Event, Launch, Program, Stream, reg
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.registers import COPY_COUNTS
from gemel_golden.windows import PAGE, WINDOWS

MEMORY = 1 << 22
BUSES: list[dict[str, Any]] = [
    {"latency": 1},
    {"latency": 30, "stalls": 0.4, "reorder": True},
    {"latency": 5, "bandwidth": 24.5, "stalls": {"ar": 0.7, "w": 0.5, "b": 0.8}},
]


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with gemel.open("nano", memory_bytes=MEMORY) as rtl, gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        yield rtl, golden


@pytest.fixture
def device(devices: tuple[Device, Device]) -> Device:
    """The hardware, reset, with a memory of 100 cycles of latency."""
    configure(devices[0], latency=100)
    devices[0].reset()
    return devices[0]


def configure(device: Device, **options: Any) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_every_alignment_of_both_ends(device: Device, rng: np.random.Generator, bus: int) -> None:
    """Short copies from each alignment of the source, in order, in two streams, and some of many rows."""
    configure(device, seed=int(rng.integers(1 << 30)), **BUSES[bus])
    half = 3000
    buffer = device.upload(rng.integers(0, 256, 4 * half, np.uint8))
    expected = buffer.read()
    streams = [device.stream(), device.stream()]
    for count in range(64 * 16):
        part, size = count % 2, int(rng.integers([4, 200, 1000][int(rng.integers(3))]))
        source = 2 * half * part + int(rng.integers((half - size - 64) // 64)) * 64 + count // 16
        target = 2 * half * part + half + int(rng.integers(half - size))
        if rng.random() < 0.5:
            source, target = target, source
        streams[part].copy(buffer.address + target, buffer.address + source, size)
        expected[target : target + size] = expected[source : source + size].copy()
    device.synchronize()
    np.testing.assert_array_equal(buffer.read(), expected)


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_long_copies(device: Device, rng: np.random.Generator, bus: int) -> None:
    """Rows end at 64 KB; the byte before and the byte behind stay."""
    configure(device, seed=int(rng.integers(1 << 30)), **BUSES[bus])
    source, target = device.upload(rng.integers(0, 256, 200_128, np.uint8)), device.alloc(200_128)
    data, stream = source.read(), device.stream()
    for size in (65_535, 65_536, 65_537, 131_072, 200_000):
        skip, place = (int(x) for x in rng.integers(0, 64, 2))
        target.write(np.full(target.size, 0xA5, np.uint8))
        stream.copy(target.address + place, source.address + skip, size).wait()
        expected = np.full(target.size, 0xA5, np.uint8)
        expected[place : place + size] = data[skip : skip + size]
        np.testing.assert_array_equal(target.read(), expected)


def outcome(launch: Launch) -> str:
    try:
        launch.wait(timeout_cycles=50_000)
    except DeviceFault as fault:
        return str(fault)
    return "well"


def test_windows(devices: tuple[Device, Device], rng: np.random.Generator) -> None:
    """Random windows, which may touch and overlap: golden's faults, and nothing is written by a copy that has one."""
    configure(devices[0], latency=3, stalls=0.2, seed=int(rng.integers(1 << 30)))
    for device in devices:
        device.reset()
    seed = int(rng.integers(1 << 30))
    found: list[list[str]] = []
    memories = []
    for device in devices:
        rng = np.random.default_rng(seed)
        area = device.alloc(14 * PAGE, align=PAGE)
        area.write(rng.integers(0, 256, area.size, np.uint8))
        first = area.address // PAGE
        stream = device.stream(windows=[gemel.Window(base=area.address, limit=area.address + PAGE)])
        page = device._rings[stream.ring].page
        sentences = []
        for _ in range(150):
            rights = 0b11 | 1 << 31  # window 0 is the ring's own
            for window in range(1, WINDOWS):
                begin, end = sorted(int(x) for x in rng.integers(0, 15, 2))
                page.write(f"window{window}_base", first + begin)
                page.write(f"window{window}_limit", first + end)
                rights |= int(rng.integers(1, 4)) << 2 * window
            page.write("window_rights", rights)
            size = int(rng.integers(1, 6 * PAGE))
            target, source = (area.address + 7 * PAGE * part + int(rng.integers(7 * PAGE - size)) for part in (0, 1))
            before = area.read()
            sentences.append(outcome(stream.copy(target, source, size)))
            if sentences[-1] != "well":
                np.testing.assert_array_equal(area.read(), before)
        found.append(sentences)
        memories.append(area.read())
        stream.close()
    assert found[0] == found[1]
    np.testing.assert_array_equal(memories[0], memories[1])
    assert found[0].count("well") > 10 and len(set(found[0])) > 20
    assert all("PROTECTION in COMMAND at packet" in text for text in found[0] if text != "well")


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_the_end_of_memory(devices: tuple[Device, Device], rng: np.random.Generator, bus: int) -> None:
    """Golden's fault where an end begins or goes beyond memory; only the target is written, and its ring goes on."""
    configure(devices[0], seed=int(rng.integers(1 << 30)), **BUSES[bus])
    for device in devices:
        device.reset()
    top = 1 << devices[0].config.mem_address_bits
    cases = []
    for _ in range(24):
        size = int(rng.integers(1, 3000))
        beyond = int(rng.choice([MEMORY, MEMORY + 5 * PAGE, top, top + 7 * PAGE, MEMORY - size // 2 - 1]))
        cases.append((size, beyond + int(rng.integers(2)) * int(rng.integers(64)), bool(rng.integers(2))))
    found: list[list[str]] = []
    for device in devices:
        place, stream = device.alloc(4096), device.stream()
        found.append([])
        for size, beyond, reads in cases:
            before = device.memory.copy()
            near = place.address + 100
            target, source = (near, beyond) if reads else (beyond, near)
            found[-1].append(outcome(stream.copy(target, source, size)))
            rings = slice(device._rings[0].base, device._rings[-1].base + device._rings[-1].size)
            for part in (rings, slice(target, target + size)):  # of the target a fault may leave anything
                before[part] = device.memory[part]
            np.testing.assert_array_equal(device.memory, before)
        stream.copy(place.address + 128, place, 100).wait()
        stream.close()
    assert found[0] == found[1]
    assert "well" not in found[0]


def timed(stream: Stream, work: Any) -> tuple[Event, Event]:
    """Events before and after what `work` gives to the stream."""
    begin = stream.record()
    work()
    return begin, stream.record()


@pytest.mark.parametrize(
    ("skip", "place", "cycles"), [(0, 0, 16829), (7, 0, 16845), (0, 13, 16845), (7, 13, 16846), (63, 1, 16846)]
)
def test_bandwidth(device: Device, skip: int, place: int, cycles: int) -> None:
    """1 MB, 16,384 beats, with 100 cycles of latency, packet and event included."""
    source, target, stream = device.alloc((1 << 20) + 64), device.alloc((1 << 20) + 64), device.stream()
    begin, end = timed(stream, lambda: stream.copy(int(target) + place, int(source) + skip, 1 << 20))
    stream.synchronize()
    assert begin.elapsed(end) == cycles
    assert 16_384 / begin.elapsed(end) > 0.97


@pytest.mark.parametrize(
    ("size", "count", "skip", "place", "cycles"),
    [(4096, 28, 0, 0, 2336), (4096, 28, 7, 13, 2364), (1024, 28, 0, 0, 1610), (64, 28, 0, 0, 1476)],
)
def test_copies_in_a_row(device: Device, size: int, count: int, skip: int, place: int, cycles: int) -> None:
    """Each with a signal of its own, 100 cycles of latency; begun while those before it are under way."""
    source, target = (device.alloc(size * count + 64, align=PAGE) for _ in range(2))
    stream = device.stream()

    def work() -> None:
        for at in range(0, size * count, size):
            stream.copy(int(target) + place + at, int(source) + skip + at, size)

    begin, end = timed(stream, work)
    stream.synchronize()
    assert begin.elapsed(end) == cycles
    assert size < 4096 or size // 64 * count / cycles > 0.75


def test_an_event_behind_each_copy(device: Device) -> None:
    """Words of several beats are written one after the other; the copies still overlap."""
    source, target = (device.alloc(1 << 16, align=PAGE) for _ in range(2))
    stream = device.stream()
    events = [stream.record()]
    for at in range(0, 1 << 16, 4096):
        stream.copy(int(target) + at, int(source) + at, 4096)
        events.append(stream.record())
    stream.synchronize()
    assert events[0].elapsed(events[-1]) == 3721
    assert all(first.cycle < second.cycle for first, second in pairwise(events))


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_copies_that_need_each_other(device: Device, rng: np.random.Generator, bus: int) -> None:
    """Each reads what the one before wrote, or a part of it, or writes over what it read or wrote, at odd places."""
    configure(device, seed=int(rng.integers(1 << 30)), **BUSES[bus])
    buffer, stream = device.upload(rng.integers(0, 256, 16_384, np.uint8)), device.stream()
    expected = buffer.read()
    source, target, size = 77, 5001, 700
    for turn in range(120):
        stream.copy(buffer.address + target, buffer.address + source, size)
        expected[target : target + size] = expected[source : source + size].copy()
        old = target if turn % 3 else source
        source, size = old + int(rng.integers(-40, 40)), int(rng.integers(1, 900))
        away = source + size + int(rng.integers(0, 900))
        target = away if away + size <= buffer.size else int(rng.integers(source - size))
        if turn % 3 == 0:
            source, target = target, source
        source, target = (min(max(0, end), buffer.size - size) for end in (source, target))
        if max(source, target) < min(source, target) + size:
            source, target, size = 77, 5001, 700
    stream.synchronize()
    np.testing.assert_array_equal(buffer.read(), expected)


def test_a_chain_takes_a_latency_each(device: Device, rng: np.random.Generator) -> None:
    """A to B, B to C, C to D: nothing is read before it is there."""
    data = rng.integers(0, 256, 4096, np.uint8)
    buffers, stream = (
        [device.upload(data, align=PAGE), *(device.alloc(4160, align=PAGE) for _ in range(3))],
        device.stream(),
    )
    ends = [int(buffer) + skip for buffer, skip in zip(buffers, (0, 13, 1, 63), strict=True)]

    def work() -> None:
        for source, target in pairwise(ends):
            stream.copy(target, source, 4096)

    begin, end = timed(stream, work)
    stream.synchronize()
    np.testing.assert_array_equal(buffers[-1].read()[63 : 63 + 4096], data)
    assert begin.elapsed(end) == 1105


def test_a_copy_sees_the_signal_before_it(device: Device) -> None:
    """The words that earlier signals of its ring write are there, and a copy that writes over one comes behind it."""
    buffer, target, stream = device.alloc(4096), device.alloc(4096), device.stream()
    stream.copy(int(buffer), int(buffer) + 2048, 2048)
    first = stream.record()
    stream.copy(int(target), first.address, 16)
    last = stream.record()
    stream.copy(last.address + 8, int(target) + 8, 8)
    stream.synchronize()
    words = target.read("<u8", 2)
    assert list(words) == [1, first.cycle] and first.cycle > 0
    assert last.cycle == first.cycle


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_a_fault_among_copies(devices: tuple[Device, Device], rng: np.random.Generator, bus: int) -> None:
    """Each bad copy of a queue is a fault of its own; all others of both streams leave golden's bytes."""
    configure(devices[0], seed=int(rng.integers(1 << 30)), **BUSES[bus])
    seed, found, left = int(rng.integers(1 << 30)), [], []
    for device in devices:
        device.reset()
        rng = np.random.default_rng(seed)
        buffer, undefined = device.upload(rng.integers(0, 256, 1 << 16, np.uint8)), device.alloc(4096)
        streams = [device.stream(), device.stream()]
        launches = []
        for index in range(60):
            part, size = index % 2, int(rng.integers(1, 3000))
            source, target = (
                buffer.address + half * 32_768 + part * 16_384 + int(rng.integers(16_384 - size)) for half in (0, 1)
            )
            if index % 7 == 3:
                source, target = MEMORY - size // 2, undefined.address
            elif index % 11 == 5:
                target = (1 << device.config.mem_address_bits) - size // 2
            launches.append(streams[part].copy(target, source, size))
            if index % 5 == 0:
                streams[part].record()
        found.append([outcome(launch) for launch in launches])
        left.append(buffer.read())
        for stream in streams:
            stream.close()
    assert found[0] == found[1]
    assert found[0].count("well") == 60 - len([i for i in range(60) if i % 7 == 3 or i % 11 == 5])
    np.testing.assert_array_equal(left[0], left[1])


def product() -> Program:
    """One macro tile of FP8 over a K of 512: 4,096 cycles of the dot units, in L1."""
    p = Program()
    p.matmul(a=0, b=0x4000, d=0x8000, m=32, n=32, k=512, a_format="e4m3", b_format="e4m3")
    p.halt()
    return p


def test_a_copy_overlaps_a_launch_on_a_chip_of_one_core(device: Device, rng: np.random.Generator) -> None:
    data = rng.integers(0, 256, 200_000, np.uint8)
    source, target = device.upload(data), device.alloc(data.size)
    compute, copies = device.stream(cores=[0]), device.stream(cores=[0])
    assert compute.ring != copies.ring
    alone = []
    for stream, work in ((compute, lambda: compute.launch(product())), (copies, lambda: copies.copy(target, source))):
        begin, end = timed(stream, work)
        device.synchronize()
        alone.append(begin.elapsed(end))
    target.write(np.zeros(data.size, np.uint8))
    begins, ends = [], []
    for stream, work in ((compute, lambda: compute.launch(product())), (copies, lambda: copies.copy(target, source))):
        begin, end = timed(stream, work)
        begins.append(begin)
        ends.append(end)
    device.synchronize()
    np.testing.assert_array_equal(target.read(), data)
    together = max(end.cycle for end in ends) - min(begin.cycle for begin in begins)
    assert (alone, together) == ([4543, 3570], 4544)
    assert together < sum(alone)


def loads(turns: int) -> Program:
    """16 KB from register 1 to L1, again and again."""
    p = Program()
    with p.loop(turns):
        p.load(mem=reg(1), bytes=16384, valid_bytes=16384, valid1=1)
    p.halt()
    return p


def test_copies_share_the_memory_with_loads(device: Device) -> None:
    """LOAD's bursts of 64 beats and the copy's of 16 take turns: meanwhile LOAD has four fifths of the beats."""
    source, target = (device.alloc(256 << 10, align=PAGE) for _ in range(2))
    compute, copies = device.stream(cores=[0]), device.stream(cores=[0])
    alone = []
    for stream, work in (
        (compute, lambda: compute.launch(loads(16), [source])),
        (copies, lambda: copies.copy(target, source)),
    ):
        begin, end = timed(stream, work)
        device.synchronize()
        alone.append(begin.elapsed(end))
    one = timed(compute, lambda: compute.launch(loads(16), [source]))
    two = timed(copies, lambda: copies.copy(target, source))
    device.synchronize()
    assert (alone, one[0].elapsed(one[1]), two[0].elapsed(two[1])) == ([4535, 4541], 4895, 8638)


def test_a_core_reset_does_not_disturb_a_copy(device: Device, rng: np.random.Generator) -> None:
    data = rng.integers(0, 256, 50_001, np.uint8)
    source, target = device.upload(data), device.alloc(data.size)
    compute, copies = device.stream(cores=[0]), device.stream(cores=[0])
    hung = compute.launch(loads(1000), [source])
    copy = copies.copy(target, source)
    device.backend.run(700)
    hung.cancel()
    with pytest.raises(DeviceFault, match="CANCELLED in COMMAND"):
        hung.wait()
    assert not copy.done
    copy.wait()
    np.testing.assert_array_equal(target.read(), data)


def test_a_copy_that_is_cancelled_ends_by_itself(device: Device) -> None:
    buffer, stream = device.alloc(64 << 10), device.stream()
    copy = stream.copy(int(buffer) + 32768, buffer, 32768)
    with pytest.raises(
        gemel.DeviceTimeout, match="launch 1 hasn't ended after 300 cycles: no program is running; a copy"
    ):
        copy.wait(timeout_cycles=300)
    copy.cancel()
    assert copy.wait().total_cycles > 512


def test_counters(device: Device) -> None:
    """Bytes as asked for, a beat more where the target is not aligned; nothing of a copy that faults."""
    buffer, stream = device.alloc(64 << 10), device.stream()
    stream.copy(int(buffer) + 32768, buffer, 10_000).wait()
    first = device.counters().copies
    stream.copy(int(buffer) + 32768 + 63, buffer, 66).wait()
    second, total = device.counters().copies, device.counters(since_reset=True).copies
    with pytest.raises(DeviceFault):
        stream.copy(MEMORY, buffer, 4096).wait()
    third = device.counters().copies
    assert list(first) == list(COPY_COUNTS)
    assert (first["copy_bytes"], first["copy_beats"]) == (10_000, 157)
    assert (second["copy_bytes"], second["copy_beats"]) == (66, 3)
    assert 157 + 200 < first["copy_busy"] < 157 + 250 and 200 < second["copy_busy"] < 250
    assert total == {name: first[name] + second[name] for name in COPY_COUNTS}
    assert third["copy_bytes"] == 0 and third["copy_busy"] > 200


def test_a_fault_is_reported_once_and_in_its_stream(device: Device) -> None:
    buffer, bad, good = device.alloc(4096), device.stream(), device.stream()
    bad.copy(buffer, MEMORY, 64)
    good.copy(buffer, 64, 64)
    bad.copy(buffer, 64, 64)
    good.synchronize()
    with pytest.raises(DeviceFault) as caught:
        bad.synchronize()
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc, fault.address) == (FaultCode.MEMORY_READ, Unit.COMMAND, 0, MEMORY)
    bad.synchronize()
