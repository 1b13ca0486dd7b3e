"""The pieces of a matrix product's program: macro tiles in order, and the L1 slots that strips come to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from gemel.kernels.schedule import Region
from gemel.kernels.tiling import Blocking

__all__ = ["L1", "Load", "Pool", "TilePlace", "tile_places"]


@dataclass(frozen=True)
class TilePlace:
    """One MATMUL: indices into the blocking's m, n and k pieces, and the first n piece of its block."""

    i: int
    j: int
    k: int
    block_j: int


def tile_places(b: Blocking) -> Iterator[TilePlace]:
    """Every MATMUL, in order."""
    for block_j in range(0, len(b.n), b.block_n):
        for block_i in range(0, len(b.m), b.block_m):
            for k in range(len(b.k)):
                for i in range(block_i, min(block_i + b.block_m, len(b.m))):
                    for j in range(block_j, min(block_j + b.block_n, len(b.n))):
                        yield TilePlace(i, j, k, block_j)


@dataclass
class L1:
    """L1, given out from its beginning on."""

    limit: int
    top: int = 0

    def regions(self, count: int, size: int) -> list[Region]:
        """So many regions of a size beside each other. Raises ValueError beyond the limit."""
        regions = [Region(self.top + i * size, size) for i in range(count)]
        self.top += count * size
        if self.top > self.limit:
            raise ValueError(f"the blocking takes {self.top} bytes of L1, which has {self.limit}")
        return regions


@dataclass(frozen=True)
class Load:
    """A piece to bring into a slot, and the earliest and latest place for it in the list of tiles."""

    key: tuple[str, int, int]
    region: Region
    earliest: int
    needed: int


class Pool:
    """L1 slots of one kind, replaced least recently used first."""

    def __init__(self, regions: list[Region]):
        self._free = regions
        self._held: OrderedDict[tuple[str, int, int], tuple[Region, int]] = OrderedDict()

    def use(self, key: tuple[str, int, int], tile: int) -> Load | None:
        """Note that a tile uses a piece; the load that it takes if it isn't there."""
        load = None
        if key in self._held:
            region, _ = self._held.pop(key)
        elif self._free:
            region = self._free.pop(0)
            load = Load(key, region, 0, tile)
        else:
            _, (region, last) = self._held.popitem(last=False)
            load = Load(key, region, last + 1, tile)
        self._held[key] = (region, tile)
        return load

    def region(self, key: tuple[str, int, int]) -> Region:
        """The slot that holds a piece."""
        return self._held[key][0]
