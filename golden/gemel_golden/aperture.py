"""The part of memory addresses through which cores reach each other's L1, and how it joins memory in one array."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import ChipConfig

__all__ = ["APERTURE_SHIFT", "Space", "aperture_base", "l1_address"]

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


class Space:
    """Memory and, on a chip with several cores, every L1, as LOAD and STORE address them: a piece of `bytes` each.

    `bytes`: memory, then the cores' L1s. `Space(memory)` is memory alone, without an aperture.
    """

    def __init__(self, memory: NDArray[np.uint8], *, base: int = 0, l1_bytes: int = 0, cores: int = 0):
        self.bytes = memory
        self.base, self.l1_bytes, self.cores = base, l1_bytes, cores
        self.memory_bytes = len(memory) - cores * l1_bytes

    @classmethod
    def of(cls, config: ChipConfig, memory_bytes: int) -> Space:
        """The addresses of a chip with so much memory; all bytes are zero."""
        if config.cores == 1:
            return cls(np.zeros(memory_bytes, np.uint8))
        size = memory_bytes + config.cores * config.l1_bytes
        sizes = {"base": aperture_base(config), "l1_bytes": config.l1_bytes, "cores": config.cores}
        return cls(np.zeros(size, np.uint8), **sizes)

    @property
    def memory(self) -> NDArray[np.uint8]:
        """Memory's part of `bytes`."""
        return self.bytes[: self.memory_bytes]

    def l1(self, core: int) -> NDArray[np.uint8]:
        """A core's part of `bytes`."""
        start = self.memory_bytes + core * self.l1_bytes
        return self.bytes[start : start + self.l1_bytes]

    def regions(self, addresses: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """For each address, where the memory or L1 to which it belongs begins and ends; 0 and 0 where there is none.

        An address outside of the aperture belongs to memory, even beyond its end.
        """
        starts = np.zeros(addresses.shape, np.uint64)
        ends = np.full(addresses.shape, self.memory_bytes, np.uint64)
        base, shift = np.uint64(self.base), np.uint64(APERTURE_SHIFT)
        inside = (addresses >= base) & (addresses < np.uint64(2) * base)  # nothing is, where the base is 0
        core = (addresses - base) >> shift
        there = inside & (core < np.uint64(self.cores))
        own = base + (core << shift)
        starts[there], ends[there] = own[there], own[there] + np.uint64(self.l1_bytes)
        ends[inside & ~there] = 0
        return starts, ends

    def outside(self, addresses: NDArray[np.uint64], lengths: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Which of these runs of bytes aren't wholly in one memory or L1."""
        _, ends = self.regions(addresses)
        return (addresses >= ends) | (lengths > ends - np.minimum(addresses, ends))

    def places(self, addresses: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where in `bytes` these bytes are, which exist."""
        starts, _ = self.regions(addresses)
        core = (addresses - np.uint64(self.base)) >> np.uint64(APERTURE_SHIFT)
        l1 = np.uint64(self.memory_bytes) + core * np.uint64(self.l1_bytes) + addresses - starts
        return np.where(starts > 0, l1, addresses).astype(np.int64)
