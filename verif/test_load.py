"""LOAD in simulation against golden: bytes, order, throughput, faults and aborts."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import config
from gemel_golden.isa import FaultCode, Opcode
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import chunks_of, images, random_values

NANO = config("nano")
WHOLE = {"count2": 1, "count3": 1, "stride2": 0, "stride3": 0, "valid1": 65535, "valid_bytes": 1 << 16}


def rows(**values: int) -> dict[str, int]:
    """A LOAD of whole rows."""
    return WHOLE | {"mem": 0, "l1": 0, "layout": 0, "pitch": 0, "stride1": 0, "fill": 0} | values


def seed_of(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 32))


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (1, 0.5), (20, 0.2), (100, 0.0)])
def test_random_instructions_give_golden_bytes(rng: np.random.Generator, latency: int, stall: float) -> None:
    program = [random_values(rng, Opcode.LOAD, NANO) for _ in range(40)]
    what = DmaRun(
        opcode=Opcode.LOAD, programs=[program], seed=seed_of(rng), latency=latency, stall=stall, images=images(rng)
    )
    out = run(what)
    _, l1, _ = golden(what)
    assert out["results"][0]["fault"] is None
    assert_array_equal(out["l1"], l1)


def test_waits_precede_and_signals_follow(rng: np.random.Generator) -> None:
    """start, the wait before it, the signal after the last write and stop, all in program order."""
    program = [
        random_values(rng, Opcode.LOAD, NANO)
        | {"wait0": pc, "wait0_count": pc % 3, "wait1_count": pc % 2, "signal0": pc + 1, "signal0_count": pc % 4}
        for pc in range(12)
    ]
    out = run(
        DmaRun(opcode=Opcode.LOAD, programs=[program], seed=seed_of(rng), latency=5, stall=0.3, images=images(rng))
    )
    pairs = [
        (v["wait0"] | v["wait0_count"] << 5 | v["wait1_count"] << 18, v["signal0"] | v["signal0_count"] << 5)
        for v in program
    ]
    kinds: dict[str, list[int]] = {"wait": [], "signal": [], "start": [], "stop": []}
    for cycle, kind, _ in out["events"]:
        kinds[kind].append(cycle)
    assert [what for _, kind, what in out["events"] if kind == "wait"] == [w for w, _ in pairs if w >> 5]
    assert [what for _, kind, what in out["events"] if kind == "signal"] == [s for _, s in pairs if s >> 5]
    assert len(kinds["start"]) == len(kinds["stop"]) == len(program)
    assert all(start < stop for start, stop in zip(kinds["start"], kinds["stop"], strict=True))
    assert all(any(write < stop for write in out["accesses"]) for stop in kinds["stop"])
    assert kinds["stop"][-1] > out["accesses"][-1]


@pytest.mark.parametrize(
    ("count", "length", "offset", "allowed"),
    [(64, 1024, 0, 64 * 16), (64, 1024, 13, 64 * 17), (256, 32, 0, 256), (64, 64, 0, 64), (64, 96, 0, 128)],
)
def test_throughput(rng: np.random.Generator, count: int, length: int, offset: int, allowed: int) -> None:
    """Cycles from the first beat to the last L1 write, with an ideal bus: one a beat, and a few of pipeline."""
    each = count // 4
    program = [
        rows(count1=each, bytes=length, stride1=-(-length // 64) * 64, mem=offset, l1=16384 * i, pitch=length // 32)
        for i in range(4)
    ]
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], latency=20 if length == 1024 else 0, images=images(rng))
    out = run(what)
    assert_array_equal(out["l1"], golden(what)[1])
    assert out["accesses"][-1] - out["beats"][0] <= allowed + 4


def test_bursts_are_as_long_as_axi_allows(rng: np.random.Generator) -> None:
    program = [rows(count1=1, bytes=9000, mem=100, pitch=300)]
    out = run(DmaRun(opcode=Opcode.LOAD, programs=[program], images=images(rng)))
    assert [(address, beats) for _, _, address, beats in out["bursts"]] == [(64, 63), (4096, 64), (8192, 15)]


def test_no_traffic_for_absent_rows(rng: np.random.Generator) -> None:
    program = [rows(count1=7, bytes=70, valid1=0, fill=0x01020304, pitch=4), rows(count1=3, bytes=64, valid_bytes=0)]
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], images=images(rng))
    out = run(what)
    assert out["bursts"] == []
    assert_array_equal(out["l1"], golden(what)[1])


FAULTY = {
    "misaligned": rows(count1=2, bytes=64, l1=32 * 5 + 8),
    "l1 beyond": rows(count1=3, bytes=64, l1=1 << 31),
    "l1 end, linear": rows(count1=40, bytes=96, stride1=96, l1=NANO.l1_bytes - 32 * 50, pitch=3),
    "l1 end, tile": rows(count1=8, bytes=700, stride1=700, l1=NANO.l1_bytes - 32 * 70, layout=1, pitch=4),
    "l1 tile pitch": rows(count1=1, bytes=200, layout=1, pitch=65535),
    "memory end": rows(count1=9, bytes=1000, stride1=1000, mem=65536 - 5500, pitch=32),
    "wide address": rows(count1=2, bytes=100, mem=(1 << 40) - 30, pitch=4),
    "very wide address": rows(count1=1, bytes=100, mem=1 << 63, pitch=4),
    "negative": rows(count1=3, bytes=100, stride1=-150, mem=200, pitch=4),
}


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_faults(rng: np.random.Generator, stall: float) -> None:
    """Each fault's record is golden's, nothing outside the destination changes, and the next program is sound."""
    programs = []
    for faulty in FAULTY.values():
        before, after = (random_values(rng, Opcode.LOAD, NANO) for _ in range(2))
        programs += [[before, faulty, after], [after]]
    what = DmaRun(opcode=Opcode.LOAD, programs=programs, seed=seed_of(rng), latency=7, stall=stall, images=images(rng))
    out = run(what)
    _, l1, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    touched = np.zeros(NANO.l1_bytes // 32, bool)
    for program in programs:
        for values in program:
            chunks = chunks_of(values).ravel()
            touched[chunks[chunks < len(touched)]] = True
    assert_array_equal(out["l1"].reshape(-1, 32)[~touched], what.images.l1.reshape(-1, 32)[~touched])
    last = chunks_of(programs[-1][0])
    assert_array_equal(out["l1"].reshape(-1, 32)[last], l1.reshape(-1, 32)[last])


def test_error_response_names_its_burst(rng: np.random.Generator) -> None:
    program = [rows(count1=4, bytes=640, stride1=5000, mem=70, pitch=32) for _ in range(3)]
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], broken=(10048 + 5 * 64,), latency=20, images=images(rng))
    out = run(what)
    assert out["results"][0]["fault"] == {"code": int(FaultCode.MEMORY_READ), "pc": 0, "address": 10048}


def test_abort_at_any_time(rng: np.random.Generator) -> None:
    """Programs cut short at random leave nothing behind for the next."""
    programs, aborts = [], {}
    for index in range(0, 40, 2):
        programs += [[random_values(rng, Opcode.LOAD, NANO) for _ in range(5)], [random_values(rng, Opcode.LOAD, NANO)]]
        aborts[index] = int(rng.integers(3, 400))
    what = DmaRun(
        opcode=Opcode.LOAD,
        programs=programs,
        seed=seed_of(rng),
        latency=20,
        stall=0.2,
        abort_after=aborts,
        images=images(rng),
    )
    out = run(what)
    l1 = golden(what)[1].reshape(-1, 32)
    last = chunks_of(programs[-1][0])
    assert all(result["fault"] is None for result in out["results"])
    assert_array_equal(out["l1"].reshape(-1, 32)[last], l1[last])
