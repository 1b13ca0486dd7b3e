"""Philox-4x32-10, the counter-based random bits of stochastic rounding and dropout.

Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Random123).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW = np.uint64(0xFFFF_FFFF)


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Ten rounds over counters (..., 4) with keys (..., 2), 32-bit words that broadcast; returns uint32 (..., 4)."""
    c = np.asarray(counter).astype(np.uint64)
    k = np.asarray(key).astype(np.uint64)
    if c.shape[-1:] != (4,) or k.shape[-1:] != (2,):
        raise ValueError(f"Philox-4x32 takes counters (..., 4) and keys (..., 2), not {c.shape} and {k.shape}")
    c0, c1, c2, c3 = (c[..., i] for i in range(4))
    k0, k1 = k[..., 0], k[..., 1]
    for _ in range(ROUNDS):
        product0 = np.uint64(MULTIPLIERS[0]) * c0
        product1 = np.uint64(MULTIPLIERS[1]) * c2
        high0, high1 = product0 >> np.uint64(32), product1 >> np.uint64(32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, product1 & _LOW, high0 ^ c3 ^ k1, product0 & _LOW
        k0 = (k0 + np.uint64(WEYL[0])) & _LOW
        k1 = (k1 + np.uint64(WEYL[1])) & _LOW
    return np.stack(np.broadcast_arrays(c0, c1, c2, c3), axis=-1).astype(np.uint32)


def element_words(seed: int, tensor: int, index: ArrayLike) -> NDArray[np.uint32]:
    """One random 32-bit word per element of a tensor, whatever order, tile or core it is computed in.

    seed: 64 bits, the key. tensor: 32 bits, a number that the program gives each use. index: element indices (any
    shape, up to 2^64 - 1). Element i gets word i mod 4 of counter (i // 4 low, i // 4 high, tensor, 0).
    """
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} doesn't fit 64 bits")
    if not 0 <= tensor < 1 << 32:
        raise ValueError(f"tensor number {tensor} doesn't fit 32 bits")
    i = np.asarray(index).astype(np.uint64)
    group = i >> np.uint64(2)
    zero = np.zeros_like(group)
    counter = np.stack((group & _LOW, group >> np.uint64(32), zero + np.uint64(tensor), zero), axis=-1)
    words = philox4x32(counter, np.array([seed & 0xFFFF_FFFF, seed >> 32], np.uint64))
    return np.take_along_axis(words, (i & np.uint64(3)).astype(np.int64)[..., None], axis=-1)[..., 0]


def rounding_bits(seed: int, tensor: int, index: ArrayLike, bits: int) -> NDArray[Any]:
    """The `random` of `rounding.encode`: the high `bits` (1 to 32) of each element's word."""
    if not 1 <= bits <= 32:
        raise ValueError(f"an element has 1 to 32 random bits, not {bits}")
    return element_words(seed, tensor, index) >> np.uint32(32 - bits)
