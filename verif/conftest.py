"""Fixtures of the tests that run software on the simulated nano chip."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.sim.rtl_backend import RtlBackend


@pytest.fixture(scope="module")
def chip() -> Iterator[gemel.Device]:
    with gemel.open("nano", "rtl", memory_bytes=16 << 20) as opened:
        yield opened


@pytest.fixture
def device(chip: gemel.Device, rng: np.random.Generator) -> gemel.Device:
    """The chip with its memory in a random mood."""
    assert isinstance(chip.backend, RtlBackend)
    chip.backend.configure(
        latency=int(rng.choice([1, 7, 100])),
        stalls=float(rng.choice([0.0, 0.2, 0.5])),
        reorder=bool(rng.integers(2)),
        bandwidth=float(rng.choice([64, 24])),
        seed=int(rng.integers(1 << 32)),
    )
    return chip
