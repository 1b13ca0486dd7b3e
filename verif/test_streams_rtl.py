"""Streams on the simulated hardware: golden's results and faults, and what overlaps, in cycles."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault, Event, Stream, assemble
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.aperture import l1_address
from gemel_verif.stream_graphs import run_graph, spin_program

MEMORY = 1 << 20
BUSES = [
    {"latency": 100},
    {"latency": 1, "stalls": 0.3},
    {"latency": 37, "bandwidth": 24.5, "stalls": {"r": 0.5, "b": 0.8}},
]
SPIN = 300
"""Turns of a loop that takes a launch some thousand cycles."""


@pytest.fixture(scope="module", params=[1, 2], ids=["one_core", "two_cores"])
def shared(request) -> Iterator[Device]:
    with gemel.open("nano", memory_bytes=MEMORY, overrides={"cores": request.param}) as device:
        yield device


@pytest.fixture
def device(shared: Device) -> Device:
    """The chip, reset, with a memory of 100 cycles of latency."""
    configure(shared, latency=100)
    shared.reset()
    return shared


def configure(device: Device, **options) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


def spins(stream: Stream, count: int, turns: int = SPIN) -> list[Event]:
    """`count` launches, and an event before the first and after each."""
    events = [stream.record()]
    for _ in range(count):
        stream.launch(spin_program(turns))
        events.append(stream.record())
    return events


def test_a_launch_takes_what_its_loop_says(device: Device) -> None:
    stream = device.stream()
    short, long = spins(stream, 1), spins(stream, 1, 2 * SPIN)
    stream.synchronize()
    cycles = short[0].elapsed(short[1]), long[0].elapsed(long[1])
    # Two NOPs and END of two cycles each; the last turn depends on what was fetched ahead.
    assert abs(cycles[1] - cycles[0] - 6 * SPIN) <= 2
    assert 300 < cycles[0] - 6 * SPIN < 600, "a launch costs three latencies, its event another"


@pytest.mark.parametrize("bus", range(len(BUSES)))
def test_random_graphs_leave_what_sequential_work_leaves(device: Device, bus: int, rng: np.random.Generator) -> None:
    configure(device, seed=int(rng.integers(1 << 30)), **BUSES[bus])
    run_graph(device, rng, streams=3, steps=60)


def test_streams_on_two_cores_overlap_and_on_one_take_turns(device: Device) -> None:
    first, second = device.stream(cores=[0]), device.stream(cores=[device.config.cores - 1])
    assert first.ring != second.ring
    one, two = spins(first, 4), spins(second, 4)
    device.synchronize()
    alone = spins(first, 4)
    device.synchronize()
    together = max(one[-1].cycle, two[-1].cycle) - min(one[0].cycle, two[0].cycle)
    ratio = together / alone[0].elapsed(alone[-1])
    if device.config.cores > 1:
        assert ratio < 1.05
        return
    assert 1.5 < ratio < 2.1
    ends = sorted([(event.cycle, "one") for event in one[1:]] + [(event.cycle, "two") for event in two[1:]])
    assert all(a[1] != b[1] for a, b in pairwise(ends)), "equals take turns"


def test_the_higher_priority_overtakes(device: Device) -> None:
    """Both rings are full of work for core 0; of the later stream all but what waits for its own packets goes first."""
    low, high = device.stream(priority=1, cores=[0]), device.stream(priority=6, cores=[0])
    late, early = spins(low, 8), spins(high, 4)
    device.synchronize()
    ahead = sum(event.cycle < early[-1].cycle for event in late[1:])
    assert ahead <= 5, "at most one launch of the lower priority between two of the higher"
    turns = [sum(event.cycle < mine.cycle for event in late[1:]) for mine in early[1:]]
    assert all(b - a <= 1 for a, b in pairwise(turns))


def test_a_wait_holds_its_stream_only(device: Device) -> None:
    first, second = device.stream(cores=[0]), device.stream(cores=[device.config.cores - 1])
    work = spins(first, 2)
    second.launch(spin_program(1))
    free = second.record()
    second.wait(work[-1])
    second.launch(spin_program(1))
    held = second.record()
    device.synchronize()
    assert free.cycle < work[-1].cycle < held.cycle
    # A look at the word every 64 cycles and its latency, the launch, the event.
    assert work[-1].elapsed(held) < 64 + 100 + 326 + 100 + 50


def test_a_copy_reaches_scratchpads(device: Device, rng: np.random.Generator) -> None:
    """Memory to core 1's L1, from there to core 0's, and back, at odd addresses; beyond L1 is golden's fault."""
    if device.config.cores == 1:
        return
    configure(device, latency=20, stalls=0.3, reorder=True, seed=int(rng.integers(1 << 30)))
    data = rng.integers(0, 256, 20_001, np.uint8)
    sentences = []
    for chip in (device, gemel.open(device.config, "golden", memory_bytes=MEMORY)):
        source, target, stream = chip.upload(data), chip.alloc(data.size), chip.stream(cores=[0])
        near, far = l1_address(chip.config, 0, 70), l1_address(chip.config, 1, 4093)
        for to, origin in ((far, source), (near, far), (target, near)):
            stream.copy(to, origin, data.size)
        stream.synchronize()
        np.testing.assert_array_equal(target.read(), data)
        with pytest.raises(DeviceFault) as caught:
            stream.copy(target, l1_address(chip.config, 1, chip.config.l1_bytes - 100), 101).wait()
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1] and "MEMORY_READ in COMMAND" in sentences[0]


def test_faults_are_golden_faults(device: Device) -> None:
    cores = device.config.cores
    bad = assemble(
        "LOAD mem=r1 bytes=64 valid_bytes=64 valid1=1 signal0=s0*1\nNOP wait0=s0*1\nLOOP count=900\nNOP\nEND\nHALT"
    )
    sentences: list[list[str]] = []
    for chip in (device, gemel.open(device.config, "golden", memory_bytes=MEMORY)):
        found: list[str] = []
        streams = [chip.stream(cores=[0]), chip.stream(cores=range(cores)), chip.stream(cores=[cores - 1])]
        streams[0].launch(assemble("NOP\nEND\nHALT"))
        streams[1].launch(bad, [[MEMORY if core == cores - 1 else 0] for core in range(cores)])
        streams[2].launch(spin_program(SPIN))
        hung = streams[1].launch(assemble("NOP wait0=s3*1\nHALT"))
        hung.cancel()
        for stream in streams:
            try:
                stream.synchronize()
                found.append("well")
            except DeviceFault as fault:
                found.append(str(fault))
        try:
            hung.wait()
        except DeviceFault as fault:
            found.append(str(fault))
        sentences.append(found)
    assert sentences[0] == sentences[1]
    assert sentences[0][2] == "well" and "MEMORY_READ in LOAD" in sentences[0][1] and "CANCELLED" in sentences[0][3]


def test_one_program_on_both_cores(device: Device) -> None:
    """Per-core arguments; the launch lasts as long as the slowest core, and its counters are sums."""
    cores = device.config.cores
    text = "LOAD mem=r1 bytes=64 valid_bytes=64 valid1=1 signal0=s0*1\nSTORE mem=r2 bytes=64 wait0=s0*1\nHALT"
    data = np.arange(64 * cores, dtype=np.uint8)
    source, target = device.upload(data), device.alloc(data.size)
    lists = [[source.address + 64 * core, target.address + 64 * core] for core in range(cores)]
    result = device.run(assemble(text), lists, cores=range(cores))
    np.testing.assert_array_equal(target.read(), data)
    assert result.counters["load_busy"] == result.counters["store_busy"] == cores
    assert 200 < result.cycles < 400


def test_the_page_of_examples_runs(device: Device, capsys: pytest.CaptureFixture[str]) -> None:
    """docs/streams.md on a chip of its own; the figures that the page names."""
    if device.config.cores == 1:
        return
    text = (Path(__file__).parents[1] / "docs" / "streams.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    exec(compile(code, "streams.md", "exec"), {})
    beats, launch, fault = capsys.readouterr().out.splitlines()
    assert beats == "both cores: 128 beats" and fault.startswith("LOOP_NESTING in SEQUENCER at instruction 0 (END)")
    assert 500 < int(launch.split()[-2]) < 750
