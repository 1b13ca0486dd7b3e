"""Strong scaling: one matrix product from memory to memory on more and more of a chip's cores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gemel.bench.matmul import Product, from_memory
from gemel.driver.device import Device

__all__ = ["run_scaling"]


def run_scaling(device: Device, product: Product, cores: Sequence[int], *, bandwidth: float = 64) -> dict[str, Any]:
    """Cycles from the doorbell to the interrupt for each number of cores, and how much faster than the first one.

    `exact`: every result has the golden model's bytes. On a chip without a clock cycles and speedup are ``None``.
    """
    if not cores:
        raise ValueError("scaling needs at least one number of cores")
    figures = [from_memory(device, product, bandwidth=bandwidth, cores=count) for count in cores]
    cycles = [each.cycles for each in figures]
    return {
        "cores": list(cores),
        "cycles": cycles,
        "speedup": [cycles[0] / each if cycles[0] and each else None for each in cycles],
        "utilisation": [each.utilisation for each in figures],
        "exact": all(each.exact for each in figures),
    }
