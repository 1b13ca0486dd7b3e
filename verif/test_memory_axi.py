"""A memory channel between cocotbext-axi's manager and the DRAM in Python: bytes, responses, rules, check bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import config
from gemel_golden.memory.address_map import AddressMap
from gemel_rtl.memory.standalone import Standalone
from gemel_verif.runner import simulate

MEMORY = 1 << 20  # the background scrub reads places of row 0 of every bank
SPAN = 1 << 14


@pytest.mark.parametrize(("kind", "stall"), [("hbm3", 0.0), ("hbm3", 0.3), ("hbm2", 0.0)])
def test_bytes_at_any_alignment(rng: np.random.Generator, kind: str, stall: float) -> None:
    """Three streams, each in its window, with bursts that touch and cross pages; single errors everywhere."""
    memory = rng.integers(0, 256, MEMORY, dtype=np.uint8)
    expected, window = memory.copy(), SPAN // 3 // 64 * 64
    streams: list[list[tuple[str, int, bytes | int]]] = [[] for _ in range(3)]
    reads: list[list[bytes]] = [[] for _ in range(3)]
    for number in range(3):
        for _ in range(14):
            address = number * window + int(rng.integers(window - 1))
            size = min(int(rng.choice([1, 7, 64, 500, 3000])), (number + 1) * window - address)
            if rng.random() < 0.6:
                data = rng.integers(0, 256, size, dtype=np.uint8)
                expected[address : address + size] = data
                streams[number].append(("write", address, data.tobytes()))
            else:
                streams[number].append(("read", address, size))
                reads[number].append(expected[address : address + size].tobytes())
    flips = {
        word: (1 << int(rng.integers(64)), 0) if rng.random() < 0.9 else (0, 1 << int(rng.integers(8)))
        for word in range(0, SPAN, 8)
        if rng.random() < 0.2
    }
    inputs = {"kind": kind, "memory": memory, "streams": streams, "stall": stall, "flips": flips}
    top = Standalone(config("nano"), AddressMap(memory=kind))
    out = simulate(top, f"gemel_memory_{kind}", "tb_memory_channel", inputs | {"seed": int(rng.integers(1 << 32))})
    assert out["broken"] == []
    assert [[data for data, _ in stream] for stream in out["got"]] == reads
    assert not any(resp for stream in out["got"] for _, resp in stream)
    assert not any(resp for stream in out["answers"] for resp in stream)
    assert_array_equal(out["memory"], expected)
    assert len(out["flips"]) < len(flips)


def test_double_errors_and_the_end_of_memory(rng: np.random.Generator) -> None:
    """SLVERR for what can't be corrected, DECERR beyond the memory, and all else as ever."""
    memory = rng.integers(0, 256, MEMORY, dtype=np.uint8)
    outside = AddressMap(memory="hbm3").bytes
    stream = [
        ("read", 0, 64),
        ("read", 64, 64),
        ("write", 200, b"gemel"),
        ("write", 256, bytes(128)),
        ("read", 192, 256),
        ("read", outside, 64),
        ("write", outside + 4096, bytes(4096)),
        ("read", 512, 128),
    ]
    flips = {8: (3, 0), 200: (0, 3), 264: (1 << 63, 1)}
    inputs = {"kind": "hbm3", "memory": memory, "streams": [stream], "stall": 0.0, "flips": flips, "seed": 0}
    top = Standalone(config("nano"), AddressMap(memory="hbm3"))
    out = simulate(top, "gemel_memory_hbm3", "tb_memory_channel", inputs)
    assert out["broken"] == []
    assert [resp for _, resp in out["got"][0]] == [2, 0, 2, 3, 0]
    assert out["answers"] == [[2, 0, 3]]
    assert out["flips"] == {8: (3, 0), 200: (0, 3)}
    expected = memory.copy()
    expected[256:384] = 0
    assert_array_equal(out["memory"], expected)
