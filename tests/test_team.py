"""Cores of one launch on the golden chip: barriers, signals and L1s of others; ranks that aren't there, deadlocks."""

import numpy as np
import pytest

import gemel
from gemel import Program
from gemel_golden.isa import SEMAPHORE_MAX, FaultCode, Unit
from gemel_verif.team_programs import TEAM_PROGRAMS, Team, beyond_l1

BASE = 1 << 19


@pytest.fixture
def quad():
    with gemel.open("quad", "golden", memory_bytes=1 << 20) as device:
        yield device


@pytest.mark.parametrize("cores", [(0,), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("name", TEAM_PROGRAMS)
def test_programs(quad, rng: np.random.Generator, name: str, cores: tuple[int, ...]) -> None:
    team = Team(quad.config, cores, BASE, rng.integers(0, 256, 1 << 15, dtype=np.uint8))
    place = slice(BASE, BASE + len(team.memory))
    quad.memory[place] = team.memory
    TEAM_PROGRAMS[name](team)
    quad.run(team.program.bytes, team.arguments, cores=cores)
    np.testing.assert_array_equal(quad.memory[place], team.memory)


def test_a_rank_that_the_launch_hasnt_is_a_fault(quad) -> None:
    p = Program()
    p.nop()
    p.signal(cores=0b100, signal={1: 1})
    p.halt()
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(p, cores=(1, 2))
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc) == (FaultCode.ILLEGAL_FIELD, Unit.SEQUENCER, 1)
    quad.run(p, cores=(0, 1, 2))


def test_a_core_that_never_comes_leaves_the_others_at_the_barrier(quad) -> None:
    """Rank 1 waits for a semaphore that only rank 0 is given."""
    p = Program()
    p.signal(cores=0b01, signal={5: 1})
    p.nop(wait={5: 1})
    p.barrier()
    p.halt()
    with pytest.raises(gemel.DeviceTimeout):
        quad.run(p, cores=(0, 1), timeout_cycles=1000)
    assert [quad.read_register("core", "sequencer_pc", core) for core in (0, 1)] == [2, 1]
    assert [quad.read_register("core", "waiting", core) for core in (0, 1)] == [1, 1]


@pytest.mark.parametrize("where", ["across the end", "no core"])
@pytest.mark.parametrize(("what", "code"), [("load", FaultCode.MEMORY_READ), ("store", FaultCode.MEMORY_WRITE)])
def test_addresses_without_an_l1_are_faults(quad, what: str, code: FaultCode, where: str) -> None:
    program, address = beyond_l1(quad.config, what, where)
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(program, cores=(2,), timeout_cycles=10_000)
    assert (caught.value.code, caught.value.pc, caught.value.address) == (code, 1, address)


def test_signals_that_overflow_are_the_fault_of_their_target(quad) -> None:
    p = Program()
    with p.loop(2):
        p.signal(cores=0b10, signal={1: SEMAPHORE_MAX // 2 + 1})
    p.halt()
    with pytest.raises(gemel.DeviceFault) as caught:
        quad.run(p, cores=(0, 2), timeout_cycles=10_000)
    fault = caught.value
    assert (fault.code, fault.unit, fault.pc, fault.core) == (FaultCode.SEMAPHORE_OVERFLOW, Unit.SEQUENCER, 1, 2)
