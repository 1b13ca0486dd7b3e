"""The crossbar judged by cocotbext-axi: its managers' bytes reach its memories, and come back, at any alignment."""

import numpy as np
import pytest

from gemel_golden.config import config
from gemel_rtl.noc.crossbar import Initiator
from gemel_verif.axi_ports import CrossbarPorts
from gemel_verif.runner import simulate

CHIP = config("nano").override(channels=4)
MEMORY = 1 << 16
WINDOW = MEMORY // 3 // 4096 * 4096


@pytest.mark.parametrize("stall", [0.0, 0.3])
def test_bytes_at_any_alignment(rng: np.random.Generator, stall: float) -> None:
    """Steps of up to 9000 bytes: they cross granules and pages."""
    expected = np.zeros(MEMORY, np.uint8)
    steps, reads = [], []
    for number in range(3):
        steps.append([])
        reads.append([])
        for _ in range(12):
            address = number * WINDOW + int(rng.integers(WINDOW - 1))
            size = min(int(rng.choice([1, 7, 64, 500, 9000])), (number + 1) * WINDOW - address)
            if rng.random() < 0.5:
                data = rng.integers(0, 256, size, dtype=np.uint8)
                expected[address : address + size] = data
                steps[-1].append(("write", address, data.tobytes()))
            else:
                steps[-1].append(("read", address, size))
                reads[-1].append(expected[address : address + size].tobytes())
    inputs = {"channels": CHIP.channels, "bytes": MEMORY, "steps": steps, "stall": stall}
    ports = CrossbarPorts(CHIP, [Initiator(depth=64)] * 3)
    out = simulate(ports, "gemel_crossbar_ports", "tb_crossbar_ports", inputs | {"seed": int(rng.integers(1 << 32))})
    assert out["got"] == reads
    assert out["memory"] == expected.tobytes()
