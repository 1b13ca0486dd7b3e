"""How a matrix product is cut into macro tiles, and which pieces of its operands L1 holds at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from gemel.kernels.block_scales import OperandScales
from gemel_golden.config import CHUNK, DRAIN_LANES, WORD, ChipConfig
from gemel_golden.formats import Format
from gemel_golden.isa import Scaled
from gemel_golden.scaled import FP32_GROUP

__all__ = [
    "VECTOR_BYTES",
    "Blocking",
    "Operand",
    "Pieces",
    "choose_blocking",
    "chunk_address",
    "cut",
    "d_strip_bytes",
    "split_even",
    "split_starts",
    "split_windows",
]

Pieces = list[tuple[int, int]]
"""(start, size) of each."""

VECTOR_BYTES = 320
"""L1 bytes of a tile's column vectors: 32 FP32 scales, 32 FP32 biases, then the key of stochastic rounding."""


@dataclass(frozen=True, kw_only=True)
class Operand:
    """A matrix operand's shape as the tensor core sees it: `rows` x `k` elements of `fmt`.

    ``transposed``: memory has it k rows by `rows` columns, so its rows in L1 run along K.
    """

    fmt: Format
    rows: int
    k: int
    transposed: bool
    scales: OperandScales | None = None

    def row_bytes(self, elements: int) -> int:
        """Bytes that so many neighbouring elements in memory take."""
        return -(-elements * self.fmt.bits // 8)

    def row_granule(self, least: int) -> int:
        """Tiles of this operand may begin at multiples of this many rows."""
        return CHUNK * 8 // self.fmt.bits if self.transposed else least

    def windows(self) -> list[tuple[int, int]]:
        """The (start, size) pieces of its rows that a tile may not straddle."""
        size = FP32_GROUP if self.scales is not None and self.scales.scaled == Scaled.TILE else self.rows
        return [(start, min(size, self.rows - start)) for start in range(0, self.rows, size)]

    def strip_pitch(self, rows: int, k: int) -> int:
        """Words between the chunk columns of a strip in L1."""
        return -(-(k if self.transposed else rows) // 2)

    def strip_bytes(self, rows: int, k: int) -> int:
        """Bytes of L1 that a strip of `rows` rows and `k` elements of K takes, its block scales included."""
        return self.scales_offset(rows, k) + (self.scales.l1_bytes(k) if self.scales is not None else 0)

    def scales_offset(self, rows: int, k: int) -> int:
        """Where the block scales of such a strip begin in it."""
        row_bytes = self.row_bytes(rows if self.transposed else k)
        return self.strip_pitch(rows, k) * -(-row_bytes // CHUNK) * WORD


def d_strip_bytes(rows: int, columns: int, bits: int) -> int:
    """L1 bytes of `rows` x `columns` outputs of `bits` bits in tile layout."""
    return -(-rows // 2) * -(-columns * bits // (8 * CHUNK)) * WORD


def chunk_address(address: int, chunk: int, pitch: int) -> int:
    """L1 address of a chunk of row 0 in tile layout, in a matrix at `address` with so many words between columns."""
    return address + chunk * pitch * WORD + chunk % 2 * CHUNK


def cut(total: int, size: int) -> list[tuple[int, int]]:
    """(start, count) pieces of up to `size`."""
    return [(start, min(size, total - start)) for start in range(0, total, size)]


def split_even(total: int, tile: int, granule: int) -> list[tuple[int, int]]:
    """Cut `total` into the fewest (start, size) pieces of at most `tile`, evenly, starts multiples of `granule`."""
    count = -(-total // tile)
    units = -(-total // granule)
    starts = [units * i // count * granule for i in range(count)] + [total]
    return [(start, end - start) for start, end in pairwise(starts)]


def split_windows(
    split: Callable[[int, int, int], list[tuple[int, int]]], operand: Operand, tile: int, granule: int
) -> list[tuple[int, int]]:
    """An operand's rows cut by `split` within each of its windows."""
    pieces = []
    for first, size in operand.windows():
        pieces += [(first + start, count) for start, count in split(size, tile, granule)]
    return pieces


def split_starts(total: int, tile: int, granule: int) -> list[tuple[int, int]]:
    """Cut `total` into pieces of `tile`; a last one of up to `granule` takes rows from the one before it."""
    pieces = cut(total, tile)
    if len(pieces) > 1 and pieces[-1][1] <= granule < tile:
        start, size = pieces[-2]
        pieces[-2:] = [(start, granule), (start + granule, size - granule + pieces[-1][1])]
    return pieces


@dataclass(frozen=True, kw_only=True)
class Blocking:
    """Strips and pools of one product: (start, size) pieces, tiles per block, and L1 slots of each kind."""

    m: Pieces
    n: Pieces
    k: Pieces
    block_m: int
    block_n: int
    a_slots: int
    b_slots: int
    d_slots: int

    @property
    def split_k(self) -> bool:
        """K is cut: partial sums wait in L1."""
        return len(self.k) > 1


def choose_blocking(
    config: ChipConfig,
    a: Operand,
    b: Operand,
    *,
    out_bits: int,
    vectors: bool,
    c: bool,
    whole_columns: bool,
    extra: Callable[[Pieces, Pieces, int, int, int], int],
) -> Blocking:
    """Pick strips and L1 slots for D[a.rows, b.rows].

    Whole K in L1 when it fits: a block is one row of tiles whose strips of B stay while strips of A stream by.
    Otherwise K is cut and a block of tiles keeps its FP32 partial sums in L1. whole_columns: all tiles but the last one
    of a row have `config.tile` columns, and D's strips are written in their order. extra: L1 bytes of an epilogue for
    the pieces of m and n, elements of a piece of K, and tiles of a block in both directions. Raises ``ValueError`` when
    not even that fits.
    """
    tile = config.tile
    m = split_windows(split_even, a, tile, a.row_granule(max(config.rows, 2)))
    few_rows = a.rows <= config.rows and b.row_granule(DRAIN_LANES) == DRAIN_LANES and not whole_columns
    granule = tile if whole_columns else b.row_granule(DRAIN_LANES)
    n = split_windows(split_starts, b, DRAIN_LANES if few_rows else tile, granule)
    tall, wide = (max(size for _, size in pieces) for pieces in (m, n))

    def blocking(k_tile: int, block_m: int, block_n: int, spare: int) -> Blocking | None:
        k = [(start, min(k_tile, a.k - start)) for start in range(0, a.k, k_tile)]
        split = len(k) > 1
        d_slots = block_m + 1 if split and not whole_columns else 2
        used = (
            (block_m + spare) * a.strip_bytes(tall, k_tile)
            + (block_n + spare) * b.strip_bytes(wide, k_tile)
            + d_slots * d_strip_bytes(tile, wide * block_n, out_bits)
            + (block_m * block_n if split else 0) * d_strip_bytes(tile, tile, 32)
            + (2 * d_strip_bytes(tile, tile, 32) if c else 0)
            + ((block_n + 2) * VECTOR_BYTES if vectors else 0)
            + extra(m, n, k_tile, block_m, block_n)
        )
        if used > config.l1_bytes:
            return None
        return Blocking(
            m=m,
            n=n,
            k=k,
            block_m=block_m,
            block_n=block_n,
            a_slots=block_m + spare,
            b_slots=block_n + spare,
            d_slots=d_slots,
        )

    whole = [(a.k, 1, block_n, spare) for block_n in range(min(len(n), 8), 0, -1) for spare in (2, 1)]
    # Each of them a whole number of groups of block scales.
    least = 7 if any(x.scales is not None and x.scales.group == FP32_GROUP for x in (a, b)) else 6
    cuts = [1 << bit for bit in range((a.k - 1).bit_length() - 1, least - 1, -1)]
    split = [(k, min(block, len(m)), min(block, len(n)), 1) for k in cuts for block in (4, 2, 1)]
    for choice in whole + split:
        if (found := blocking(*choice)) is not None:
            return found
    raise ValueError(f"L1 of {config.l1_bytes} bytes is too small for a product with K = {a.k}")
