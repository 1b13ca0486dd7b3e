"""The part of memory addresses through which cores reach each other's L1, and how it joins memory in one array."""

from __future__ import annotations

from gemel_golden.config import ChipConfig

__all__ = ["APERTURE_SHIFT", "aperture_base", "l1_address"]

APERTURE_SHIFT = 24
"""Core c's L1 begins at `aperture_base` + (c << APERTURE_SHIFT)."""


def aperture_base(config: ChipConfig) -> int:
    """The first address of the aperture: those with the topmost bit of a memory address belong to it."""
    return 1 << (config.mem_address_bits - 1)


def l1_address(config: ChipConfig, core: int, address: int = 0) -> int:
    """The memory address of byte `address` of a core's L1; ``ValueError`` when the chip has no such byte."""
    if not 0 <= core < config.cores:
        raise ValueError(f"the {config.name} chip has {config.cores} cores, not one of number {core}")
    if not 0 <= address < config.l1_bytes:
        raise ValueError(f"L1 address {address} lies outside the {config.l1_bytes} bytes of L1")
    return aperture_base(config) + (core << APERTURE_SHIFT) + address
