"""Operands of a * b + c: cancelling ones, ties that a crumb decides, and results around the smallest numbers."""

import numpy as np
from numpy.typing import NDArray

from gemel_verif.numbers import CORNERS, fp32_pairs, fp32_values

__all__ = ["fp32_triples"]

Bits = NDArray[np.uint32]
Triple = tuple[Bits, Bits, Bits]

ONE = 0x3F80_0000


def fp32_triples(rng: np.random.Generator, count: int) -> Triple:
    """`count` triples of FP32 bits, the kinds below in equal parts and random order."""
    kinds = (_any, _corners, _cancelling, _near, _subnormal, _tied_product, _tied_addend)
    parts = [kind(rng, -(-count // len(kinds))) for kind in kinds]
    a, b, c = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = rng.permutation(a.size)[:count]
    return a[order], b[order], c[order]


def _field(bits: Bits) -> NDArray[np.int64]:
    return ((bits >> np.uint32(23)) & np.uint32(0xFF)).astype(np.int64)


def _at(bits: Bits, field: NDArray[np.int64]) -> Bits:
    """`bits` with another exponent field, a finite one."""
    return bits & np.uint32(0x807F_FFFF) | np.clip(field, 0, 254).astype(np.uint32) << np.uint32(23)


def _product(a: Bits, b: Bits) -> Bits:
    with np.errstate(all="ignore"):
        return (a.view(np.float32) * b.view(np.float32)).view(np.uint32)


def _pairs(rng: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """Pairs, half of them with 12-bit significands, whose products are exact."""
    short = np.where(rng.random(count) < 0.5, np.uint32(0xFFFF_F000), np.uint32(0xFFFF_FFFF))
    a, b = fp32_pairs(rng, max(count, CORNERS.size**2))
    order = rng.permutation(a.size)[:count]
    return a[order] & short, b[order] & short


def _any(rng: np.random.Generator, count: int) -> Triple:
    """Pairs with an addend of any size."""
    return *_pairs(rng, count), rng.permutation(fp32_values(rng, count))


def _corners(rng: np.random.Generator, count: int) -> Triple:
    """Corners thrice."""
    a, b, c = rng.choice(CORNERS, (3, count))
    return a, b, c


def _cancelling(rng: np.random.Generator, count: int) -> Triple:
    """An addend that is minus the rounded product, or up to 3 ulp beside."""
    a, b = _pairs(rng, count)
    return a, b, _product(a, b) ^ np.uint32(1 << 31) ^ rng.integers(0, 4, count, dtype=np.uint32)


def _near(rng: np.random.Generator, count: int) -> Triple:
    """An addend at most 80 binades from the product."""
    a, b = _pairs(rng, count)
    return a, b, _at(fp32_values(rng, count), _field(_product(a, b)) + rng.integers(-80, 81, count))


def _subnormal(rng: np.random.Generator, count: int) -> Triple:
    """Product and addend within 30 binades of the smallest normal number."""
    a, b = _pairs(rng, count)
    b = _at(b, 127 - _field(a) + rng.integers(-30, 31, count))
    return a, b, _at(fp32_values(rng, count), rng.integers(0, 30, count))


def _tied_product(rng: np.random.Generator, count: int) -> Triple:
    """A product of two odd 13-bit integers, a tie if it has 25 bits, and an addend 30 to 120 binades below it."""
    a, b = rng.integers(0, 1 << 11, (2, count), dtype=np.uint32) << np.uint32(12) | np.uint32(1 << 11)
    a, b = _at(a, rng.integers(30, 191, count)), b | np.uint32(ONE)
    crumb = _at(fp32_values(rng, count), _field(a) - rng.integers(30, 121, count))
    return a ^ rng.integers(0, 2, count, dtype=np.uint32) << np.uint32(31), b, crumb


def _tied_addend(rng: np.random.Generator, count: int) -> Triple:
    """A product at half an ulp of the addend, subnormal ones included, or 2^-22 to 2^-46 of it beside."""
    c = fp32_values(rng, count)
    c = _at(c, np.where(rng.random(count) < 0.3, rng.integers(0, 3, count), _field(c)))
    half = np.maximum(_field(c), 1) - 24
    split = rng.integers(1, 127, count)
    sign = rng.integers(0, 2, (2, count), dtype=np.uint32) << np.uint32(31)
    crumbs = rng.integers(-1, 2, (2, count))
    a = (np.clip(split, 1, 254) << 23) + crumbs[0]
    b = (np.clip(half + 127 - split, 1, 254) << 23) + crumbs[1]
    return a.astype(np.uint32) ^ sign[0], b.astype(np.uint32) ^ sign[1], c
