"""Strong scaling: a product, or other work, from memory to memory on more and more of a chip's cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gemel.bench.matmul import Product, from_memory
from gemel.bench.scaling_work import ScalingWork
from gemel.driver.device import Device

__all__ = ["run_scaling", "run_scaling_work"]


def run_scaling(device: Device, product: Product, cores: Sequence[int]) -> dict[str, Any]:
    """Cycles from the doorbell to the interrupt for each number of cores, and how much faster than the first one.

    `exact`: every result has the golden model's bytes. On a chip without a clock cycles and speedup are ``None``.
    """
    _check(cores)
    figures = [from_memory(device, product, cores=count) for count in cores]
    cycles = [each.cycles for each in figures]
    return {
        "cores": list(cores),
        "cycles": cycles,
        "speedup": _speedup(cycles),
        "utilisation": [each.utilisation for each in figures],
        "exact": all(each.exact for each in figures),
    }


def run_scaling_work(device: Device, work: ScalingWork, cores: Sequence[int]) -> dict[str, Any]:
    """The same of other work: cycles from the first doorbell to the last interrupt, without utilisation."""
    _check(cores)
    cycles: list[int | None] = []
    exact = True
    for count in cores:
        begun = device.backend.cycles
        found = work.run(count)
        cycles.append(device.backend.cycles - begun if device.backend.timed else None)
        exact &= np.array_equal(found.codes(), work.expected)
    return {"cores": list(cores), "cycles": cycles, "speedup": _speedup(cycles), "exact": exact}


def _check(cores: Sequence[int]) -> None:
    if not cores:
        raise ValueError("scaling needs at least one number of cores")


def _speedup(cycles: Sequence[int | None]) -> list[float | None]:
    first = cycles[0]
    return [first / each if first and each else None for each in cycles]
