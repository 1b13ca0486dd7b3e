"""The Philox unit against the vectors that Random123 publishes, and against golden."""

import numpy as np
from numpy.typing import NDArray

from gemel_golden.philox import philox4x32
from gemel_rtl.numeric.philox import Philox
from gemel_verif.runner import simulate

# kat_vectors, philox4x32 10: counter, key, words.
PUBLISHED = np.array(
    [
        [0] * 6 + [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8],
        [0xFFFFFFFF] * 6 + [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
        + [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ],
    np.uint32,
)


def _run(starts: NDArray[np.int64], counters: NDArray[np.uint32], keys: NDArray[np.uint32]) -> dict[str, list]:
    cycles = int(starts[-1]) + Philox.latency + 3
    inputs = {"starts": starts.tolist(), "counters": counters.tolist(), "keys": keys.tolist(), "cycles": cycles}
    return simulate(Philox(), "philox", "tb_philox", inputs)


def test_published_vectors() -> None:
    starts = np.arange(3) * Philox.latency
    got = _run(starts, PUBLISHED[:, :4], PUBLISHED[:, 4:6])
    assert got["valid"] == (starts + Philox.latency).tolist()
    np.testing.assert_array_equal(np.array(got["words"])[got["valid"]], PUBLISHED[:, 6:])


def test_random_blocks(rng: np.random.Generator) -> None:
    """Starts as close as they may be and further apart, and some too early, whose predecessors never come."""
    gaps = np.where(rng.random(2000) < 0.5, Philox.latency, rng.integers(1, 3 * Philox.latency, 2000))
    starts = np.cumsum(gaps)
    counters = rng.integers(0, 1 << 32, (starts.size, 4), dtype=np.uint32)
    keys = rng.integers(0, 1 << 32, (starts.size, 2), dtype=np.uint32)
    got = _run(starts, counters, keys)
    finish = np.append(np.diff(starts) >= Philox.latency, True)
    assert got["valid"] == (starts + Philox.latency)[finish].tolist()
    words, expected = np.array(got["words"], np.uint32), philox4x32(counters, keys)
    np.testing.assert_array_equal(words[got["valid"]], expected[finish])
    # They hold through the cycle of the next start.
    last = np.append(starts[1:], len(words) - 1)
    np.testing.assert_array_equal(words[last[finish]], expected[finish])
