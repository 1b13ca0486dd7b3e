"""How much of its peak a memory channel gives: one controller and its DRAM under a pattern of requests."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.sim.memory_bench import REQUEST, MemoryBench
from gemel_golden.config import config
from gemel_golden.memory.timing import dram

__all__ = ["PATTERNS", "memory_figures", "pattern_requests"]

SPAN = 1 << 26
"""Bytes that a pattern stays in."""
GRANULE = 128
BLOCK = 2048
PATTERNS = ("sequential", "sequential_write", "read2write1", "random<bytes>", "stride<bytes>")
"""Names of patterns: random and strided ones say how far or how long, as random128 and stride4096."""


def pattern_requests(pattern: str, count: int, seed: int = 0) -> NDArray[Any]:
    """Bursts of at least `count` times 128 bytes.

    sequential, sequential_write: 4 KB bursts. read2write1: 2 KB blocks, two read streams and one written. random128:
    reads of 128 aligned bytes anywhere (64 to 4096, a power of two). stride4096: 128 bytes at each multiple (1024 to
    65536 and beyond, a power of two). Raises ValueError for any other name.
    """
    sized = re.fullmatch(r"(random|stride)(\d+)", pattern)
    if sized is not None:
        kind, size = sized[1], int(sized[2])
        lowest, highest = (64, 4096) if kind == "random" else (256, SPAN // 16)
        if size & (size - 1) or not lowest <= size <= highest:
            raise ValueError(f"{kind} takes a power of two from {lowest} to {highest}, not {size}")
        n = max(1, count * GRANULE // size) if kind == "random" else count
        if kind == "random":
            address = np.random.default_rng(seed).integers(0, SPAN // size, n) * size
            return _requests(address, size, np.zeros(n))
        at = np.arange(n) * size
        return _requests(at % SPAN + at // SPAN % (size // GRANULE) * GRANULE, GRANULE, np.zeros(n))
    if pattern in ("sequential", "sequential_write"):
        n = -(-count * GRANULE // 4096)
        return _requests(np.arange(n) * 4096 % SPAN, 4096, np.full(n, pattern == "sequential_write"))
    if pattern == "read2write1":
        n = -(-count * GRANULE // (3 * BLOCK)) * 3
        stream = np.arange(n) % 3
        address = stream * (SPAN // 4) + np.arange(n) // 3 * BLOCK % (SPAN // 4)
        return _requests(address, BLOCK, stream == 2)
    raise ValueError(f"no pattern {pattern!r}; there are {', '.join(PATTERNS)}")


def _requests(address: NDArray[Any], size: int, write: NDArray[Any]) -> NDArray[Any]:
    requests = np.zeros(len(address), REQUEST)
    requests["address"], requests["beats"], requests["write"] = address, size // 64, write
    return requests


def memory_figures(pattern: str, *, memory: str = "hbm3", count: int = 20_000, seed: int = 0) -> dict[str, Any]:
    """Cycles, bytes, share of the peak and row statistics of a pattern on one channel; every byte is checked."""
    requests = pattern_requests(pattern, count, seed)
    bench = MemoryBench(config("nano").override(memory=dram(memory).name), SPAN)
    try:
        bench.memory[:] = np.random.default_rng(seed).integers(0, 256, SPAN, dtype=np.uint8)
        result = bench.run(requests, seed=seed + 1, lead=16)
    finally:
        bench.close()
    errors = result.wrong + result.slave_errors + result.decode_errors
    return {
        "cycles": result.cycles,
        "bytes": result.bytes,
        "bandwidth_utilisation": result.bytes / (result.cycles * dram(memory).bytes_per_clock),
        "row_hits": result.row_hits,
        "row_misses": result.row_misses,
        "row_conflicts": result.row_conflicts,
        "refreshes": result.refreshes,
        "longest_read": result.latency,
        "exact": errors == 0 and result.bytes == 64 * int(requests["beats"].sum()),
    }
