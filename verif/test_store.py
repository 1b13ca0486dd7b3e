"""STORE in simulation against golden: bytes and strobes, order, throughput, faults and aborts."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from gemel_golden.config import config
from gemel_golden.dma import row_addresses
from gemel_golden.isa import FaultCode, Opcode
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, images, random_values

NANO = config("nano")
FLAT = {"count2": 1, "count3": 1, "stride2": 0, "stride3": 0}


def rows(**values: int) -> dict[str, int]:
    """A STORE of rows in one dimension."""
    return FLAT | {"mem": 0, "l1": 0, "layout": 0, "pitch": 0, "stride1": 0} | values


def seed_of(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 32))


def touched(program: list[dict[str, int]]) -> NDArray[np.bool_]:
    """Which bytes of memory the program may write."""
    mask = np.zeros(MEMORY_BYTES, bool)
    for values in program:
        count = values["count1"] * values["count2"] * values["count3"]
        for address in row_addresses(values, np.arange(count)).astype(np.int64):
            if address >= 0:
                mask[address : address + values["bytes"]] = True
    return mask


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (1, 0.5), (20, 0.2), (100, 0.0)])
def test_random_instructions_give_golden_bytes(rng: np.random.Generator, latency: int, stall: float) -> None:
    program = [random_values(rng, Opcode.STORE, NANO) for _ in range(30)]
    what = DmaRun(
        opcode=Opcode.STORE, programs=[program], seed=seed_of(rng), latency=latency, stall=stall, images=images(rng)
    )
    out = run(what)
    memory, _, _ = golden(what)
    assert out["results"][0]["fault"] is None
    assert_array_equal(out["memory"], memory)


def test_signals_follow_the_last_response(rng: np.random.Generator) -> None:
    """With slow responses, signal and stop come only after them."""
    program = [
        rows(count1=4, bytes=64, stride1=64, mem=256 * i, pitch=2, signal0=i, signal0_count=1 + i) for i in range(6)
    ]
    out = run(DmaRun(opcode=Opcode.STORE, programs=[program], latency=50, images=images(rng)))
    signals = [(cycle, what) for cycle, kind, what in out["events"] if kind == "signal"]
    stops = [cycle for cycle, kind, _ in out["events"] if kind == "stop"]
    assert [what for _, what in signals] == [i | (1 + i) << 5 for i in range(6)]
    assert len(stops) == 6
    for i, (cycle, _) in enumerate(signals):
        assert cycle > out["beats"][4 * i + 3] + 50


@pytest.mark.parametrize(
    ("count", "length", "offset", "allowed"),
    [(64, 1024, 0, 64 * 16), (64, 1024, 13, 64 * 17), (256, 32, 0, 256), (64, 64, 0, 64), (64, 96, 0, 128)],
)
def test_throughput(rng: np.random.Generator, count: int, length: int, offset: int, allowed: int) -> None:
    """Cycles from the first L1 read to the last beat, with an ideal bus: one a beat, and a few of pipeline."""
    each, stride, pitch = count // 4, -(-length // 64) * 64, -(-length // 32)
    program = [
        rows(count1=each, bytes=length, stride1=stride, mem=offset + each * stride * i, l1=16384 * i, pitch=pitch)
        for i in range(3)
    ]
    program.append(program[0])
    what = DmaRun(opcode=Opcode.STORE, programs=[program], latency=20 if length == 1024 else 0, images=images(rng))
    out = run(what)
    assert_array_equal(out["memory"], golden(what)[0])
    assert out["beats"][-1] - out["accesses"][0] <= allowed + 8


def test_bursts_are_as_long_as_axi_allows(rng: np.random.Generator) -> None:
    program = [rows(count1=1, bytes=9000, mem=100, pitch=300)]
    out = run(DmaRun(opcode=Opcode.STORE, programs=[program], images=images(rng)))
    assert [(address, beats) for _, _, address, beats in out["bursts"]] == [(64, 63), (4096, 64), (8192, 15)]


FAULTY = {
    "misaligned": rows(count1=2, bytes=64, l1=32 * 5 + 8),
    "l1 beyond": rows(count1=3, bytes=64, l1=1 << 31),
    "l1 end, linear": rows(count1=40, bytes=96, stride1=96, l1=NANO.l1_bytes - 32 * 50, pitch=3),
    "l1 end, tile": rows(count1=8, bytes=700, stride1=700, l1=NANO.l1_bytes - 32 * 70, layout=1, pitch=4),
    "memory end": rows(count1=2, bytes=3000, stride1=3000, mem=MEMORY_BYTES - 5500, pitch=32),
    "wide address": rows(count1=2, bytes=100, mem=(1 << 40) + 30, pitch=4),
    "very wide address": rows(count1=1, bytes=100, mem=1 << 63, pitch=4),
    "negative": rows(count1=3, bytes=100, stride1=-150, mem=200, pitch=4),
}


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_faults(rng: np.random.Generator, stall: float) -> None:
    """Each fault's record is golden's, no byte outside the rows changes, and the next program is sound."""
    programs = []
    for faulty in FAULTY.values():
        before, after = (random_values(rng, Opcode.STORE, NANO) for _ in range(2))
        programs += [[before, faulty, after], [after]]
    what = DmaRun(opcode=Opcode.STORE, programs=programs, seed=seed_of(rng), latency=7, stall=stall, images=images(rng))
    out = run(what)
    memory, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    everything = touched([values for program in programs for values in program])
    assert_array_equal(out["memory"][~everything], what.images.memory[~everything])
    last = touched(programs[-1])
    assert_array_equal(out["memory"][last], memory[last])


def test_error_response_names_its_burst(rng: np.random.Generator) -> None:
    program = [rows(count1=4, bytes=640, stride1=5000, mem=70, pitch=32) for _ in range(3)]
    what = DmaRun(opcode=Opcode.STORE, programs=[program], broken=(10048 + 5 * 64,), latency=20, images=images(rng))
    out = run(what)
    assert out["results"][0]["fault"] == {"code": int(FaultCode.MEMORY_WRITE), "pc": 0, "address": 10048}


def test_abort_at_any_time(rng: np.random.Generator) -> None:
    """Programs cut short at random write nothing beyond their rows and leave nothing behind for the next."""
    programs, aborts = [], {}
    for index in range(0, 40, 2):
        programs.append([random_values(rng, Opcode.STORE, NANO) for _ in range(4)])
        programs.append([random_values(rng, Opcode.STORE, NANO)])
        aborts[index] = int(rng.integers(3, 400))
    what = DmaRun(
        opcode=Opcode.STORE,
        programs=programs,
        seed=seed_of(rng),
        latency=20,
        stall=0.2,
        abort_after=aborts,
        images=images(rng),
    )
    out = run(what)
    assert all(result["fault"] is None for result in out["results"])
    memory = golden(what)[0]
    last = touched(programs[-1])
    assert_array_equal(out["memory"][last], memory[last])
    everything = touched([values for program in programs for values in program])
    assert_array_equal(out["memory"][~everything], what.images.memory[~everything])
