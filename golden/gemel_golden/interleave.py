"""Which memory channel an address belongs to: `gemel_golden.memory.address_map` of a configuration."""

from __future__ import annotations

from gemel_golden.config import ChipConfig
from gemel_golden.memory.address_map import AddressMap

__all__ = ["CHANNEL_GRANULE", "channel", "channel_masks"]

CHANNEL_GRANULE = 512
"""Bytes of neighbouring addresses that one channel holds."""


def channel_masks(config: ChipConfig) -> tuple[int, ...]:
    """For each bit of the channel's number, the address bits whose parity it is; none below `CHANNEL_GRANULE`."""
    return AddressMap(memory=config.dram, channels=config.channels).masks["channel"]


def channel(config: ChipConfig, address: int) -> int:
    """The channel of a byte address."""
    return sum((address & mask).bit_count() % 2 << i for i, mask in enumerate(channel_masks(config)))
