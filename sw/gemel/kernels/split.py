"""How work is shared by the cores of a launch: pieces of one shape, so that one program serves all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gemel.driver.device import Device

__all__ = ["Parts", "Split", "cores_for", "most_parts", "movers_for", "parts_apart", "parts_of", "split_product"]


def cores_for(device: Device, cores: int | None) -> Sequence[int]:
    """The numbers of the first `cores` cores that the library may use now, or of all. Raises ValueError beyond them."""
    available = device.library_cores
    if cores is not None and not 1 <= cores <= device.config.cores:
        raise ValueError(f"the {device.config.name} chip has {device.config.cores} cores, not {cores}")
    if cores is not None and cores > len(available):
        raise ValueError(f"the current stream has {len(available)} of the chip's cores, not {cores}")
    return available[:cores]


def movers_for(device: Device, cores: int | None) -> Sequence[int]:
    """`cores_for` what only moves bytes: by default as many as the memory has channels, each of which a core fills."""
    found = cores_for(device, cores)
    return found[: device.config.channels] if cores is None else found


@dataclass(frozen=True)
class Parts:
    """A length in parts of one `size` that begin at `starts`; where they don't divide it the last two overlap."""

    size: int
    starts: tuple[int, ...]


def parts_of(length: int, count: int, *, least: int = 1, granule: int = 1) -> Parts | None:
    """So many parts of at least `least` that begin at multiples of `granule`; ``None`` where there are none."""
    size = -(-length // (count * granule)) * granule
    last = length - size
    if count > 1 and (size < least or last <= (count - 2) * size or last % granule):
        return None
    return Parts(size, tuple(min(part * size, last) for part in range(count)))


def most_parts(length: int, count: int, *, least: int = 1) -> Parts:
    """`parts_of` for as many up to `count` as there are; at least the whole."""
    return next(found for n in range(count, 0, -1) if (found := parts_of(length, n, least=least)) is not None)


def parts_apart(length: int, count: int, *, least: int = 1, granule: int = 1) -> Parts | None:
    """Parts that have nothing in common, which may leave something at the end; ``None`` where there are none."""
    size = length // (count * granule) * granule
    if size < max(least, 1):
        return None
    return Parts(size, tuple(part * size for part in range(count)))


@dataclass(frozen=True, kw_only=True)
class Split:
    """Pieces of D of `rows` x `columns`; rank r's begins at (row, column) `starts[r]`.

    Where the pieces don't divide D evenly they overlap: two cores then compute the same elements, from the same
    operands, and write the same bytes.
    """

    rows: int
    columns: int
    starts: tuple[tuple[int, int], ...]

    @property
    def cores(self) -> int:
        """Cores that have a piece."""
        return len(self.starts)

    def overlaps(self, rows: int, columns: int) -> bool:
        """Whether pieces of D (rows, columns) have elements in common."""
        return self.cores * self.rows * self.columns > rows * columns


def split_product(
    rows: int,
    columns: int,
    cores: int,
    *,
    tile: int,
    row_granule: int = 1,
    column_granule: int = 1,
    whole_columns: bool = False,
) -> Split:
    """Share D (rows, columns) by up to `cores` cores: along its longer side, in pieces of at least `tile`.

    Pieces begin at multiples of the granules; with `whole_columns` they have all rows. Fewer cores get a piece where D
    is too small for more.
    """
    sides = [(rows, row_granule, True), (columns, column_granule, False)][whole_columns:]
    for parts in range(cores, 1, -1):
        for total, granule, along_rows in sorted(sides, key=lambda side: -side[0]):
            found = parts_of(total, parts, least=tile, granule=granule)
            if found is None:
                continue
            if along_rows:
                return Split(rows=found.size, columns=columns, starts=tuple((start, 0) for start in found.starts))
            return Split(rows=rows, columns=found.size, starts=tuple((0, start) for start in found.starts))
    return Split(rows=rows, columns=columns, starts=((0, 0),))
