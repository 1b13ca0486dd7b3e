"""Shares of the bus that LOAD and STORE reach by the size of rows, with 600 cycles of memory latency."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import WORD, config
from gemel_golden.isa import Opcode
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, images

NANO = config("nano")
LATENCY = 600
BYTES = 8192
"""Of a descriptor."""
NUMBER = 20
"""Descriptors in a run: some latencies' worth of beats."""
BARS = {64: 0.5, 128: 0.9, 256: 0.95, 512: 0.95, 1024: 0.95, 4096: 0.95}
"""Row bytes, and the least share of the bus."""


def descriptors(opcode: Opcode, row: int, stride: int, number: int) -> list[dict[str, int]]:
    """Copies of `BYTES` bytes in rows of `row` bytes, `stride` apart, one behind the other in memory."""
    rows = BYTES // row
    shape = {"count1": rows, "count2": 1, "count3": 1, "stride1": stride, "stride2": 0, "stride3": 0, "bytes": row}
    shape |= {"layout": 1, "pitch": -(-rows // 2)}
    if opcode == Opcode.LOAD:
        shape |= {"valid1": rows, "valid_bytes": row, "fill": 0}
    places = MEMORY_BYTES // (rows * stride)
    return [shape | {"mem": rows * stride * (i % places), "l1": BYTES * (i % 8)} for i in range(number)]


def share(opcode: Opcode, program: list[dict[str, int]], outstanding: int, rng: np.random.Generator) -> float:
    """Bytes a cycle of 64, from the first beat to the last, of a run that is exact."""
    chip = NANO.override(outstanding=outstanding)
    what = DmaRun(opcode=opcode, programs=[program], latency=LATENCY, images=images(rng), config=chip)
    out = run(what)
    memory, l1, _ = golden(what)
    assert_array_equal(out["l1"], l1)
    assert_array_equal(out["memory"], memory)
    return len(program) * BYTES / WORD / (out["beats"][-1] - out["beats"][0] + 1)


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.STORE])
@pytest.mark.parametrize("row", sorted(BARS))
def test_rows_that_touch(rng: np.random.Generator, opcode: Opcode, row: int) -> None:
    """With 64 bursts under way, since such rows share bursts."""
    assert share(opcode, descriptors(opcode, row, row, NUMBER), 64, rng) >= BARS[row]


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.STORE])
@pytest.mark.parametrize("row", sorted(BARS)[:3])
def test_rows_apart(rng: np.random.Generator, opcode: Opcode, row: int) -> None:
    """Each row is a burst: 64 bytes a cycle over 600 cycles are as many rows as that, and 512 may be under way."""
    assert share(opcode, descriptors(opcode, row, 2 * row, NUMBER), 512, rng) >= BARS[row]


@pytest.mark.parametrize("opcode", [Opcode.LOAD, Opcode.STORE])
def test_no_bubble_between_descriptors(rng: np.random.Generator, opcode: Opcode) -> None:
    """Each of them a few rows: beats come without a gap."""
    program = [values | {"count1": 4} for values in descriptors(opcode, 256, 512, 60)]
    out = run(DmaRun(opcode=opcode, programs=[program], images=images(rng)))
    assert out["beats"][-1] - out["beats"][0] + 1 == len(program) * 4 * 256 // WORD
