"""Streams and events on the golden chip: order, waits, faults, several cores."""

import re
from pathlib import Path

import numpy as np
import pytest

import gemel
from gemel import DeviceFault, DeviceTimeout, Program, assemble, reg
from gemel.driver.ring import PACKETS
from gemel_golden.isa import FaultCode
from gemel_verif.stream_graphs import run_graph, spin_program

MEMORY = 1 << 20


@pytest.fixture(params=[1, 2, 3])
def device(request):
    with gemel.open("nano", "golden", memory_bytes=MEMORY, overrides={"cores": request.param}) as device:
        yield device


def word_program() -> Program:
    """Moves 64 bytes from register 2 to register 1."""
    p = Program()
    p.load(mem=reg(2), bytes=64, valid_bytes=64, valid1=1, signal={0: 1})
    p.store(mem=reg(1), bytes=64, wait={0: 1})
    p.halt()
    return p


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_random_graphs_leave_what_sequential_work_leaves(device, rng: np.random.Generator, streams: int) -> None:
    run_graph(device, rng, streams, 200)


def test_one_program_on_all_cores_with_their_own_arguments(device, rng: np.random.Generator) -> None:
    cores = device.config.cores
    data = rng.integers(0, 256, (cores, 64), np.uint8)
    source, target = device.upload(data), device.upload(np.zeros((2 * cores, 64), np.uint8))
    lists = [[target.address + 64 * core, source.address + 64 * core] for core in range(cores)]
    device.run(word_program(), lists, cores=range(cores))
    np.testing.assert_array_equal(target.read(np.uint8, (cores, 64)), data)
    device.run(word_program(), [target.address + 64 * cores, source], cores=range(cores))
    np.testing.assert_array_equal(target.read(np.uint8, 64, offset=64 * cores), data[0])


@pytest.mark.parametrize("nbytes", [1, 63, 64, 4097, 16384, 16385, 65536, 70000, 200_001])
def test_copies_of_any_size_and_alignment(device, rng: np.random.Generator, nbytes: int) -> None:
    data = rng.integers(0, 256, nbytes, np.uint8)
    source, target = device.alloc(nbytes + 7), device.upload(np.zeros(nbytes + 64, np.uint8))
    source.write(data, offset=7)
    device.stream().copy(int(target) + 13, int(source) + 7, nbytes).wait()
    expected = np.concatenate([np.zeros(13, np.uint8), data, np.zeros(51, np.uint8)])
    np.testing.assert_array_equal(target.read(), expected)


def test_a_fault_surfaces_in_its_stream_only(device) -> None:
    bad, good = device.stream(), device.stream()
    bad.launch(assemble("NOP\nEND\nHALT"))
    good.launch(assemble("HALT"))
    bad.launch(assemble("HALT"))
    good.synchronize()
    with pytest.raises(DeviceFault) as caught:
        bad.synchronize()
    assert (caught.value.code, caught.value.pc, caught.value.core) == (FaultCode.LOOP_NESTING, 1, bad.cores[0])
    assert f"SEQUENCER{f' of core {bad.cores[0]}' if bad.cores[0] else ''} at instruction 1" in str(caught.value)
    bad.synchronize()
    device.synchronize()


def test_a_fault_cancels_the_launch_on_all_cores(device) -> None:
    cores = device.config.cores
    program = assemble("LOAD mem=r1 bytes=64 valid_bytes=64 valid1=1 signal0=s0*1\nNOP wait0=s0*1\nHALT")
    lists = [[MEMORY if core == cores - 1 else 0] for core in range(cores)]
    with pytest.raises(DeviceFault) as caught:
        device.run(program, lists, cores=range(cores))
    assert (caught.value.code, caught.value.core) == (FaultCode.MEMORY_READ, cores - 1)
    device.run(program, [0], cores=range(cores))


def test_a_launch_that_hangs_can_be_cancelled(device) -> None:
    stream = device.stream()
    before, hung, after = (stream.launch(assemble(text)) for text in ("HALT", "NOP wait0=s3*1\nHALT", "HALT"))
    with pytest.raises(DeviceTimeout, match=r"launch 2 hasn't ended after 1,000 cycles: SEQUENCER waits at instruc"):
        hung.wait(timeout_cycles=1000)
    hung.cancel()
    with pytest.raises(DeviceFault, match="CANCELLED in COMMAND at packet 2 of the ring: the launch was cancelled"):
        hung.wait()
    assert before.wait() and after.wait()


def test_cancel_waits_for_what_is_before(device) -> None:
    stream = device.stream()
    first, hung = stream.launch(assemble("HALT")), stream.launch(assemble("NOP wait0=s3*1\nHALT"))
    hung.cancel()
    assert first.done and hung.fault is not None and hung.fault.code == FaultCode.CANCELLED


def test_the_host_waits_for_an_event_that_another_stream_holds_up(device) -> None:
    first, second = device.stream(), device.stream()
    first.launch(spin_program(10))
    made = first.record()
    second.wait(made)
    second.launch(spin_program(1))
    done = second.record()
    done.synchronize()
    assert made.done and made.elapsed(done) == 0


def test_library_calls_run_in_the_current_stream(device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.standard_normal((4, 32)).astype(np.float32), "bf16")
    stream = device.stream(cores=[device.config.cores - 1])
    begun = [ring.submitted for ring in device._rings]
    with stream, device.default_stream, stream:
        inside = gemel.matmul(x, x.T)
    outside = gemel.matmul(x, x.T)
    np.testing.assert_array_equal(inside.numpy(), outside.numpy())
    assert device.current_stream is device.default_stream
    if device.config.cores > 1:
        with stream, pytest.raises(ValueError, match="the current stream has 1 of the chip's cores, not 2"):
            gemel.matmul(x, x.T, cores=2)
    used = [ring.submitted - before for ring, before in zip(device._rings, begun, strict=True)]
    assert used[stream.ring] >= 1 and used[0] >= 1


def test_more_packets_than_a_ring_holds(device) -> None:
    first, second = device.stream(), device.stream()
    for _ in range(PACKETS):
        first.launch(spin_program(1))
        second.wait(first.record())
        second.launch(spin_program(1))
    device.synchronize()


def test_an_event_that_nobody_holds_stays_until_it_is_written(device) -> None:
    stream = device.stream()
    stream.launch(spin_program(1))
    stream.record()
    fresh = device.upload(np.full(64, 7, np.uint8))
    stream.synchronize()
    assert fresh.read().tolist() == [7] * 64


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d: d.stream(priority=8), r"a priority lies in 0..7, not 8"),
        (lambda d: d.stream(cores=[9]), r"cores are different numbers in 0..\d, not \[9\]"),
        (lambda d: d.stream(cores=[0, 0]), r"cores are different numbers in 0..\d, not \[0, 0\]"),
        (lambda d: d.launch(assemble("HALT"), cores=[]), r"cores are different numbers in 0..\d, not \[\]"),
        (lambda d: d.launch(assemble("HALT"), [[1], [2], [3], [4]]), "4 lists of arguments don't fit 1 core"),
        (lambda d: d.launch(assemble("HALT"), [[1], 2]), "2 lists of arguments don't fit 1 core"),
        (lambda d: d.stream().record().elapsed(d.stream().record()), r"the event isn't done: synchronize\(\) with it"),
        (lambda d: d.stream().copy(4096, 8192), "a copy between addresses needs its number of bytes"),
        (lambda d: d.stream().copy(4096, 4000, 97), "the ranges at 0xfa0 and 0x1000 overlap in a copy of 97 bytes"),
        (lambda d: d.stream().copy(d.alloc(64), 64, 65), "65 bytes are more than the target's 64"),
        (lambda d: d.stream().copy(4096, 8192, -1), "can't copy -1 bytes"),
    ],
)
def test_nonsense_is_refused(device, call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(device)


def test_the_page_of_examples_runs(capsys) -> None:
    text = (Path(__file__).parents[1] / "docs" / "streams.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    exec(compile(code.replace('"rtl"', '"golden"'), "streams.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "both cores: 0 beats",
        "a launch and its event: 0 cycles",
        "LOOP_NESTING in SEQUENCER at instruction 0 (END): LOOP and END don't nest, or nest too deeply",
    ]
