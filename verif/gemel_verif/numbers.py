"""FP32 and INT32 operands for tests of operators: random in every binade, close to each other, and all corners."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CORNERS", "fp32_pairs", "fp32_values", "int32_values", "report"]

_MAGNITUDES = (
    *(0, 1, 2, 3, 0x7F_FFFE, 0x7F_FFFF, 0x80_0000, 0x80_0001, 0xFF_FFFF, 0x100_0000),  # subnormals, smallest normals
    *(0x2000_0000, 0x3380_0000, 0x3F00_0000, 0x3F7F_FFFF, 0x3F80_0000, 0x3F80_0001, 0x3FC0_0000, 0x4000_0000),
    *(0x4B00_0000, 0x4B7F_FFFF, 0x4EFF_FFFF, 0x4F00_0000, 0x4F80_0000, 0x5F00_0000),  # the ends of integers
    *(0x7E80_0000, 0x7F00_0000, 0x7F7F_FFFE, 0x7F7F_FFFF),  # largest
    *(0x7F80_0000, 0x7F80_0001, 0x7FC0_0000, 0x7FFF_FFFF),  # infinity, NaNs
)
CORNERS = np.array([sign | magnitude for magnitude in _MAGNITUDES for sign in (0, 1 << 31)], np.uint32)


def fp32_values(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """FP32 bits: all corners, and the rest uniform in their bits, with short mantissas in one of three."""
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    bits &= np.where(rng.random(count) < 0.33, np.uint32(0xFFFF_F000), np.uint32(0xFFFF_FFFF))
    bits[: CORNERS.size] = CORNERS[:count]
    return bits


def fp32_pairs(rng: np.random.Generator, count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Pairs of FP32 bits: all pairs of corners, pairs at most 30 binades apart, near-equal ones, and random ones."""
    a, b = fp32_values(rng, count), rng.integers(0, 1 << 32, count, dtype=np.uint32)
    part = count // 4
    exponent = np.clip(((a >> 23) & 0xFF).astype(np.int64) + rng.integers(-30, 31, count), 0, 254).astype(np.uint32)
    b[:part] = (b[:part] & 0x807F_FFFF) | (exponent[:part] << 23)
    near = a ^ rng.integers(0, 16, count, dtype=np.uint32) ^ np.uint32(1 << 31)
    b[part : 2 * part] = near[part : 2 * part]
    # Products around the smallest and the largest numbers.
    reach = rng.choice(np.array([127 - 149, 103, 127, 128, 254, 380]), count) + rng.integers(-4, 5, count)
    exponent = np.clip(reach - ((a >> 23) & 0xFF).astype(np.int64), 0, 254).astype(np.uint32)
    b[2 * part : 3 * part] = ((b & 0x807F_FFFF) | (exponent << 23))[2 * part : 3 * part]
    corners = CORNERS.size**2
    a[:corners], b[:corners] = (grid.ravel() for grid in np.meshgrid(CORNERS, CORNERS))
    return a, b


def int32_values(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """INT32 bits: the extremes, and numbers of every size."""
    values = rng.integers(-(1 << 31), 1 << 31, count) >> rng.integers(0, 32, count)
    ends = [0, 1, -1, (1 << 31) - 1, -(1 << 31), 1 - (1 << 31), 1 << 24, (1 << 24) + 1, (1 << 24) + 3, (1 << 25) + 2]
    values[: len(ends)] = ends
    return values.astype(np.int64).astype(np.uint32)


def report(got: NDArray[Any], expected: NDArray[Any], **operands: NDArray[Any]) -> None:
    """Fails with operands, expected and actual result in hexadecimal unless `got` equals `expected`."""
    wrong = np.flatnonzero(got != expected)
    lines = [
        " ".join(f"{name}={int(values[i]):#010x}" for name, values in operands.items())
        + f": expected {int(expected[i]):#010x}, got {int(got[i]):#010x}"
        for i in wrong[:8]
    ]
    assert not wrong.size, "\n".join([f"{wrong.size} of {got.size} results differ", *lines])
