"""How a matrix product is shared by the cores of a launch: pieces of one shape, so that one program serves all."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Split", "split_product"]


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
            size = -(-total // (parts * granule)) * granule
            last = total - size
            if size < tile or last <= (parts - 2) * size or last % granule:
                continue
            starts = [min(part * size, last) for part in range(parts)]
            if along_rows:
                return Split(rows=size, columns=columns, starts=tuple((start, 0) for start in starts))
            return Split(rows=rows, columns=size, starts=tuple((0, start) for start in starts))
    return Split(rows=rows, columns=columns, starts=((0, 0),))
