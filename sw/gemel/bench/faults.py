"""Fault injection: bits flip in a running chip, and each run's end is compared with a run without."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gemel.bench.fault_experiment import Experiment
from gemel.bench.fault_kernel import L1_USED, kernel
from gemel.bench.fault_structures import BUS, CODEWORD, L1, MEMORY, MEMORY_READ, STRUCTURES, Structure, classify
from gemel.driver.device import Device
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.config import WORD
from gemel_golden.memory.timing import dram

__all__ = ["OUTCOMES", "Summary", "inject"]

OUTCOMES = ("corrected", "reported", "masked", "broken", "silent")
"""What a flip came to: right results and a corrected error counted; a fault, or a launch that doesn't end; right
results; a bus rule broken, which the simulated memory sees; wrong bytes in memory without a word."""
BANK = re.compile(r"\.bank(\d+)_(\d+)")
DATA_BITS = 64


@dataclass
class Summary:
    """What all runs came to."""

    seed: int
    bits: int
    """Flipped in each run."""
    cycles: int
    """Of a run without flips, from doorbell to interrupt."""
    seconds: float = 0.0
    table: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs."""
        return sum(sum(row.values()) for row in self.table.values())

    @property
    def silent_protected(self) -> int:
        """Runs with wrong bytes after a flip in what check bits protect."""
        return sum(self.table[s.name]["silent"] for s in STRUCTURES if s.protected and s.name in self.table)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "runs": self.runs,
            "seed": self.seed,
            "bits": self.bits,
            "cycles": self.cycles,
            "seconds": self.seconds,
            "runs_per_second": self.runs / self.seconds if self.seconds else None,
            "silent_protected": self.silent_protected,
            "table": {
                s.name: {"protected": s.protected} | {outcome: self.table[s.name][outcome] for outcome in OUTCOMES}
                for s in STRUCTURES
                if s.name in self.table
            },
        }


@dataclass(frozen=True, kw_only=True)
class _State:
    index: int
    name: str
    bits: int
    entries: int


def inject(
    device: Device,
    n: int,
    seed: int,
    *,
    bits: int = 1,
    kinds: Mapping[str, float] | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Summary:
    """Flip a bit in each of `n` runs of a kernel on `device`, whose back end was built with upsets.

    Half of the flips go to protected structures, or `kinds` gives weights by the structures' names. With `bits` = 2,
    two bits of one 64-bit word with its check bits flip, in protected structures alone. `tick` is called after each
    run. Raises ValueError for a device that can't, and for other numbers of bits.
    """
    backend = device.backend
    if not isinstance(backend, RtlBackend) or not (listed := backend.states()):
        raise ValueError("fault injection needs the rtl back end, built with upsets=True")
    if bits not in (1, 2):
        raise ValueError(f"1 or 2 bits flip in a run, not {bits}")
    rng = np.random.default_rng(seed)
    experiment = Experiment(device, backend, kernel(rng))
    places = _Places(rng, experiment, listed, bits)
    weights = dict(kinds or places.weights())
    names = list(weights)
    odds = np.array(list(weights.values())) / sum(weights.values())
    by_name = {structure.name: structure for structure in STRUCTURES}
    summary = Summary(seed, bits, experiment.cycles, table={name: Counter() for name in names})
    begun = time.monotonic()
    for _ in range(n):
        name = names[int(rng.choice(len(names), p=odds))]
        cycle = int(rng.integers(experiment.cycles))
        summary.table[name][experiment.run(places.flip(by_name[name]), cycle)] += 1
        tick()
    summary.seconds = time.monotonic() - begun
    experiment.close()
    return summary


class _Places:
    """Random places to flip bits in. In L1 nine of ten lie in what the kernel uses, in memory all."""

    def __init__(self, rng: np.random.Generator, experiment: Experiment, listed: list[tuple[str, int, int]], bits: int):
        self.rng, self.experiment, self.bits = rng, experiment, bits
        self.backend = experiment.backend
        self.states: dict[str, list[_State]] = {}
        for index, (name, width, entries) in enumerate(listed):
            state = _State(index=index, name=name, bits=width, entries=entries)
            self.states.setdefault(classify(name).name, []).append(state)

    def weights(self) -> dict[str, float]:
        """The structures that there are, by name, with what part of the flips goes to each."""
        drams = self.experiment.device.config.drams
        there = {*self.states, *((MEMORY.name, MEMORY_READ.name) if drams else (BUS.name,))}
        protected, others = (
            [s.name for s in STRUCTURES if s.protected is wanted and s.name in there] for wanted in (True, False)
        )
        return dict.fromkeys(protected, 1 / len(protected)) | (
            dict.fromkeys(others, 1 / len(others)) if self.bits == 1 else {}
        )

    def flip(self, structure: Structure) -> Callable[[], object]:
        """What flips bits in a random place of the structure."""
        backend, rng = self.backend, self.rng
        if structure is MEMORY:
            first, size = self._any(self.experiment.used)
            address = first + DATA_BITS // 8 * int(rng.integers(size // (DATA_BITS // 8)))
            word = sum(1 << bit for bit in self._bits(list(range(CODEWORD))))
            return lambda: backend.flip(address, word % (1 << DATA_BITS), word >> DATA_BITS)
        if structure is MEMORY_READ:
            sizes = self.experiment.device.config
            words = dram(sizes.memory).access_bytes * 8 // DATA_BITS
            reads = Structure(name="", checks=(words * DATA_BITS, DATA_BITS, CODEWORD - DATA_BITS))
            port = int(rng.integers(sizes.drams))
            wrong = self._bits(reads.codeword(int(rng.integers(words))))
            return lambda: [backend.flip_read(port, bit) for bit in wrong]
        if structure is BUS and structure.name not in self.states:
            bit = int(rng.integers(8 * WORD))
            return lambda: backend.flip_read(0, bit)
        state, entry = self._place(structure)
        word = int(rng.integers(structure.words(state.bits))) if self.bits > 1 else None
        wrong = self._bits(list(range(state.bits)) if word is None else structure.codeword(word))
        return lambda: [backend.upset(state.index, entry, bit) for bit in wrong]

    def _any(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def _bits(self, bits: list[int]) -> list[int]:
        return [int(bit) for bit in self.rng.choice(bits, self.bits, replace=False)]

    def _place(self, structure: Structure) -> tuple[_State, int]:
        """A random entry of the structure."""
        rng, states = self.rng, self.states[structure.name]
        sizes = np.array([state.bits * state.entries for state in states], float)
        if structure is L1 and rng.random() < 0.9:
            first, size = self._any(L1_USED)
            word, half = (first + int(rng.integers(size))) // WORD, int(rng.integers(2))
            banks = self.experiment.device.config.l1_banks
            wanted = (str(half), str(word % banks))
            found = (s for s in states if (bank := BANK.search(s.name)) and bank.groups() == wanted)
            return next(found), word // banks
        state = states[int(rng.choice(len(states), p=sizes / sizes.sum()))]
        return state, int(rng.integers(state.entries))
