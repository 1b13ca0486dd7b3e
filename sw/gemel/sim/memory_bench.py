"""One memory channel alone under a list of requests: harness/memory_bench.h through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.sim.build import library
from gemel.sim.library import SimulationError
from gemel_golden.config import ChipConfig

__all__ = ["REQUEST", "MemoryBench", "Result"]

REQUEST = np.dtype([("address", "u8"), ("beats", "u4"), ("write", "u4")])
"""`bench_request`: a burst of 64-byte beats."""


class _Options(ctypes.Structure):
    _fields_ = (
        ("seed", ctypes.c_uint64),
        ("limit", ctypes.c_uint64),
        ("outstanding", ctypes.c_uint32),
        ("ids", ctypes.c_uint32),
        ("lead", ctypes.c_uint32),
        ("partial", ctypes.c_uint32),
        ("stalls", ctypes.c_double * 5),
    )


COUNTS = (
    *("cycles", "bytes", "wrong", "slave_errors", "decode_errors", "row_hits", "row_misses", "row_conflicts"),
    *("refreshes", "corrected", "uncorrectable", "latency"),
)


class Result(ctypes.Structure):
    """`bench_result`: what a run cost and found. Counters of the controller go on from run to run."""

    _fields_ = (*((name, ctypes.c_uint64) for name in COUNTS), ("sentence", ctypes.c_char * 256))

    def as_dict(self) -> dict[str, int]:
        """The numbers by name."""
        return {name: getattr(self, name) for name in COUNTS}


class MemoryBench:
    """The controller of `config.memory`, simulated with its DRAM; `memory` shows the first `size` bytes of it."""

    def __init__(self, config: ChipConfig, size: int):
        if config.memory == "ideal":
            raise ValueError("an ideal memory has no controller: ask for hbm2 or hbm3")
        self._c = ctypes.CDLL(str(library(config, profile="fast-build", top="gemel_memory")))
        self._c.bench_new.restype = ctypes.c_void_p
        self._c.bench_new.argtypes = [ctypes.c_uint64]
        self._c.bench_free.argtypes = [ctypes.c_void_p]
        self._c.bench_memory.restype = ctypes.c_void_p
        self._c.bench_memory.argtypes = [ctypes.c_void_p]
        self._c.bench_flip.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint8]
        self._c.bench_flips.restype = ctypes.c_size_t
        self._c.bench_flips.argtypes = [ctypes.c_void_p]
        self._c.bench_run.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._c.bench_idle.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_void_p]
        self._bench: Any = self._c.bench_new(size)
        pointer = ctypes.cast(self._c.bench_memory(self._bench), ctypes.POINTER(ctypes.c_uint8))
        self.memory: NDArray[np.uint8] = np.ctypeslib.as_array(pointer, (size,))

    def run(
        self,
        requests: NDArray[Any] | Iterable[tuple[int, int, int]],
        *,
        seed: int = 0,
        limit: int = 10_000_000,
        outstanding: int = 256,
        ids: int = 64,
        lead: int = 64,
        partial: bool = False,
        stalls: float | tuple[float, ...] = 0.0,
    ) -> Result:
        """Work off bursts of `REQUEST`; SimulationError names a broken rule. See `bench_options` for the rest."""
        listed = np.ascontiguousarray(
            requests if isinstance(requests, np.ndarray) else np.array(list(requests), REQUEST)
        )
        rates = stalls if isinstance(stalls, tuple) else (stalls,) * 5
        options = _Options(seed, limit, outstanding, ids, lead, int(partial), (ctypes.c_double * 5)(*rates))
        result = Result()
        self._c.bench_run(self._bench, listed.ctypes.data, len(listed), ctypes.byref(options), ctypes.byref(result))
        return self._checked(result)

    def idle(self, cycles: int) -> Result:
        """Let `cycles` pass without requests."""
        result = Result()
        self._c.bench_idle(self._bench, cycles, ctypes.byref(result))
        return self._checked(result)

    def flip(self, address: int, data: int = 0, check: int = 0) -> None:
        """Flip stored bits of the 64-bit word at `address`: of its data, of its check bits."""
        self._c.bench_flip(self._bench, address, data, check)

    @property
    def flipped(self) -> int:
        """Words whose stored bits aren't what was written."""
        return self._c.bench_flips(self._bench)

    def close(self) -> None:
        """Free the simulator; its memory ends with it."""
        if self._bench is not None:
            self.memory = np.empty(0, np.uint8)
            self._c.bench_free(self._bench)
            self._bench = None

    def _checked(self, result: Result) -> Result:
        if result.sentence:
            raise SimulationError(result.sentence.decode())
        return result
