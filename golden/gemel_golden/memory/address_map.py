"""Where an address lies in DRAM: a permutation of address bits with XOR of higher ones, and its inverse.

Bits from the bottom: 128 bytes of column, bank group, channel, the rest of the column, bank, row. So 128 bytes are of
one row, neighbours of these lie in other bank groups and then in other channels, and a stream uses all of a row while
it is open. Bank group, channel and bank are each XORed with bits of column and row, so that any power-of-two stride
visits all of them (`AddressMap.masks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.memory.timing import Dram, dram

__all__ = ["GRANULE", "AddressMap", "Place"]

GRANULE = 128
"""Bytes that lie side by side in one row: what one fetch should ask for at least."""

PRIMITIVE = {
    4: 0b10011,
    5: 0b100101,
    6: 0b1000011,
    7: 0b10000011,
    8: 0b100011101,
    9: 0b1000010001,
    10: 0b10000001001,
}
"""Primitive polynomials over GF(2) by degree: any `degree` successive powers of x modulo one are independent."""


class Place(NamedTuple):
    """Where bytes lie: arrays of one shape. `column` counts column accesses of a row."""

    channel: NDArray[np.uint64]
    group: NDArray[np.uint64]
    bank: NDArray[np.uint64]
    row: NDArray[np.uint64]
    column: NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class AddressMap:
    """The map of `channels` channels of `memory` ("hbm2", "hbm3" or a `Dram`); without `hashed`, bits only move.

    From the bank's lowest bit less (group bits + channel bits) on, successive address bits are successive powers of x
    modulo a primitive polynomial; one that belongs to row or column flips the bits of (group, channel, bank) set in
    its power. Any n successive powers are independent, n the bits of group, channel and bank together: so 2^n granules
    at a power-of-two stride lie in as many banks.
    Raises ``ValueError`` when channels isn't a power of two up to 64.
    """

    memory: str | Dram = "hbm3"
    channels: int = 1
    hashed: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.channels <= 64 or self.channels & (self.channels - 1):
            raise ValueError(f"channels must be a power of two from 1 to 64, not {self.channels}")

    @cached_property
    def dram(self) -> Dram:
        """The kind of memory."""
        return dram(self.memory)

    @property
    def bytes(self) -> int:
        """Capacity: addresses from 0 to this."""
        return self.dram.channel_bytes * self.channels

    @cached_property
    def bits(self) -> dict[str, tuple[int, ...]]:
        """Address bits of each field of `Place`, its least significant one first."""
        low = self.dram.access_bytes.bit_length() - 1
        granule = GRANULE.bit_length() - 1
        column_bits = self.dram.columns.bit_length() - 1
        at = granule
        found: dict[str, tuple[int, ...]] = {}
        for name, count in (
            ("group", self.dram.group_bits),
            ("channel", self.channels.bit_length() - 1),
            ("column", column_bits - (granule - low)),
            ("bank", self.dram.bank_bits),
            ("row", self.dram.row_bits),
        ):
            found[name] = tuple(range(at, at + count))
            at += count
        found["column"] = tuple(range(low, granule)) + found["column"]
        return found

    @cached_property
    def masks(self) -> dict[str, tuple[int, ...]]:
        """For each bit of each field of `Place`, the address bits whose parity it is."""
        masks = {name: [1 << bit for bit in bits] for name, bits in self.bits.items()}
        if self.hashed:
            spread = [(name, i) for name in ("group", "channel", "bank") for i in range(len(self.bits[name]))]
            own = {bit for name in ("group", "channel", "bank") for bit in self.bits[name]}
            power, polynomial = 1, PRIMITIVE[len(spread)]
            first = self.bits["bank"][0] - self.dram.group_bits - len(self.bits["channel"])
            for bit in range(first, self.bits["row"][-1] + 1):
                for j, (name, i) in enumerate(spread):
                    if power >> j & 1 and bit not in own:
                        masks[name][i] |= 1 << bit
                power <<= 1
                if power >> len(spread):
                    power ^= polynomial
        return {name: tuple(values) for name, values in masks.items()}

    def _field(self, name: str, address: NDArray[np.uint64]) -> NDArray[np.uint64]:
        value = np.zeros_like(address)
        for i, mask in enumerate(self.masks[name]):
            parity = np.bitwise_count(address & np.uint64(mask)).astype(np.uint64) & np.uint64(1)
            value |= parity << np.uint64(i)
        return value

    def channel(self, address: ArrayLike) -> NDArray[np.uint64]:
        """The channel of each byte address."""
        return self._field("channel", np.asarray(address, np.uint64))

    def forward(self, address: ArrayLike) -> Place:
        """The place of each byte address below `bytes`."""
        flat = np.asarray(address, np.uint64)
        return Place(*(self._field(name, flat) for name in Place._fields))

    def inverse(self, place: Place) -> NDArray[np.uint64]:
        """The address of the first byte of each place."""
        values = {name: np.asarray(value, np.uint64) for name, value in place._asdict().items()}
        shape = np.broadcast_shapes(*(value.shape for value in values.values()))
        address = np.zeros(shape, np.uint64)
        for name in ("row", "column", "bank", "channel", "group"):  # what the others are XORed with comes first
            for i, (bit, mask) in enumerate(zip(self.bits[name], self.masks[name], strict=True)):
                others = np.bitwise_count(address & np.uint64(mask & ~(1 << bit))).astype(np.uint64)
                own = (values[name] >> np.uint64(i) ^ others) & np.uint64(1)
                address |= own << np.uint64(bit)
        return address
