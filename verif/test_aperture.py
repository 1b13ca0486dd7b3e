"""L1s in memory addresses: bytes by strobes, errors where there is no L1, order, and a beat in every cycle."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.aperture import aperture_base, l1_address
from gemel_golden.config import config
from gemel_rtl.noc.aperture import Aperture
from gemel_verif.runner import simulate

CHIP = config("nano").override(cores=3, l1_bytes=16384)
WORD = 64


def run(writes: list, reads: list, l1: list[np.ndarray], *, stall: float = 0.0, seed: int = 0) -> dict:
    inputs = {"chip": CHIP, "writes": writes, "reads": reads, "l1": l1, "stall": stall, "seed": seed, "limit": 20000}
    return simulate(Aperture(CHIP, id_bits=3), "gemel_aperture", "tb_aperture", inputs)


def place(rng: np.random.Generator) -> tuple[int, int, bool]:
    """Core, first address and whether the chip has them."""
    if rng.random() < 0.1:
        return 0, l1_address(CHIP, 0) + CHIP.l1_bytes + WORD * int(rng.integers(64)), False
    if rng.random() < 0.1:
        return 0, aperture_base(CHIP) + (3 << 24), False
    core, word = int(rng.integers(3)), int(rng.integers(CHIP.l1_words))
    return core, l1_address(CHIP, core, WORD * word), True


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_writes_then_reads(rng: np.random.Generator, stall: float) -> None:
    l1 = [rng.integers(0, 256, CHIP.l1_bytes, dtype=np.uint8) for _ in range(3)]
    expected = [each.copy() for each in l1]
    writes, answers, reads, beats = [], [], [], []
    for _ in range(60):
        core, address, there = place(rng)
        first = address % (1 << 24) // WORD
        count = min(int(rng.integers(1, 9)), CHIP.l1_words - first) if there else 2
        words = [tuple(int.from_bytes(rng.bytes(n), "little") for n in (WORD, 8)) for _ in range(count)]
        writes.append((int(rng.integers(8)), address, words))
        answers.append((writes[-1][0], 0 if there else 3))
        for i, (data, strobes) in enumerate(words if there else []):
            for byte in range(WORD):
                if strobes >> byte & 1:
                    expected[core][WORD * (first + i) + byte] = data >> 8 * byte & 0xFF
    for _ in range(60):
        core, address, there = place(rng)
        first = address % (1 << 24) // WORD
        count = min(int(rng.integers(1, 9)), CHIP.l1_words - first) if there else 2
        reads.append((int(rng.integers(8)), address, count))
        for i in range(count):
            word = int.from_bytes(expected[core][WORD * (first + i) :][:WORD].tobytes(), "little") if there else 0
            beats.append((reads[-1][0], word, 0 if there else 3, i == count - 1))
    out = run(writes, reads, l1, stall=stall, seed=int(rng.integers(1 << 32)))
    assert out["answers"] == answers
    assert [(identity, data, resp, bool(last)) for _, identity, data, resp, last in out["beats"]] == beats
    assert_array_equal(out["l1"], expected)


def test_a_beat_in_every_cycle_over_several_cores(rng: np.random.Generator) -> None:
    l1 = [rng.integers(0, 256, CHIP.l1_bytes, dtype=np.uint8) for _ in range(3)]
    reads = [(0, l1_address(CHIP, i % 3, 512 * i), 8) for i in range(9)]
    cycles = [cycle for cycle, *_ in run([], reads, l1)["beats"]]
    assert cycles == list(range(cycles[0], cycles[0] + 72))


def test_addresses_are_checked() -> None:
    with pytest.raises(ValueError, match="the nano chip has 3 cores, not one of number 3"):
        l1_address(CHIP, 3)
    with pytest.raises(ValueError, match="L1 address 16384 lies outside the 16384 bytes"):
        l1_address(CHIP, 0, 16384)
