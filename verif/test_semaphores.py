"""Semaphores never grant what isn't there, lose nothing, starve nobody, and fault beyond 255."""

from typing import Any

import numpy as np
import pytest

from gemel_golden.isa import SEMAPHORE_MAX, SEMAPHORES, FaultCode
from gemel_rtl.sequencer.semaphores import Semaphores
from gemel_verif.runner import simulate

PORTS = 4


def pair(sem0: int, count0: int, sem1: int = 0, count1: int = 0) -> dict[str, int]:
    return {"sem0": sem0, "count0": count0, "sem1": sem1, "count1": count1}


def run(
    rng: np.random.Generator, waits: list[list[dict[str, int]]], signals: list[list[dict[str, int]]], stall: float = 0.0
) -> dict[str, Any]:
    """Exchange all, and check each grant and the counters against a plain count."""
    inputs = {
        "ports": PORTS,
        "seed": int(rng.integers(1 << 30)),
        "wait": waits,
        "signal": signals,
        "stall": stall,
        "cycles": 20000,
    }
    got = simulate(Semaphores(PORTS), "gemel_semaphores", "tb_semaphores", inputs)
    counts = np.zeros(SEMAPHORES, np.int64)
    now, given = -1, np.zeros(SEMAPHORES, np.int64)
    for cycle, kind, _, what in got["log"]:
        if cycle != now:
            counts += given
            now, given = cycle, np.zeros(SEMAPHORES, np.int64)
        for i in (0, 1):
            if kind == "wait":
                counts[what[f"sem{i}"]] -= what[f"count{i}"]
            else:
                given[what[f"sem{i}"]] += what[f"count{i}"]
        assert counts.min() >= 0, f"cycle {cycle}: {what} granted without its counts"
    counts += given
    if got["fault"] is None:
        np.testing.assert_array_equal(got["counts"], counts)
    return got


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_random_exchange(rng: np.random.Generator, stall: float) -> None:
    """Every wait has a signal somewhere, so that all come through, whatever the order."""
    waits: list[list[dict[str, int]]] = [[] for _ in range(PORTS)]
    signals: list[list[dict[str, int]]] = [[] for _ in range(PORTS)]
    for _ in range(300):
        sem0, sem1 = (int(sem) for sem in rng.integers(0, SEMAPHORES, 2))
        if rng.random() < 0.2:
            sem1 = sem0
        both = pair(sem0, int(rng.integers(0, 9)), sem1, int(rng.integers(0, 9)))
        waits[int(rng.integers(PORTS))].append(both)
        signals[int(rng.integers(PORTS))].append(both)
    # Waits of one unit come in order: one that needs two semaphores may hold what others need first, so all signals go.
    got = run(rng, waits, signals, stall)
    assert got["fault"] is None
    assert len(got["log"]) == 600


def test_one_wait_and_one_signal_a_cycle(rng: np.random.Generator) -> None:
    """Four units each signal and wait for themselves: all share the cycles equally."""
    each = [[pair(port, 1)] * 50 for port in range(PORTS)]
    got = run(rng, each, each)
    assert got["cycles"] <= 50 * PORTS + 45
    for kind in ("wait", "signal"):
        ports = [port for _, k, port, _ in got["log"] if k == kind]
        assert all(sorted(ports[i : i + PORTS]) == list(range(PORTS)) for i in range(PORTS, len(ports) - PORTS, PORTS))


@pytest.mark.parametrize("sem", [0, SEMAPHORES - 1])
def test_overflow(rng: np.random.Generator, sem: int) -> None:
    nothing: list[list[dict[str, int]]] = [[] for _ in range(PORTS)]
    full = [[], [pair(sem, SEMAPHORE_MAX)], [], []]
    assert run(rng, nothing, full)["fault"] is None
    over = [[], [], [pair(sem, SEMAPHORE_MAX), pair(3, 0, sem, 1)], []]
    assert run(rng, nothing, over)["fault"] == {"code": FaultCode.SEMAPHORE_OVERFLOW, "pc": 102}
