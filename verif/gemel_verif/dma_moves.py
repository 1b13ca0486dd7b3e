"""Random instructions of the DMA units beyond LOAD and STORE, for block tests."""

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import CHUNK
from gemel_golden.isa import NO_ROW, Opcode
from gemel_verif.dma_scenarios import MEMORY_BYTES, place_in_l1

__all__ = ["LISTS", "random_fill", "random_image", "random_indexed"]

LISTS = 16384
"""Bytes at the end of L1 that hold lists of indices; nothing else is written there."""


def random_indexed(
    rng: np.random.Generator, opcode: Opcode, l1: NDArray[np.uint8], number: int, *, absent: float = 0.1
) -> dict[str, int]:
    """A GATHER, SCATTER or SCATTER_ADD whose list, written to `l1`, is the `number`-th: any alignment and stride."""
    count = int(rng.integers(1, rng.choice([4, 20, 100])))
    length = int(rng.choice(np.array([4, 32, 64, 100, 128, 256, rng.integers(1, 700)])))
    stride = int(rng.choice(np.array([length, -(-length // 64) * 64, length + int(rng.integers(64)), -length])))
    if rng.random() < 0.1:
        stride = int(rng.integers(-100, 100))
    limit = min(int(rng.choice(np.array([1, 5, 40, 300]))), (MEMORY_BYTES - length) // max(1, abs(stride)))
    indices = rng.integers(0, limit, count).astype(np.uint32)
    indices[rng.random(count) < absent] = NO_ROW
    lists = len(l1) - LISTS
    start = lists + 512 * (number % (LISTS // 512)) + 4 * int(rng.integers(20))
    l1[start : start + 4 * count].view(np.uint32)[:] = indices
    reach = (limit - 1) * stride
    low, high = min(0, reach), max(0, reach) + length
    values = {
        "opcode": int(opcode),
        "count1": count,
        "bytes": length,
        "layout": int(rng.integers(2)),
        "stride": stride,
        "limit": int(rng.choice(np.array([limit, NO_ROW]))),
        "indices": start,
        "mem": int(rng.integers(-low, MEMORY_BYTES - high + 1)),
    }
    if opcode == Opcode.GATHER:
        values["fill"] = int(rng.integers(1 << 32))
    return place_in_l1(rng, values, lists)


def random_image(rng: np.random.Generator, l1_bytes: int) -> dict[str, int]:
    """An IM2COL: one tap of a convolution of some images, NHWC, with stride, dilation and padding."""
    pixel = CHUNK * int(rng.integers(1, 5)) if rng.random() < 0.7 else int(rng.integers(1, 100))
    width, height, images = (int(rng.integers(1, limit)) for limit in (12, 12, 4))
    dx, dy, pad = int(rng.integers(0, 4)), int(rng.integers(0, 4)), int(rng.integers(4))
    x, y = (int(rng.integers(-pad, 3)) for _ in range(2))
    values = {
        "opcode": int(Opcode.IM2COL),
        "count1": int(rng.integers(1, width + 4)),
        "count2": int(rng.integers(1, height + 4)),
        "count3": images,
        "stride1": dx * pixel,
        "stride2": dy * width * pixel,
        "stride3": width * height * pixel,
        "bytes": pixel,
        "layout": int(rng.integers(2)),
        "fill": int(rng.integers(1 << 32)),
        "x": x,
        "y": y,
        "dx": dx,
        "dy": dy,
        "width": width,
        "height": height,
    }
    base = int(rng.integers(MEMORY_BYTES - width * height * images * pixel))
    values["mem"] = (base + (y * width + x) * pixel) % (1 << 64)
    return place_in_l1(rng, values, l1_bytes)


def random_fill(rng: np.random.Generator) -> dict[str, int]:
    """A FILL of memory."""
    counts = [int(rng.integers(1, 6)) for _ in range(3)]
    length = int(rng.choice(np.array([1, 64, rng.integers(1, 700)])))
    strides = [int(rng.integers(-800, 800)) for _ in range(3)]
    reach = [(count - 1) * stride for count, stride in zip(counts, strides, strict=True)]
    low, high = (sum(chosen(0, r) for r in reach) for chosen in (min, max))
    values = {f"count{d}": count for d, count in enumerate(counts, 1)}
    values |= {f"stride{d}": stride for d, stride in enumerate(strides, 1)}
    values |= {"opcode": int(Opcode.FILL), "bytes": length, "fill": int(rng.integers(1 << 32))}
    return values | {"mem": int(rng.integers(-low, MEMORY_BYTES - high - length + 1))}
