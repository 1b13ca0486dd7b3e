"""The allocator of device memory: first fit over a sorted list of holes that merge when freed."""

from __future__ import annotations

from bisect import bisect_left


class OutOfDeviceMemory(MemoryError):
    """No hole is large enough; the message holds what was asked and what is there."""


class Allocator:
    """Hands out ranges of the addresses `first` .. `last` - 1.

    Every range begins at its alignment and is rounded up to `granule` bytes, so that no two share a bus beat.
    """

    def __init__(self, first: int, last: int, granule: int = 64):
        if not 0 <= first <= last:
            raise ValueError(f"an allocator's range can't be {first}..{last}")
        self.granule = granule
        first, last = -(-first // granule) * granule, last // granule * granule
        self.capacity = max(0, last - first)
        self._holes: list[tuple[int, int]] = [(first, last)] if last > first else []
        self._used: dict[int, int] = {}

    @property
    def free_bytes(self) -> int:
        """Bytes in all holes together."""
        return sum(end - start for start, end in self._holes)

    @property
    def largest_hole(self) -> int:
        """Bytes of the largest hole."""
        return max((end - start for start, end in self._holes), default=0)

    def alloc(self, nbytes: int, align: int = 64) -> int:
        """The address of `nbytes` fresh bytes at a multiple of `align`, a power of two.

        Raises ValueError for a negative size or another alignment, OutOfDeviceMemory when no hole holds them.
        """
        if nbytes < 0:
            raise ValueError(f"can't allocate {nbytes} bytes")
        if align < 1 or align & (align - 1):
            raise ValueError(f"an alignment is a power of two, not {align}")
        size = max(1, -(-nbytes // self.granule)) * self.granule
        align = max(align, self.granule)
        for index, (start, end) in enumerate(self._holes):
            address = -(-start // align) * align
            if address + size <= end:
                rest = [(start, address), (address + size, end)]
                self._holes[index : index + 1] = [hole for hole in rest if hole[0] < hole[1]]
                self._used[address] = size
                return address
        raise OutOfDeviceMemory(
            f"no room for {nbytes:,} bytes aligned to {align}: {self.free_bytes:,} of {self.capacity:,} bytes of "
            f"device memory are free, {self.largest_hole:,} in one piece"
        )

    def free(self, address: int) -> None:
        """Give the range at `address` back. Raises ValueError when none was handed out there."""
        if address not in self._used:
            raise ValueError(f"no allocation begins at {address:#x}")
        start, end = address, address + self._used.pop(address)
        index = bisect_left(self._holes, (start, end))
        if index < len(self._holes) and self._holes[index][0] == end:
            end = self._holes.pop(index)[1]
        if index and self._holes[index - 1][1] == start:
            index -= 1
            start = self._holes.pop(index)[0]
        self._holes.insert(index, (start, end))
