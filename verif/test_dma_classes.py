"""Copies by class, in both directions, under random stalls: sizes from one byte to 64 KB, every alignment, errors."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import CHUNK, WORD, config
from gemel_golden.isa import Opcode
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, images, random_values

NANO = config("nano")
UNITS = [Opcode.LOAD, Opcode.STORE]


def copy(opcode: Opcode, mem: int, l1: int, size: int, **values: int) -> dict[str, int]:
    """A copy of rows of `size` bytes, one behind the other in L1."""
    shape = {"mem": mem, "l1": l1, "bytes": size, "pitch": -(-size // CHUNK)}
    if opcode == Opcode.LOAD:
        shape |= {"valid1": (1 << 16) - 1, "valid_bytes": size}
    return shape | values


def pieces(low: int, high: int, count: int, align: int = 1) -> Callable[[np.random.Generator, Opcode], list]:
    """Copies of single rows of random sizes at random places."""

    def make(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
        found = []
        for _ in range(count):
            size = int(rng.integers(low, high + 1)) // align * align
            mem = int(rng.integers(MEMORY_BYTES - size + 1)) // align * align
            l1 = CHUNK * int(rng.integers((NANO.l1_bytes - size) // CHUNK))
            found.append(copy(opcode, mem, l1, size))
        return found

    return make


def linear(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
    """One piece of memory after the other, none of them at the start of a beat."""
    sizes = rng.integers(1, 300, 60)
    starts = 17 + np.concatenate([[0], np.cumsum(sizes)])
    return [copy(opcode, int(a), 320 * i, int(n)) for i, (a, n) in enumerate(zip(starts, sizes, strict=False))]


def mixed(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
    """Large and tiny by turns, and rows in several dimensions."""
    large, tiny = pieces(2000, 6000, 8)(rng, opcode), pieces(1, 8, 8)(rng, opcode)
    several = [random_values(rng, opcode, NANO) for _ in range(8)]
    return [values for turn in zip(large, tiny, several, strict=True) for values in turn]


def same_destination(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
    """All to one place: the last one stays, within an instruction too."""
    if opcode == Opcode.LOAD:
        return [copy(opcode, 700 * i, 640, 200, count1=5, pitch=0, stride1=131) for i in range(12)]
    return [copy(opcode, 333, 1024 * i, 200, count1=5) for i in range(12)]


def alignments(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
    """Every offset in a beat, with sizes around one and two beats."""
    sizes = (1, 63, 64, 65, 128, 130)
    return [
        copy(opcode, 640 * (offset % 100) + offset, CHUNK * (6 * offset + k % 2), size)
        for offset in range(WORD)
        for k, size in enumerate(sizes)
    ]


def across_pages(rng: np.random.Generator, opcode: Opcode) -> list[dict[str, int]]:
    """Around 4 KB boundaries."""
    return [copy(opcode, 4096 * (1 + i % 14) - 100 + 3 * i, 512 * i, 90 + 7 * i) for i in range(40)]


CLASSES = {
    "simple": pieces(WORD, WORD, 10, WORD),
    "tiny": pieces(1, 8, 60),
    "small": pieces(9, WORD, 60),
    "medium": pieces(WORD + 1, 1024, 30),
    "large": pieces(1025, 8192, 8),
    "huge": pieces(1 << 16, 1 << 16, 2),
    "linear": linear,
    "mixed": mixed,
    "same destination": same_destination,
    "every alignment": alignments,
    "across pages": across_pages,
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("opcode", UNITS)
def test_class(rng: np.random.Generator, opcode: Opcode, name: str) -> None:
    program = CLASSES[name](rng, opcode)
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=opcode, programs=[program], seed=seed, latency=25, stall=0.15, images=images(rng))
    out = run(what)
    memory, l1, faults = golden(what)
    assert out["results"][0]["fault"] is None and faults == [None]
    assert_array_equal(out["memory"], memory)
    assert_array_equal(out["l1"], l1)


def test_zero_length(rng: np.random.Generator) -> None:
    """Rows of no bytes, and no rows at all: only padding is written, and nothing is read."""
    program = [copy(Opcode.LOAD, 64 * i, 1024 * i, 100, count1=3, fill=7 + i) for i in range(8)]
    for values in program[::2]:
        values["valid_bytes"] = 0
    for values in program[1::2]:
        values["valid1"] = 0
    what = DmaRun(opcode=Opcode.LOAD, programs=[program], stall=0.2, images=images(rng))
    out = run(what)
    assert out["bursts"] == []
    assert_array_equal(out["l1"], golden(what)[1])


@pytest.mark.parametrize("opcode", UNITS)
def test_errors_among_copies(rng: np.random.Generator, opcode: Opcode) -> None:
    """An error ends its launch, wherever it comes; launches that follow go on as if it had not been."""
    programs = []
    for number in range(6):
        program = CLASSES["mixed"](rng, opcode)[:9]
        program.insert(int(rng.integers(10)), copy(opcode, MEMORY_BYTES - 30 + number, 0, 100))
        programs += [program, CLASSES["small"](rng, opcode)[:5]]
    final = copy(opcode, 0, 0, 1 << 16)
    seed = int(rng.integers(1 << 32))
    what = DmaRun(opcode=opcode, programs=[*programs, [final]], seed=seed, latency=25, stall=0.15, images=images(rng))
    out = run(what)
    _, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    assert all(faults[0:12:2]) and not any(faults[1:13:2]) and faults[-1] is None
    if opcode == Opcode.LOAD:
        assert_array_equal(out["l1"][: 1 << 16], what.images.memory)
    else:
        assert_array_equal(out["memory"], what.images.l1[: 1 << 16])
