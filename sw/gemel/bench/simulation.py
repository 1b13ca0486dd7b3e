"""How fast a simulated chip and the golden arithmetic are on this host."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from gemel.bench.matmul import from_memory, product_of, random_codes
from gemel.driver.device import Device
from gemel.dtypes import dtype
from gemel_golden.dot import block_matmul
from gemel_golden.formats import by_code
from gemel_golden.isa import OPERAND_FORMATS

__all__ = ["golden_speed", "simulation_speed"]


def simulation_speed(device: Device, *, size: int = 512, name: str = "e4m3") -> dict[str, Any]:
    """Seconds and MMAC/s of one size^3 product from memory on `device`, beside those of golden's arithmetic."""
    product = product_of(size, size, size, name)
    figures = from_memory(device, product)
    golden = _golden_seconds(size, name)
    return {
        "cycles": figures.cycles,
        "macs": figures.macs,
        "seconds": figures.seconds,
        "mmac_per_second": figures.mmac_per_second,
        "kilocycles_per_second": figures.cycles / figures.seconds / 1e3 if figures.cycles else None,
        "golden_seconds": golden,
        "golden_mmac_per_second": figures.macs / golden / 1e6,
        "exact": figures.exact,
    }


def golden_speed(*, size: int = 512) -> dict[str, float]:
    """GMAC/s of `gemel_golden.dot.block_matmul` for a size^3 product by operand format; the best of three."""
    names = [by_code(code).name for code in OPERAND_FORMATS]
    return {name: size**3 / min(_golden_seconds(size, name) for _ in range(3)) / 1e9 for name in names}


def _golden_seconds(size: int, name: str) -> float:
    fmt = dtype(name)
    rng = np.random.default_rng(0)
    a, b = (random_codes(rng, (size, size), fmt) for _ in "ab")
    begun = time.perf_counter()
    block_matmul(a, fmt, b, fmt)
    return time.perf_counter() - begun
