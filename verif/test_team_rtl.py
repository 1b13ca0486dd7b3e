"""Several cores on the simulated hardware: the bytes of the golden chip, whatever the memories' stalls and order.

L1 has check bits here, which other cores' accesses pass too; the cores of `test_streams_rtl` have none.
"""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel import Device, Program
from gemel.bench.matmul import product_of
from gemel.bench.scaling import run_scaling
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import SEMAPHORE_MAX, FaultCode, Unit
from gemel_verif.team_programs import TEAM_PROGRAMS, Team, beyond_l1

BASE = 1 << 20
MEMORIES = [
    {"latency": 100},
    {"latency": 1, "stalls": 0.3, "reorder": True},
    {"latency": 37, "stalls": {"r": 0.6, "b": 0.8, "aw": 0.5}, "reorder": True},
]


@pytest.fixture(scope="module")
def quad() -> Iterator[Device]:
    with gemel.open("quad", memory_bytes=4 << 20, overrides={"ecc": True}) as device:
        yield device


def configure(device: Device, **options) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


@pytest.mark.parametrize("memory", MEMORIES, ids=["steady", "stalls", "late answers"])
@pytest.mark.parametrize("cores", [(2,), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("name", TEAM_PROGRAMS)
def test_programs(quad: Device, rng: np.random.Generator, name: str, cores: tuple[int, ...], memory: dict) -> None:
    configure(quad, **memory, seed=int(rng.integers(1 << 32)))
    team = Team(quad.config, cores, BASE, rng.integers(0, 256, 1 << 15, dtype=np.uint8))
    place = slice(BASE, BASE + len(team.memory))
    quad.memory[place] = team.memory
    TEAM_PROGRAMS[name](team)
    quad.run(team.program.bytes, team.arguments, cores=cores, timeout_cycles=200_000)
    np.testing.assert_array_equal(quad.memory[place], team.memory)


def test_a_rank_that_the_launch_hasnt_is_a_fault(quad: Device) -> None:
    configure(quad)
    p = Program()
    p.nop()
    p.signal(cores=0b100, signal={1: 1})
    p.halt()
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(p, cores=(1, 2), timeout_cycles=10_000)
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc) == (FaultCode.ILLEGAL_FIELD, Unit.SEQUENCER, 1)
    quad.run(p, cores=(0, 1, 2), timeout_cycles=10_000)


def test_a_product_on_more_cores_is_faster(quad: Device) -> None:
    """Strong scaling from memory; `gemel bench scaling` has the larger product."""
    configure(quad)
    values = run_scaling(quad, product_of(256, 128, 256, "e4m3"), [1, 2, 4])
    assert values["exact"]
    assert values["speedup"][1] >= 1.9 and values["speedup"][2] >= 3.6, values


@pytest.mark.parametrize("where", ["across the end", "no core"])
@pytest.mark.parametrize(("what", "code"), [("load", FaultCode.MEMORY_READ), ("store", FaultCode.MEMORY_WRITE)])
def test_addresses_without_an_l1_are_faults(quad: Device, what: str, code: FaultCode, where: str) -> None:
    program, address = beyond_l1(quad.config, what, where)
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(program, cores=(2,), timeout_cycles=10_000)
    assert (caught.value.code, caught.value.pc, caught.value.address) == (code, 1, address)


def test_signals_that_overflow_are_the_fault_of_their_target(quad: Device) -> None:
    p = Program()
    with p.loop(2):
        p.signal(cores=0b10, signal={1: SEMAPHORE_MAX // 2 + 1})
    p.halt()
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(p, cores=(0, 2), timeout_cycles=10_000)
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc, fault.core) == (FaultCode.SEMAPHORE_OVERFLOW, Unit.SEQUENCER, 1, 2)


def prepare(quad: Device, rng: np.random.Generator, name: str, cores: tuple[int, ...], base: int) -> Team:
    """A team whose rows are in the chip's memory; `memory` is what they will be."""
    team = Team(quad.config, cores, base, rng.integers(0, 256, 1 << 15, dtype=np.uint8))
    quad.memory[base : base + len(team.memory)] = team.memory
    TEAM_PROGRAMS[name](team)
    return team


def check(quad: Device, team: Team) -> None:
    np.testing.assert_array_equal(quad.memory[team.base : team.base + len(team.memory)], team.memory)


def test_a_core_is_reset_while_others_go_on(quad: Device, rng: np.random.Generator) -> None:
    """At any moment of a launch on three cores, on buses that stall: it ends as cancelled, a launch on the fourth core
    doesn't notice, and the next launch has all four."""
    other = quad.stream(cores=(2,))
    for _ in range(6):
        configure(quad, **MEMORIES[2], seed=int(rng.integers(1 << 32)))
        three, one = prepare(quad, rng, "multicast", (0, 1, 3), BASE), prepare(quad, rng, "L1s", (2,), 2 * BASE)
        stopped = quad.launch(three.program.bytes, three.arguments, cores=three.cores)
        goes_on = other.launch(one.program.bytes, one.arguments, cores=one.cores)
        quad.backend.run(200 + int(rng.integers(400)))
        assert not stopped.done and not goes_on.done
        quad._chip.write("core_reset", 0b0010)
        with pytest.raises(gemel.DeviceFault) as caught:
            stopped.wait(timeout_cycles=50_000)
        assert (caught.value.code, caught.value.unit) == (FaultCode.CANCELLED, Unit.COMMAND)
        goes_on.wait(timeout_cycles=50_000)
        check(quad, one)
        four = prepare(quad, rng, "L1s", (0, 1, 2, 3), BASE)
        quad.run(four.program.bytes, four.arguments, cores=four.cores, timeout_cycles=200_000)
        check(quad, four)
    other.close()
