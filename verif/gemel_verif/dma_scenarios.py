"""Random DMA instructions for block tests."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import CHUNK, CONFIGS, ChipConfig
from gemel_golden.isa import Opcode
from gemel_golden.l1 import chunk_addresses

__all__ = ["MEMORY_BYTES", "Images", "chunks_of", "images", "place_in_l1", "random_values", "row_count", "span"]

MEMORY_BYTES = 1 << 16


class Images(NamedTuple):
    """The bytes of memory and of L1."""

    memory: NDArray[np.uint8]
    l1: NDArray[np.uint8]


def images(rng: np.random.Generator, l1_bytes: int = CONFIGS["nano"].l1_bytes) -> Images:
    """Random contents."""
    memory, l1 = (rng.integers(0, 256, size, dtype=np.uint8) for size in (MEMORY_BYTES, l1_bytes))
    return Images(memory, l1)


def span(values: dict[str, int]) -> tuple[int, int]:
    """Least and greatest + 1 offset from `mem` that the rows touch."""
    low = high = 0
    for d in (1, 2, 3):
        reach = (values[f"count{d}"] - 1) * values[f"stride{d}"]
        low, high = low + min(0, reach), high + max(0, reach)
    return low, high + values["bytes"]


def row_count(values: dict[str, int]) -> int:
    """Rows of the instruction."""
    return values["count1"] * values.get("count2", 1) * values.get("count3", 1)


def chunks_of(values: dict[str, int]) -> NDArray[np.int64]:
    """All chunk addresses of the instruction, shape (rows, columns)."""
    rows = np.arange(row_count(values))[:, None]
    columns = np.arange(-(-values["bytes"] // CHUNK))
    return chunk_addresses(values["layout"], values["l1"] // CHUNK, values["pitch"], rows, columns)


def random_values(rng: np.random.Generator, opcode: Opcode, config: ChipConfig) -> dict[str, int]:
    """Fields of an instruction that stays inside memory and L1; any alignment, layout and dimensions.

    LOAD gets negative and zero strides, short and absent rows; STORE's rows may overlap in memory.
    """
    while True:
        values = _draw(rng, opcode)
        low, high = span(values)
        if high - low >= MEMORY_BYTES:
            continue
        values["mem"] = int(rng.integers(-low, MEMORY_BYTES - high + 1))
        if rng.random() < 0.3:
            values["mem"] = max(-low, values["mem"] & -64)
        values["l1"] = 0
        if int(chunks_of(values).max()) + 3 > config.l1_bytes // CHUNK:
            continue
        return values | {"l1": _anywhere(rng, values, config.l1_bytes)}


def _anywhere(rng: np.random.Generator, values: dict[str, int], l1_bytes: int) -> int:
    """An L1 address at which the instruction's rows fit."""
    return CHUNK * int(rng.integers(l1_bytes // CHUNK - 2 - int(chunks_of(values | {"l1": 0}).max())))


def place_in_l1(rng: np.random.Generator, values: dict[str, int], l1_bytes: int) -> dict[str, int]:
    """The same instruction with a pitch that keeps its rows apart, and a place in L1."""
    rows, columns = row_count(values), -(-values["bytes"] // CHUNK)
    values = values | {"pitch": (-(-rows // 2) if values["layout"] else columns) + int(rng.integers(3))}
    return values | {"l1": _anywhere(rng, values, l1_bytes)}


def _draw(rng: np.random.Generator, opcode: Opcode) -> dict[str, int]:
    counts = [int(rng.integers(1, limit)) for limit in ((130, 2, 2), (12, 6, 3), (4, 4, 4), (2, 2, 2))[rng.integers(4)]]
    if rng.random() < 0.5:
        length = int(rng.integers(1, 131))
    else:
        length = int(rng.choice(np.array([32, 64, 96, 128, 1024, rng.integers(1, 5000)])))
    while np.prod(counts) * length > 8000:
        counts[int(np.argmax(counts))] = -(-max(counts) // 2)
    columns = -(-length // CHUNK)
    rows = int(np.prod(counts))
    layout = int(rng.integers(2))
    pitch = -(-rows // 2) + int(rng.integers(3)) if layout else columns + int(rng.integers(3))
    values = {f"count{d}": count for d, count in enumerate(counts, 1)} | {"bytes": length, "layout": layout}
    values["pitch"] = pitch
    tight = rng.choice([length, -(-length // 64) * 64, length + int(rng.integers(100))])
    reach = 1
    for d, count in enumerate(counts, 1):
        stride = int(tight) * reach
        if opcode == Opcode.LOAD:
            stride = int(rng.choice(np.array([stride, stride, -stride, 0, int(rng.integers(-300, 300))])))
        elif rng.random() < 0.2:
            stride = int(rng.integers(-100, 100))
        values[f"stride{d}"] = stride
        reach *= count
    if opcode == Opcode.LOAD:
        values["valid_bytes"] = int(rng.choice(np.array([1 << 16, length, rng.integers(0, length + 1)])))
        values["valid1"] = int(rng.choice(np.array([(1 << 16) - 1, counts[0], rng.integers(0, counts[0] + 1)])))
        values["fill"] = int(rng.integers(1 << 32))
    return values
