"""SCATTER_ADD in simulation against golden: sums in the order of the list, hazards, faults, throughput."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from gemel_golden.config import WORD, config
from gemel_golden.formats import FORMATS
from gemel_golden.isa import NO_ROW, FaultCode, Opcode
from gemel_verif.dma_moves import LISTS
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, images, place_in_l1

NANO = config("nano")
TABLE = 4096
"""Where the table of most tests begins."""


def add(
    rng: np.random.Generator, l1: NDArray[np.uint8], number: int, indices: NDArray[Any], **values: int
) -> dict[str, int]:
    """A SCATTER_ADD with the `number`-th list, of rows anywhere in L1."""
    start = len(l1) - LISTS + 1024 * (number % (LISTS // 1024))
    l1[start : start + 4 * len(indices)].view(np.uint32)[:] = indices
    shape = {"opcode": int(Opcode.SCATTER_ADD), "count1": len(indices), "indices": start, "layout": 1}
    return place_in_l1(rng, shape | {"limit": 1 << 20} | values, len(l1) - LISTS)


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (20, 0.3), (100, 0.05)])
def test_sums_are_golden(rng: np.random.Generator, latency: int, stall: float) -> None:
    """Lists with many duplicates, in every format, several over the same table; other instructions write beside it."""
    before = images(rng)
    program = []
    for number in range(16):
        rows = int(rng.choice(np.array([1, 3, 20, 200])))
        indices = rng.integers(0, rows, int(rng.integers(1, 60))).astype(np.uint32)
        indices[rng.random(len(indices)) < 0.1] = NO_ROW
        length = 4 * int(rng.integers(1, 65))
        fmt = FORMATS[str(rng.choice(["fp32", "bf16", "int32"]))].code
        program.append(add(rng, before.l1, number, indices, mem=TABLE + 52, stride=256, bytes=length, format=fmt))
        low = {"mem": int(rng.integers(1000)), "bytes": int(rng.integers(1, 900)), "l1": 0, "pitch": 40}
        program.append({"opcode": int(Opcode.STORE)} | low)
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=Opcode.STORE, programs=[program], seed=seed, latency=latency, stall=stall, images=before)
    out = run(what)
    memory, _, faults = golden(what)
    assert out["results"][0]["fault"] is None and faults == [None]
    assert_array_equal(out["memory"], memory)


@pytest.mark.parametrize("stride", [0, 4, -36, 96])
def test_rows_that_overlap(rng: np.random.Generator, stride: int) -> None:
    """Rows of 100 bytes, less than that apart."""
    before = images(rng)
    indices = rng.integers(0, 9, 30).astype(np.uint32)
    program = [add(rng, before.l1, 0, indices, mem=TABLE, stride=stride, bytes=100, format=1)]
    what = DmaRun(opcode=Opcode.STORE, programs=[program], latency=30, images=before)
    assert_array_equal(run(what)["memory"], golden(what)[0])


FAULTY = {
    "index": ([3, 4, 77], {"limit": 77}, FaultCode.INDEX),
    "memory": ([3, 4, 1000, 5], {}, FaultCode.MEMORY_READ),
    "memory's end": ([3, 239, 240], {"mem": TABLE + 52}, FaultCode.MEMORY_READ),
    "wide address": ([3, 4], {"mem": (1 << 40) - 1000}, FaultCode.MEMORY_READ),
    "L1": ([3, 4, 5, 6], {"l1": NANO.l1_bytes - 256}, FaultCode.L1_ADDRESS),
    "L1 and memory": ([1000], {"l1": NANO.l1_bytes - 64}, FaultCode.MEMORY_READ),
}


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_faults(rng: np.random.Generator, stall: float) -> None:
    """Each record is golden's, and the next program is sound, on the same rows."""
    before, programs = images(rng), []
    shape = {"mem": TABLE, "stride": 256, "bytes": 200, "format": 0}
    after = add(rng, before.l1, 15, np.array([33, 34, 33], np.uint32), **shape)
    for number, (named, values, _) in enumerate(FAULTY.values()):
        place = {name: value for name, value in values.items() if name == "l1"}
        others = {name: value for name, value in values.items() if name != "l1"}
        faulty = add(rng, before.l1, number, np.array(named, np.uint32), **(shape | others)) | place
        programs += [[faulty], [after]]
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=Opcode.STORE, programs=programs, seed=seed, latency=9, stall=stall, images=before)
    out = run(what)
    memory, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    for fault, (_, _, code) in zip(faults[::2], FAULTY.values(), strict=True):
        assert fault is not None and fault["code"] == code
    rows = slice(TABLE + 33 * 256, TABLE + 35 * 256)
    assert_array_equal(out["memory"][rows], memory[rows])


def test_abort_frees_every_row(rng: np.random.Generator) -> None:
    """Programs cut short at any time; then the same rows are summed again."""
    before = images(rng)
    shape = {"mem": TABLE, "stride": 256, "bytes": 256, "format": 1}
    programs, aborts = [], {}
    for number in range(8):
        programs.append([add(rng, before.l1, number, rng.permutation(40).astype(np.uint32), **shape)])
        aborts[number] = int(rng.integers(3, 300))
    final = add(rng, before.l1, 9, np.arange(40, dtype=np.uint32), **(shape | {"mem": TABLE + (32 << 10)}))
    programs.append([final])
    what = DmaRun(opcode=Opcode.STORE, programs=programs, latency=40, abort_after=aborts, images=before)
    out = run(what)
    lone = DmaRun(opcode=Opcode.STORE, programs=[[final]], images=before)
    assert_array_equal(out["memory"][final["mem"] :], golden(lone)[0][final["mem"] :])


@pytest.mark.parametrize(
    ("row", "bar", "name"), [(64, 0.5, "fp32"), (128, 0.9, "fp32"), (256, 0.95, "bf16"), (1024, 0.95, "int32")]
)
def test_share_of_the_bus(rng: np.random.Generator, row: int, bar: float, name: str) -> None:
    """No two rows the same, 150 cycles of latency each way: reads and writes both at the bars of a copy."""
    before, program, each = images(rng), [], min(8192, 64 * row)
    order = rng.permutation(MEMORY_BYTES // row).astype(np.uint32)
    count, number = each // row, 0
    lists = [order[at : at + count] for at in range(0, len(order), count)][:12]
    for number, indices in enumerate(lists):
        shape = {"mem": 0, "stride": row, "bytes": row, "format": FORMATS[name].code}
        program.append(add(rng, before.l1, number, indices, **shape))
    chip = NANO.override(outstanding=512)
    what = DmaRun(opcode=Opcode.STORE, programs=[program], latency=150, images=before, config=chip)
    out = run(what)
    assert_array_equal(out["memory"], golden(what)[0])
    share = sum(map(len, lists)) * row / WORD / (out["beats"][-1] - out["beats"][0] + 1)
    assert share >= bar
