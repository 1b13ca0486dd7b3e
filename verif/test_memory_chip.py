"""A chip whose memory is DRAM: exact products, counters that add up, errors corrected or reported; decode's figure."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.bench.matmul import from_memory, product_of
from gemel.driver.faults import DeviceFault
from gemel.sim.library import SimulationError
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.memory.timing import dram

SIZES = {"memory": "hbm3", "channels": 2}


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("nano", "rtl", overrides=SIZES) as opened:
        yield opened


def counters(device: gemel.Device, name: str) -> list[int]:
    return [device.read_register("channel", name, channel) for channel in range(device.config.channels)]


@pytest.mark.parametrize(("m", "n", "k"), [(33, 40, 70), (1, 128, 256), (64, 64, 128)])
@pytest.mark.parametrize("dtype", ["e4m3", "bf16"])
def test_products_are_exact(device: gemel.Device, m: int, n: int, k: int, dtype: str) -> None:
    assert from_memory(device, product_of(m, n, k, dtype)).exact


def test_counters_add_up_to_the_traffic(device: gemel.Device) -> None:
    """Every column command moves one access; every channel works, and is refreshed in time."""
    from_memory(device, product_of(32, 64, 256, "bf16"))
    assert isinstance(device.backend, RtlBackend)
    hits, misses, refreshes = (counters(device, name) for name in ("row_hits", "row_misses", "refreshes"))
    assert sum(hits) + sum(misses) == sum(device.backend.traffic) // dram("hbm3").access_bytes
    assert min(misses) > 0 and min(hits) > min(misses)
    clocks, kind = device.backend.cycles, dram("hbm3")
    assert all(abs(count - clocks * kind.banks // kind.clocks.refi) <= kind.banks // 2 + 1 for count in refreshes)


def test_single_errors_are_corrected_and_double_ones_reported(device: gemel.Device, rng: np.random.Generator) -> None:
    assert isinstance(device.backend, RtlBackend)
    a = gemel.tensor(device, rng.normal(size=(32, 64)), "bf16")
    b = gemel.tensor(device, rng.normal(size=(64, 32)), "bf16")
    clean = gemel.matmul(a, b).codes()
    before = sum(counters(device, "corrected"))
    for word in range(0, 32 * 64 * 2, 64):
        device.backend.flip(a.address + word, data=1 << int(rng.integers(64)))
    np.testing.assert_array_equal(gemel.matmul(a, b).codes(), clean)
    assert sum(counters(device, "corrected")) >= before + 64
    assert sum(counters(device, "uncorrectable")) == 0
    device.backend.flip(b.address + 72, data=1, check=1)
    with pytest.raises(DeviceFault, match="LOAD"):
        gemel.matmul(a, b)
    assert sum(counters(device, "uncorrectable")) > 0
    b.write_codes(b.codes())  # the host writes bytes, not check bits: the place stays broken
    device.backend.flip(b.address + 72, data=1, check=1)
    np.testing.assert_array_equal(gemel.matmul(a, b).codes(), clean)


def test_an_ideal_memory_has_no_flips() -> None:
    with gemel.open("nano", "rtl") as ideal:
        assert isinstance(ideal.backend, RtlBackend)
        with pytest.raises(SimulationError, match="an ideal memory has no check bits"):
            ideal.backend.flip(0, data=1)


def test_decode_takes_nine_tenths_of_the_peak() -> None:
    """One row through a matrix, four channels of HBM3, refresh on: 64 B a clock. A row of dot units is enough for one
    row of A, so the array has two rows here, which halve the time that the simulator takes to build.
    """
    with gemel.open("inference-hbm3", "rtl", overrides={"rows": 2}, profile="fast-build") as device:
        peak = device.config.channels * dram("hbm3").bytes_per_clock
        decode = from_memory(device, product_of(1, 1024, 2048, "e4m3"), bandwidth=peak)
        product = from_memory(device, product_of(64, 64, 256, "e4m3"), bandwidth=peak)
    assert decode.exact and product.exact
    assert decode.bandwidth_utilisation is not None and decode.bandwidth_utilisation >= 0.90, decode
