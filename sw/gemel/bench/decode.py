"""Decode: a few rows through a matrix that comes from memory, against the bytes that memory can move."""

from __future__ import annotations

from typing import Any

from gemel.bench.matmul import Product, from_memory
from gemel.driver.device import Device

__all__ = ["run_decode"]


def run_decode(device: Device, product: Product) -> dict[str, Any]:
    """Run it from memory to memory and check every bit; the figures by name.

    `cycles` from doorbell to interrupt; `bytes` of both operands, each once; `bandwidth_utilisation`: these bytes of
    what all channels of the memory move in as many cycles, refreshes included.
    """
    found = from_memory(device, product)
    return {
        "cycles": found.cycles,
        "bytes": product.operand_bytes,
        "bytes_per_cycle": product.operand_bytes / found.cycles if found.cycles else None,
        "peak_bytes_per_cycle": device.bandwidth or None,
        "bandwidth_utilisation": found.bandwidth_utilisation,
        "seconds": found.seconds,
        "exact": found.exact,
    }
