"""A memory channel, controller and DRAM with every timing rule enforced: figures in cycles, random traffic, errors."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel.bench.memory import memory_figures, pattern_requests
from gemel.sim.memory_bench import REQUEST, MemoryBench, Result
from gemel_golden.config import config
from gemel_golden.memory.timing import dram

SIZE = 1 << 22
Make = Callable[[str], MemoryBench]


@pytest.fixture
def make(rng: np.random.Generator) -> Iterator[Make]:
    """Channels with random bytes in their first `SIZE`."""
    made: list[MemoryBench] = []

    def new(memory: str) -> MemoryBench:
        bench = MemoryBench(config("nano").override(memory=memory), SIZE)
        bench.memory[:] = rng.integers(0, 256, SIZE, dtype=np.uint8)
        made.append(bench)
        return bench

    yield new
    for bench in made:
        bench.close()


FIGURES = {
    ("hbm3", "sequential"): 0.97,
    ("hbm3", "read2write1"): 0.88,
    ("hbm3", "random128"): 0.90,
    **{("hbm3", f"stride{1024 << i}"): 0.60 for i in range(7)},
    ("hbm2", "sequential"): 0.97,
    ("hbm2", "read2write1"): 0.88,
}


@pytest.mark.parametrize(("memory", "pattern"), FIGURES)
def test_share_of_the_peak(memory: str, pattern: str) -> None:
    got = memory_figures(pattern, memory=memory, count=6000)
    assert got["exact"]
    banks = dram(memory).banks
    assert got["refreshes"] >= got["cycles"] * banks // dram(memory).clocks.refi - banks  # a round may be overdue
    assert got["bandwidth_utilisation"] >= FIGURES[memory, pattern], got


def traffic(rng: np.random.Generator, count: int, span: int) -> NDArray[Any]:
    """Reads and writes of 1 to 64 beats anywhere in the first `span` bytes."""
    requests = np.zeros(count, REQUEST)
    first = rng.integers(0, span // 64, count)
    requests["address"] = first * 64
    requests["beats"] = np.minimum(rng.choice([1, 1, 2, 3, 8, 17, 64], count), 64 - first % 64)
    requests["write"] = rng.random(count) < 0.5
    return requests


def clean(result: Result) -> bool:
    return result.wrong == result.slave_errors == result.decode_errors == 0


@pytest.mark.parametrize("stalls", [0.0, 0.3])
@pytest.mark.parametrize("span", [1 << 12, 1 << 16, SIZE])
@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_random_traffic_against_a_flat_memory(
    make: Make, rng: np.random.Generator, memory: str, span: int, stalls: float
) -> None:
    """Partial strobes, bursts that touch, hazards in a small span, every byte of memory compared at the end."""
    bench = make(memory)
    for lead, outstanding in ((1, 4), (64, 64)):
        seed = int(rng.integers(1 << 32))
        got = bench.run(
            traffic(rng, 250, span), seed=seed, lead=lead, outstanding=outstanding, partial=True, stalls=stalls
        )
        assert clean(got), got.as_dict()
    assert bench.flipped == 0


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_beyond_the_memory(make: Make, memory: str) -> None:
    """DECERR for each beat, and for a write once; what is inside is served between them."""
    bench = make(memory)
    outside = 1 << 32
    got = bench.run([(0, 2, 0), (outside, 3, 0), (64, 4, 1), (128, 1, 0), (outside, 1, 0)])
    assert (got.decode_errors, got.slave_errors, got.wrong) == (4, 0, 0)


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_refresh_goes_on_at_rest(make: Make, memory: str) -> None:
    """Twelve rounds of refresh without a request: the DRAM would complain; then reads work."""
    bench = make(memory)
    rounds = 12 * dram(memory).clocks.refi
    assert bench.idle(rounds).refreshes in range(12 * 16 - 1, 12 * 16 + 2)
    assert clean(bench.run([(0, 64, 0)]))


@pytest.mark.parametrize("memory", ["hbm2", "hbm3"])
def test_single_errors_are_corrected_counted_and_scrubbed(make: Make, rng: np.random.Generator, memory: str) -> None:
    """One flipped bit at each of the 72 positions, each in a word of its own granule."""
    bench = make(memory)
    for bit in range(72):
        word = int(rng.integers(16))
        bench.flip(128 * bit + 8 * word, *((1 << bit, 0) if bit < 64 else (0, 1 << bit - 64)))
    reads = np.array([(128 * bit, 2, 0) for bit in range(72)], REQUEST)
    for at in range(0, 72, 4):
        assert clean(bench.run(reads[at : at + 4], outstanding=1))
        bench.idle(300)
    assert bench.flipped == 0
    assert bench.idle(1).corrected >= 72
    again = bench.run(reads)
    assert clean(again) and again.corrected == bench.idle(1).corrected
    assert again.uncorrectable == 0


def test_double_errors_are_reported_at_their_beat(make: Make, rng: np.random.Generator) -> None:
    """Pairs of positions, each in a granule of its own: SLVERR for one of its two beats; nothing is written back."""
    bench = make("hbm3")
    pairs = list(combinations(range(72), 2))
    chosen = [pairs[i] for i in rng.choice(len(pairs), 100, replace=False)]
    for i, pair in enumerate(chosen):
        flip = sum(1 << bit for bit in pair)
        bench.flip(128 * i + 8 * int(rng.integers(16)), flip & (1 << 64) - 1, flip >> 64)
    got = bench.run([(128 * i, 2, 0) for i in range(100)])
    assert (got.slave_errors, got.wrong, got.uncorrectable) == (100, 0, 100)
    assert bench.flipped == 100


def test_writes_over_errors(make: Make) -> None:
    """Whole accesses overwrite any error; a partial one repairs a single error, and reports a double one on B."""
    bench = make("hbm3")
    bench.flip(0, 3)
    bench.flip(64, 1)
    assert clean(bench.run([(0, 2, 1)]))
    assert bench.flipped == 0
    rng = np.random.default_rng(0)
    for seed in range(40):  # random strobes: most leave gaps in each access
        bench.flip(4096 + 128 * seed, 1 << int(rng.integers(64)))
        assert clean(bench.run([(4096 + 128 * seed, 2, 1)], seed=seed, partial=True))
    bench.idle(2000)
    assert bench.run([(4096, 64, 0), (8192, 16, 0)]).uncorrectable == 0


def test_a_partial_write_of_a_broken_word_is_reported(make: Make) -> None:
    bench = make("hbm3")
    for word in range(16):
        bench.flip(8 * word, 5)
    got = bench.run([(0, 1, 1), (64, 1, 1)], seed=3, partial=True)
    again = bench.run([(0, 2, 0)])
    assert got.slave_errors >= 1
    assert again.slave_errors >= 1  # what was reported wasn't written


def test_background_scrub_finds_errors_nobody_reads(make: Make) -> None:
    """The pointer walks through all places of row 0 first: bank by bank, granule by granule."""
    bench = make("hbm3")
    bench.flip(0, 1 << 17)
    bench.flip(128, 0, 1)
    assert bench.flipped == 2
    bench.idle(65536 * 3)
    assert bench.flipped == 0
    assert bench.idle(1).corrected == 2


def test_a_pattern_that_there_isnt_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="no pattern 'zigzag'; there are sequential, sequential_write, read2write1"):
        pattern_requests("zigzag", 10)
    with pytest.raises(ValueError, match="stride takes a power of two from 256 to 4194304, not 1000"):
        pattern_requests("stride1000", 10)
    with pytest.raises(ValueError, match="an ideal memory has no controller"):
        MemoryBench(config("nano"), 1 << 16)
