"""SECDED (72,64): every single error is corrected, every double error detected.

M. Y. Hsiao, "A Class of Optimal Minimum Odd-weight-column SEC-DED Codes", IBM J. Res. Dev. 14 (1970): a data bit's
column in the check matrix is one of the 56 bytes with three bits set or one of eight with five, so all rows have 26
ones; a check bit's column is its own bit. All columns have odd weight, so two errors leave a syndrome of even weight,
which is no column.
"""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CHECK_BITS", "COLUMNS", "DATA_BITS", "ROWS", "Decoded", "decode", "encode"]

DATA_BITS = 64
CHECK_BITS = 8

COLUMNS: tuple[int, ...] = (
    *(sum(1 << bit for bit in bits) for bits in combinations(range(CHECK_BITS), 3)),
    *((0b11111 << turn | 0b11111 >> CHECK_BITS - turn) & 0xFF for turn in range(CHECK_BITS)),
)
"""The syndrome of each data bit."""

ROWS: tuple[int, ...] = tuple(
    sum((column >> check & 1) << bit for bit, column in enumerate(COLUMNS)) for check in range(CHECK_BITS)
)
"""The data bits whose parity each check bit is."""

_FLIPS = np.zeros(1 << CHECK_BITS, np.uint64)
_FLIPS[list(COLUMNS)] = np.uint64(1) << np.arange(DATA_BITS, dtype=np.uint64)
_SINGLE = _FLIPS != 0
_SINGLE[[1 << bit for bit in range(CHECK_BITS)]] = True


class Decoded(NamedTuple):
    """Corrected data, and whether one error was corrected or more were found; arrays of one shape."""

    data: NDArray[np.uint64]
    corrected: NDArray[np.bool_]
    uncorrectable: NDArray[np.bool_]


def encode(data: ArrayLike) -> NDArray[np.uint8]:
    """The eight check bits of each 64-bit word."""
    words = np.asarray(data, np.uint64)
    check = np.zeros(words.shape, np.uint8)
    for bit, row in enumerate(ROWS):
        check |= (np.bitwise_count(words & np.uint64(row)) & 1) << np.uint8(bit)
    return check


def decode(data: ArrayLike, check: ArrayLike) -> Decoded:
    """Correct each 64-bit word by its check bits; a word with an uncorrectable error stays as it is."""
    words = np.asarray(data, np.uint64)
    syndrome = encode(words) ^ np.asarray(check, np.uint8)
    corrected = _SINGLE[syndrome]
    return Decoded(words ^ _FLIPS[syndrome], corrected, (syndrome != 0) & ~corrected)
