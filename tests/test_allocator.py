"""The allocator of device memory: no overlap, alignment, merging, and sentences when there is no room."""

from itertools import pairwise

import numpy as np
import pytest

from gemel.driver.memory import Allocator, OutOfDeviceMemory


def test_ranges_never_overlap(rng: np.random.Generator) -> None:
    memory = Allocator(4096 + 64, 1 << 20)
    live: dict[int, int] = {}
    for _ in range(2000):
        if live and rng.random() < 0.45:
            address = int(rng.choice(list(live)))
            memory.free(address)
            del live[address]
            continue
        size, align = int(rng.integers(0, 20000)), 1 << int(rng.integers(0, 13))
        try:
            address = memory.alloc(size, align)
        except OutOfDeviceMemory:
            continue
        assert address % max(align, 64) == 0
        assert address >= 4096 + 64
        assert address + size <= 1 << 20
        live[address] = max(size, 1)
    ranges = sorted((address, address + size) for address, size in live.items())
    assert all(stop <= start for (_, stop), (start, _) in pairwise(ranges))
    for address in live:
        memory.free(address)
    assert memory.free_bytes == memory.largest_hole == memory.capacity


def test_first_fit_reuses_the_lowest_hole() -> None:
    memory = Allocator(0, 4096)
    a, b, c = (memory.alloc(100) for _ in range(3))
    assert (a, b, c) == (0, 128, 256)
    memory.free(a)
    assert memory.alloc(129) == 384
    assert memory.alloc(128) == 0


def test_out_of_memory_says_the_numbers() -> None:
    memory = Allocator(0, 4096)
    memory.alloc(1024)
    hole = memory.alloc(1024)
    memory.alloc(1024)
    memory.free(hole)
    with pytest.raises(OutOfDeviceMemory) as caught:
        memory.alloc(1500, align=128)
    assert str(caught.value) == (
        "no room for 1,500 bytes aligned to 128: 2,048 of 4,096 bytes of device memory are free, 1,024 in one piece"
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda memory: memory.alloc(-1), "can't allocate -1 bytes"),
        (lambda memory: memory.alloc(8, align=48), "an alignment is a power of two, not 48"),
        (lambda memory: memory.free(64), "no allocation begins at 0x40"),
    ],
)
def test_nonsense_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(Allocator(0, 4096))
