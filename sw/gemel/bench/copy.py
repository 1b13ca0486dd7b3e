"""The copy engine by itself: copies from memory to memory, as a share of the memory's bandwidth."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gemel.driver.device import Device
from gemel_golden.config import WORD

__all__ = ["CopyFigures", "run"]


@dataclass(frozen=True, kw_only=True)
class CopyFigures:
    """What the benchmark tells; `cycles` and what follows from them are ``None`` on a chip without a clock.

    `bytes`: moved in one direction; `bandwidth_utilisation`: their share of what the engine's port, or the memory,
    moves that way; DRAM's reads and writes share its bus, so that a copy takes it twice.
    """

    cycles: int | None
    bytes: int
    copies: int
    bandwidth_utilisation: float | None
    exact: bool

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return asdict(self)


def run(
    device: Device,
    *,
    size: int,
    total: int = 4 << 20,
    count: int | None = None,
    source_offset: int = 0,
    target_offset: int = 0,
    seed: int = 0,
) -> CopyFigures:
    """Queue `count` copies of `size` bytes, or copies of about `total` bytes, in one stream, and check every byte.

    Both ends begin so many bytes after a beat. Cycles are those between an event before and one after all of them.
    Raises ValueError for a size or a count below 1.
    """
    if size < 1:
        raise ValueError(f"a copy has at least 1 byte here, not {size}")
    if count is not None and count < 1:
        raise ValueError(f"there is at least 1 copy here, not {count}")
    count = max(1, total // size) if count is None else count
    data = np.random.default_rng(seed).integers(0, 256, count * size, np.uint8)
    source, target = (device.alloc(offset + data.size + WORD) for offset in (source_offset, target_offset))
    source.write(data, offset=source_offset)
    expected = np.full(target.size, 0xA5, np.uint8)
    target.write(expected)
    expected[target_offset : target_offset + data.size] = data
    stream = device.stream()
    begin = stream.record()
    for place in range(0, data.size, size):
        stream.copy(target.address + target_offset + place, source.address + source_offset + place, size)
    end = stream.record()
    stream.synchronize()
    cycles = begin.elapsed(end) or None
    return CopyFigures(
        cycles=cycles,
        bytes=data.size,
        copies=count,
        bandwidth_utilisation=data.size / (cycles * _rate(device)) if cycles else None,
        exact=np.array_equal(target.read(), expected),
    )


def _rate(device: Device) -> float:
    """Bytes that could be copied in a cycle."""
    return min(device.bandwidth / (2 if device.config.drams else 1), WORD)
