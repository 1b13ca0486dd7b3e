"""LOAD_TRANSPOSED in simulation against golden: every element size and shape, faults, throughput."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import CHUNK, WORD, config
from gemel_golden.isa import FaultCode, Opcode
from gemel_golden.l1 import chunk_addresses
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, images, random_values

NANO = config("nano")


def turned(rng: np.random.Generator, **values: int) -> dict[str, int]:
    """A LOAD_TRANSPOSED of any shape, somewhere in memory and in L1."""
    element = values.get("element", int(rng.integers(3)))
    most = WORD >> element
    shape = {
        "opcode": int(Opcode.LOAD_TRANSPOSED),
        "element": element,
        "count1": int(rng.choice(np.array([1, most, most + 3, rng.integers(1, most + 1)]))),
        "bytes": int(rng.choice(np.array([1, 32, 64, 65, 66, 128, rng.integers(1, 480)]))),
        "layout": int(rng.integers(2)),
        "fill": int(rng.integers(1 << 32)),
    } | values
    rows, columns = min(shape["count1"], most), -(-shape["bytes"] >> element)
    shape.setdefault("stride1", (columns << element) + int(rng.choice(np.array([0, 4, 64, rng.integers(100)]))))
    shape.setdefault("mem", int(rng.integers(MEMORY_BYTES - rows * shape["stride1"])))
    chunks = -(-(rows << element) // CHUNK)
    shape.setdefault("pitch", (-(-columns // 2) if shape["layout"] else chunks) + int(rng.integers(3)))
    places = chunk_addresses(shape["layout"], 0, shape["pitch"], np.arange(columns)[:, None], np.arange(chunks))
    shape.setdefault("l1", CHUNK * int(rng.integers(NANO.l1_bytes // CHUNK - 2 - int(places.max()))))
    return shape


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (20, 0.3)])
def test_transposes_are_golden(rng: np.random.Generator, latency: int, stall: float) -> None:
    """Among plain copies."""
    program = []
    for number in range(40):
        program.append(turned(rng))
        if number % 4 == 0:
            program.append(random_values(rng, Opcode.LOAD, NANO))
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], seed=seed, latency=latency, stall=stall, images=images(rng))
    out = run(what)
    _, l1, faults = golden(what)
    assert out["results"][0]["fault"] is None and faults == [None]
    assert_array_equal(out["l1"], l1)


FAULTY = {
    "memory": ({"mem": MEMORY_BYTES - 600, "stride1": 256, "bytes": 256, "l1": 0}, FaultCode.MEMORY_READ),
    "wide address": ({"mem": 1 << 50, "bytes": 256, "l1": 0}, FaultCode.MEMORY_READ),
    "misaligned": ({"bytes": 128, "l1": 16}, FaultCode.L1_ADDRESS),
    "L1": ({"bytes": 256, "layout": 0, "pitch": 2, "l1": NANO.l1_bytes - 64 * 70}, FaultCode.L1_ADDRESS),
    "L1 before memory": (
        {"mem": MEMORY_BYTES - 80, "stride1": -80, "bytes": 200, "layout": 0, "l1": NANO.l1_bytes - 64},
        FaultCode.L1_ADDRESS,
    ),
}


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_faults(rng: np.random.Generator, stall: float) -> None:
    """Each record is golden's, and the next program is sound."""
    programs = []
    for values, _ in FAULTY.values():
        programs += [[turned(rng, element=1, count1=32, **values)], [turned(rng, l1=0)]]
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=Opcode.LOAD, programs=programs, seed=seed, latency=9, stall=stall, images=images(rng))
    out = run(what)
    _, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    for fault, (_, code) in zip(faults[::2], FAULTY.values(), strict=True):
        assert fault is not None and fault["code"] == code


@pytest.mark.parametrize("element", [0, 1, 2])
def test_full_rate(rng: np.random.Generator, element: int) -> None:
    """64 bytes a cycle in every element size, whole squares."""
    shape = {"count1": WORD >> element, "bytes": 512, "stride1": 512, "mem": 0, "layout": 1}
    program = [turned(rng, element=element, **shape) for _ in range(6)]
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], images=images(rng), config=NANO.override(outstanding=512))
    out = run(what)
    assert_array_equal(out["l1"], golden(what)[1])
    words = 6 * shape["count1"] * 512 // WORD
    assert out["accesses"][-1] - out["beats"][0] <= words + 2 * WORD
