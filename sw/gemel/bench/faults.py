"""Fault injection: single bits flip in a running chip, and each run's end is compared with a run without."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gemel.bench.fault_kernel import BYTES, IN, L1_USED, OUT, Kernel, kernel
from gemel.driver.device import RING_ADDRESS, Device
from gemel.driver.faults import DeviceFault, DeviceTimeout
from gemel.driver.ring import reserved
from gemel.sim.library import SimulationError
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.config import WORD
from gemel_golden.core import Core

__all__ = ["OUTCOMES", "STRUCTURES", "Structure", "Summary", "classify", "inject"]

OUTCOMES = ("corrected", "reported", "masked", "broken", "silent")
"""What a flip came to: right results and a corrected error counted; a fault, or a launch that doesn't end; right
results; a bus rule broken, which the simulated memory sees; wrong bytes in memory without a word."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Stored bits of one kind: the names of their states, and whether check bits protect them."""

    name: str
    states: str
    protected: bool = False


BUS = Structure(name="bus, read data", states="")
STRUCTURES = (
    Structure(name="L1", states=r"\.l1\.bank\d+_\d+.*\.memory$", protected=True),
    Structure(name="instruction window", states=r"\.fetch\.window$", protected=True),
    Structure(name="vector instructions", states=r"\.vector_core\.program\.bank\d$", protected=True),
    Structure(name="L1, access registers", states=r"\.l1\.bank\d+_\d+"),
    Structure(name="instruction queues", states=r"\.queue_\w+\.|\.in_flight_"),
    Structure(name="sequencer", states=r"\.sequencer\."),
    Structure(name="semaphores, supervision", states=r"\.(semaphores|supervisor)\."),
    Structure(name="LOAD", states=r"\.load_unit\."),
    Structure(name="STORE", states=r"\.store_unit\."),
    Structure(name="tensor core, memories", states=r"\.tensor_core\."),
    Structure(name="vector core, memories", states=r"\.vector_core\."),
    Structure(name="command processor", states=r"\.command\."),
    Structure(name="elsewhere", states=""),
    BUS,
)
"""Each state belongs to the first structure whose expression its name has."""
BANK = re.compile(r"\.bank(\d+)_(\d+)")


def classify(name: str) -> Structure:
    """The structure that the state `name` belongs to."""
    return next(s for s in STRUCTURES if re.search(s.states, name))


@dataclass
class Summary:
    """What all runs came to."""

    seed: int
    cycles: int
    """Of a run without flips, from doorbell to interrupt."""
    seconds: float = 0.0
    table: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many flips."""
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


class _Experiment:
    """A chip with a kernel, and what its memory holds before and after."""

    def __init__(self, device: Device, backend: RtlBackend, work: Kernel):
        self.device, self.backend, self.work = device, backend, work
        self.buffer = device.alloc(BYTES)
        at = self.buffer.address
        device.memory[at + IN : at + OUT] = work.inputs
        self.cycles = device.run(work.program, [self.buffer]).total_cycles
        self.after = device.memory.copy()
        self.before = self.after.copy()
        self.before[at + OUT : at + BYTES] = 0
        if not np.array_equal(self.after[at + OUT : at + BYTES], _golden(device, work)):
            raise AssertionError("the chip without a flip gives other bytes than golden")
        sizes = device.config
        self.ring = slice(RING_ADDRESS, RING_ADDRESS + sizes.rings * reserved(sizes.cores))

    def run(self, flip: Callable[[], None], cycle: int) -> str:
        """One run with a flip before `cycle`; its outcome."""
        device = self.device
        self.backend.renew()  # what an earlier flip left in memories is gone
        device.reset()
        device.memory[:] = self.before
        try:
            launch = device.launch(self.work.program, [self.buffer])
            at = launch.keeps[0].address
            code = slice(at, at + len(self.work.program.bytes))
            self.backend.run(cycle)
            flip()
            launch.wait(timeout_cycles=4 * self.cycles)
        except (DeviceFault, DeviceTimeout):
            return "reported"
        except SimulationError:
            return "broken"
        for part in (self.ring, code):
            device.memory[part] = self.after[part]
        if not np.array_equal(device.memory, self.after):
            return "silent"
        return "corrected" if device.read_register("core", "ecc_corrected") else "masked"


def _golden(device: Device, work: Kernel) -> np.ndarray:
    memory = np.zeros(1 << 16, np.uint8)
    code = np.frombuffer(work.program.bytes, np.uint8)
    memory[: len(work.inputs)] = work.inputs
    memory[BYTES : BYTES + len(code)] = code
    core = Core(device.config, memory)
    core.launch(BYTES, len(work.program), [IN])
    if not core.run():
        raise AssertionError("the kernel doesn't end on golden")
    return memory[OUT:BYTES]


def inject(
    device: Device,
    n: int,
    seed: int,
    *,
    kinds: Mapping[str, float] | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Summary:
    """Flip a bit in each of `n` runs on `device`, whose back end was built with upsets.

    Half of the flips go to protected structures, or `kinds` gives weights by the structures' names. Raises ValueError
    for a device that can't.
    """
    backend = device.backend
    if not isinstance(backend, RtlBackend) or not (listed := backend.states()):
        raise ValueError("fault injection needs the rtl back end, built with upsets=True")
    rng = np.random.default_rng(seed)
    states: dict[str, list[_State]] = {}
    for index, (name, bits, entries) in enumerate(listed):
        states.setdefault(classify(name).name, []).append(_State(index=index, name=name, bits=bits, entries=entries))
    states[BUS.name] = []
    experiment = _Experiment(device, backend, kernel(rng))
    weights = kinds or _weights(states)
    names = list(weights)
    odds = np.array([weights[name] for name in names]) / sum(weights.values())
    summary = Summary(seed, experiment.cycles, table={name: Counter() for name in names})
    begun = time.monotonic()
    for _ in range(n):
        name = names[int(rng.choice(len(names), p=odds))]
        cycle = int(rng.integers(experiment.cycles))
        if name == BUS.name:
            port, bit = 0, int(rng.integers(8 * WORD))
            outcome = experiment.run(lambda port=port, bit=bit: backend.flip_read(port, bit), cycle)
        else:
            place = _place(rng, device, name, states[name])
            outcome = experiment.run(lambda place=place: backend.upset(*place), cycle)
        summary.table[name][outcome] += 1
        tick()
    summary.seconds = time.monotonic() - begun
    return summary


def _weights(states: Mapping[str, list[_State]]) -> dict[str, float]:
    protected = [s.name for s in STRUCTURES if s.protected and s.name in states]
    others = [s.name for s in STRUCTURES if not s.protected and s.name in states]
    return {name: 1 / len(protected) for name in protected} | {name: 1 / len(others) for name in others}


def _place(rng: np.random.Generator, device: Device, name: str, states: list[_State]) -> tuple[int, int, int]:
    """A random bit of the structure: state, entry, bit. In L1 it lies in nine of ten cases in what the kernel uses."""
    sizes = np.array([state.bits * state.entries for state in states], float)
    state = states[int(rng.choice(len(states), p=sizes / sizes.sum()))]
    entry = int(rng.integers(state.entries))
    if name == STRUCTURES[0].name and rng.random() < 0.9:
        first, size = L1_USED[int(rng.integers(len(L1_USED)))]
        word, half = (first + int(rng.integers(size))) // WORD, int(rng.integers(2))
        wanted = (str(half), str(word % device.config.l1_banks))
        state = next(s for s in states if (found := BANK.search(s.name)) and found.groups() == wanted)
        entry = word // device.config.l1_banks
    return state.index, entry, int(rng.integers(state.bits))
