"""The DMA's benchmark checks every byte: on the golden chip, which has no clock."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.bench.dma import OPERATIONS, run


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("nano", "golden", memory_bytes=16 << 20) as opened:
        yield opened


@pytest.mark.parametrize("op", sorted(OPERATIONS))
def test_every_operation_is_exact(device: gemel.Device, op: str) -> None:
    found = run(device, op, row_bytes=256, total=1 << 16)
    assert found.exact
    assert (found.bytes, found.rows, found.cycles) == (1 << 16, 256, None)


def test_a_wrong_byte_is_found(device: gemel.Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the chip had converted one element otherwise."""
    emit, expect = OPERATIONS["fp8"]

    def other(moves):
        table, l1 = expect(moves)
        table = np.array(table)
        table[7, 100] ^= 1
        return table, l1

    monkeypatch.setitem(OPERATIONS, "fp8", (emit, other))
    assert not run(device, "fp8", row_bytes=256, total=1 << 16).exact


def test_errors_name_limits(device: gemel.Device) -> None:
    with pytest.raises(ValueError, match="no DMA operation 'copy'"):
        run(device, "copy", row_bytes=256)
    with pytest.raises(ValueError, match="multiple of 32 bytes up to 65536, not 48"):
        run(device, "mx", row_bytes=48)
