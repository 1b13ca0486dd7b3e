"""GATHER, IM2COL, SCATTER and FILL in simulation against golden: bytes under stalls, faults, throughput."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import WORD, config
from gemel_golden.isa import NO_ROW, FaultCode, Opcode
from gemel_verif.dma_moves import LISTS, random_fill, random_image, random_indexed
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, chunks_of, images, random_values

NANO = config("nano")
ROOM = NANO.override(l1_bytes=NANO.l1_bytes // 2)
"""Where instructions without a list may write."""


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (20, 0.3), (100, 0.05)])
@pytest.mark.parametrize("unit", [Opcode.LOAD, Opcode.STORE])
def test_random_instructions_give_golden_bytes(
    rng: np.random.Generator, unit: Opcode, latency: int, stall: float
) -> None:
    before = images(rng)
    program = []
    for number in range(30):
        if unit == Opcode.LOAD:
            program.append(random_indexed(rng, Opcode.GATHER, before.l1, number))
            program.append(random_image(rng, NANO.l1_bytes - LISTS))
        else:
            program += [random_indexed(rng, Opcode.SCATTER, before.l1, number), random_fill(rng)]
        if rng.random() < 0.3:
            program.append(random_values(rng, unit, ROOM))
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=unit, programs=[program], seed=seed, latency=latency, stall=stall, images=before)
    out = run(what)
    memory, l1, faults = golden(what)
    assert out["results"][0]["fault"] is None and faults == [None]
    assert_array_equal(out["l1"], l1)
    assert_array_equal(out["memory"], memory)


def indexed(opcode: Opcode, image: np.ndarray, named: list[int], **values: int) -> dict[str, int]:
    """Rows of 96 bytes, 128 apart; their list ends L1, unless `indices` says where it is."""
    start = values.get("indices", len(image) - 4 * len(named))
    if start % 4 == 0 and start < len(image):
        kept = np.array(named, np.uint32)[: (len(image) - start) // 4]
        image[start : start + 4 * len(kept)].view(np.uint32)[:] = kept
    shape = {"opcode": int(opcode), "count1": len(named), "bytes": 96, "stride": 128, "limit": 100, "pitch": 3}
    return shape | {"indices": start} | values


FAULTY = {
    "index at the limit": ([3, 99, NO_ROW, 100, 7], {}, FaultCode.INDEX),
    "first index": ([1 << 31, 4], {}, FaultCode.INDEX),
    "last row absent": ([4, 200, NO_ROW], {}, FaultCode.INDEX),
    "list beyond L1": ([1] * 40, {"indices": NANO.l1_bytes - 60}, FaultCode.L1_ADDRESS),
    "list far beyond": ([1] * 4, {"indices": (1 << 31) + 4}, FaultCode.L1_ADDRESS),
    "list misaligned": ([1] * 4, {"indices": 1026}, FaultCode.L1_ADDRESS),
    "rows misaligned": ([5] * 4, {"l1": 40}, FaultCode.L1_ADDRESS),
    "rows misaligned, the first absent": ([NO_ROW, 5, 5], {"l1": 40}, FaultCode.L1_ADDRESS),
    "rows misaligned, and an index": ([200] * 4, {"l1": 40}, None),
    "rows beyond L1, then an index": ([5] * 9 + [300], {"l1": NANO.l1_bytes - 608}, FaultCode.L1_ADDRESS),
    "an index, then rows beyond L1": ([5, 300, *[5] * 9], {"l1": NANO.l1_bytes - 608}, FaultCode.INDEX),
    "memory, then an index": ([5, 90, 300], {"stride": 1000}, None),
}


@pytest.mark.parametrize("stall", [0.0, 0.3])
@pytest.mark.parametrize("opcode", [Opcode.GATHER, Opcode.SCATTER])
def test_faults(rng: np.random.Generator, opcode: Opcode, stall: float) -> None:
    """Each record is golden's, and the next program is sound."""
    before, programs = images(rng), []
    unit = Opcode.LOAD if opcode == Opcode.GATHER else Opcode.STORE
    for number, (named, values, _) in enumerate(FAULTY.values()):
        place = {"indices": NANO.l1_bytes - LISTS + 512 * number}
        faulty = indexed(opcode, before.l1, named, **(place | values))
        after = random_values(rng, unit, ROOM)
        programs += [[after, faulty, after], [after]]
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=unit, programs=programs, seed=seed, latency=9, stall=stall, images=before)
    out = run(what)
    _, l1, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    for fault, (_, _, code) in zip(faults[::2], FAULTY.values(), strict=True):
        assert fault is not None and (code is None or fault["code"] == code)
    last = chunks_of(programs[-1][0]) if unit == Opcode.LOAD else slice(None)
    assert_array_equal(out["l1"].reshape(-1, 32)[last], l1.reshape(-1, 32)[last])


@pytest.mark.parametrize(("row", "bar"), [(64, 0.5), (128, 0.9), (256, 0.95), (1024, 0.95)])
@pytest.mark.parametrize("opcode", [Opcode.GATHER, Opcode.SCATTER])
def test_share_of_the_bus(rng: np.random.Generator, opcode: Opcode, row: int, bar: float) -> None:
    """Random rows with 600 cycles of latency, 512 under way: from the first beat to the last."""
    before, program = images(rng), []
    for number in range(12):
        indices = rng.permutation(MEMORY_BYTES // row)[: 8192 // row].tolist()
        place = {"indices": len(before.l1) - 1024 * (number % 8 + 1), "l1": 8192 * (number % 8), "bytes": row}
        place |= {"stride": row, "limit": MEMORY_BYTES // row, "layout": 1, "pitch": len(indices) // 2}
        program.append(indexed(opcode, before.l1, indices, **place))
    unit = Opcode.LOAD if opcode == Opcode.GATHER else Opcode.STORE
    what = DmaRun(opcode=unit, programs=[program], latency=600, images=before, config=NANO.override(outstanding=512))
    out = run(what)
    memory, l1, _ = golden(what)
    assert_array_equal(out["l1"], l1)
    assert_array_equal(out["memory"], memory)
    assert 12 * 8192 / WORD / (out["beats"][-1] - out["beats"][0] + 1) >= bar


def test_fill_writes_a_beat_a_cycle(rng: np.random.Generator) -> None:
    program = [{"opcode": int(Opcode.FILL), "mem": 4096 * i, "bytes": 4096, "fill": 7 * i} for i in range(8)]
    what = DmaRun(opcode=Opcode.STORE, programs=[program], images=images(rng))
    out = run(what)
    assert_array_equal(out["memory"], golden(what)[0])
    assert out["beats"][-1] - out["beats"][0] + 1 == 8 * 64
