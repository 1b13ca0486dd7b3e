"""The AXI arbiters: every manager gets its own answers in order, nobody waits for ever, no beat is lost."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import config
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter, check_managers
from gemel_verif.runner import simulate

NANO = config("nano")
MEMORY_BYTES = 1 << 16
MANAGERS = 3
WORD = 64


def bursts_of(rng: np.random.Generator, count: int, base: int, size: int) -> list[tuple[int, int]]:
    """Random (address, beats) in a window; none crosses 4 KB."""
    bursts = []
    for _ in range(count):
        first = int(rng.integers(size // WORD))
        beats = int(rng.integers(1, 1 + min(64 - first % 64, 1 if rng.random() < 0.5 else 64, size // WORD - first)))
        bursts.append((base + first * WORD, beats))
    return bursts


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_reads_come_back_to_their_manager(rng: np.random.Generator, stall: float) -> None:
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    bursts = [bursts_of(rng, 25, 0, MEMORY_BYTES) for _ in range(MANAGERS)]
    inputs = {"kind": "read", "bursts": bursts, "memory": memory, "seed": int(rng.integers(1 << 32)), "latency": 9}
    inputs |= {"stall": stall, "interleave": True, "limit": 20000}
    out = simulate(ReadArbiter(NANO, MANAGERS), "gemel_read_arbiter", "tb_arbiter", inputs)
    for p in range(MANAGERS):
        expected = [
            (int.from_bytes(memory[address + WORD * i :][:WORD].tobytes(), "little"), 0, i == beats - 1)
            for address, beats in bursts[p]
            for i in range(beats)
        ]
        assert [(data, resp, bool(last)) for _, data, resp, last in out["got"][p]] == expected


def test_read_turns_and_throughput(rng: np.random.Generator) -> None:
    """Three managers that always ask share the addresses in turn, and the bus gives a beat in every cycle."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    bursts = [[(4096 * p + 256 * i, 4) for i in range(16)] for p in range(MANAGERS)]
    inputs = {"kind": "read", "bursts": bursts, "memory": memory, "seed": 0, "latency": 1}
    inputs |= {"stall": 0.0, "interleave": False, "limit": 2000}
    out = simulate(ReadArbiter(NANO, MANAGERS), "gemel_read_arbiter", "tb_arbiter", inputs)
    asked = [identity for _, identity, _, _ in out["bursts"]]
    assert all(sorted(asked[i : i + MANAGERS]) == list(range(MANAGERS)) for i in range(0, len(asked), MANAGERS))
    assert out["beats"] == list(range(out["beats"][0], out["beats"][0] + 16 * 4 * MANAGERS))


@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_writes_land_and_are_answered(rng: np.random.Generator, stall: float) -> None:
    """Managers write windows of their own, with random strobes; some addresses answer with an error."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    expected, window = memory.copy(), 1 << 14
    bursts: list[list[tuple[int, list[tuple[int, ...]]]]] = []
    broken = tuple(int(a) * WORD for a in rng.integers(0, MEMORY_BYTES // WORD, 40))
    answers: list[list[int]] = []
    for p in range(MANAGERS):
        bursts.append([])
        answers.append([])
        for start, beats in bursts_of(rng, 25, p * window, window):
            words = [tuple(int.from_bytes(rng.bytes(size), "little") for size in (WORD, 8)) for _ in range(beats)]
            bursts[-1].append((start, words))
            answers[-1].append(2 if any(start + WORD * i in broken for i in range(beats)) else 0)
            for i, (data, strobes) in enumerate(words):
                for byte in range(WORD if start + WORD * i not in broken else 0):
                    if strobes >> byte & 1:
                        expected[start + WORD * i + byte] = data >> 8 * byte & 0xFF
    inputs = {"kind": "write", "bursts": bursts, "memory": memory, "seed": int(rng.integers(1 << 32)), "latency": 9}
    inputs |= {"stall": stall, "broken": broken, "limit": 20000}
    out = simulate(WriteArbiter(NANO, MANAGERS), "gemel_write_arbiter", "tb_arbiter", inputs)
    assert out["answers"] == answers
    assert_array_equal(out["memory"], expected)


def test_write_throughput(rng: np.random.Generator) -> None:
    """Single-beat bursts of three managers: a beat in every cycle, in turn."""
    bursts = [[(4096 * p + 64 * i, [(i, 1)]) for i in range(32)] for p in range(MANAGERS)]
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    inputs = {"kind": "write", "bursts": bursts, "memory": memory, "seed": 0, "latency": 1}
    inputs |= {"stall": 0.0, "broken": (), "limit": 2000}
    out = simulate(WriteArbiter(NANO, MANAGERS), "gemel_write_arbiter", "tb_arbiter", inputs)
    asked = [identity for _, identity, _, _ in out["bursts"]]
    assert all(sorted(asked[i : i + MANAGERS]) == list(range(MANAGERS)) for i in range(0, len(asked), MANAGERS))
    assert out["beats"] == list(range(out["beats"][0], out["beats"][0] + 32 * MANAGERS))


def test_too_many_managers_are_refused() -> None:
    with pytest.raises(ValueError, match="5 managers don't fit into 2 bits of ID"):
        check_managers(5, 2)
