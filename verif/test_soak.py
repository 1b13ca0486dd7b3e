"""Random programs under random stalls, orders and speeds of the bus: launches end in time and leave golden's bytes.

`make soak` goes on for a million cycles a seed.
"""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel import Device
from gemel.bench.fault_kernel import BYTES, OUT, kernel
from gemel.bench.random_programs import random_copies, random_matmul
from gemel.sim.rtl_backend import RtlBackend

MEMORY = 1 << 20
DATA = 256 << 10
"""Memory from here on belongs to the programs."""
PATIENCE = 400_000
"""Cycles that no launch may take, even with a bus that rests nine cycles of ten."""


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with gemel.open("nano", memory_bytes=MEMORY) as rtl, gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        yield rtl, golden


def random_bus(rng: np.random.Generator) -> dict:
    """Any latency, each channel stalled for itself, often not at all and sometimes nearly always."""
    levels = (0.0, 0.0, 0.1, 0.5, 0.9)
    return {
        "latency": int(rng.choice([1, 2, 17, 100, 600])),
        "bandwidth": float(rng.choice([64, 64, 24.5, 3])),
        "stalls": {channel: float(rng.choice(levels)) for channel in ("ar", "r", "aw", "w", "b")},
        "reorder": bool(rng.integers(2)),
        "seed": int(rng.integers(1 << 30)),
    }


def soak(devices: tuple[Device, Device], rng: np.random.Generator, cycles: int) -> None:
    rtl, golden = devices
    assert isinstance(rtl.backend, RtlBackend)
    end = rtl.backend.cycles + cycles
    while rtl.backend.cycles < end:
        data = rng.integers(0, 256, MEMORY - DATA, np.uint8)
        which = int(rng.integers(3))
        if which == 2:
            work = kernel(rng)
            data[:OUT] = work.inputs
            data[OUT:BYTES] = 0
            program = work.program
        else:
            program = random_copies(rng, int(rng.integers(1, 20))) if which else random_matmul(rng)
        rtl.backend.configure(**random_bus(rng))
        for device in devices:
            device.memory[DATA:] = data
            device.run(program, [DATA], timeout_cycles=PATIENCE)
        np.testing.assert_array_equal(rtl.memory[DATA:], golden.memory[DATA:])


def test_nothing_hangs(devices: tuple[Device, Device], rng: np.random.Generator) -> None:
    soak(devices, rng, 30_000)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_nothing_hangs_for_a_million_cycles(
    devices: tuple[Device, Device], rng: np.random.Generator, part: int
) -> None:
    soak(devices, rng, 1_000_000)
