"""A chip whose memory is DRAM: exact products, counters that add up, errors corrected or reported; decode's figure."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel.bench.copy import run as run_copy
from gemel.bench.decode import run_decode
from gemel.bench.matmul import from_memory, product_of
from gemel.driver.faults import DeviceFault
from gemel.sim.library import SimulationError
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.memory.timing import dram

SIZES = {"memory": "hbm3", "channels": 4, "rows": 1, "cols": 4, "outstanding": 512, "fetch_depth": 64}
"""Nano with what decode needs at 64 bytes a clock: four channels, the columns and bursts under way of `inference`."""


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
    for opened, missed in zip(counters(device, "activates"), misses, strict=True):
        assert missed <= opened  # a row may be closed before its column command
    clocks, kind = device.backend.cycles, dram("hbm3")
    assert all(abs(count - clocks * kind.banks // kind.clocks.refi) <= kind.banks // 2 + 1 for count in refreshes)


def test_counters_of_launches_add_up(device: gemel.Device) -> None:
    """What the channels did in each launch is what they did since reset; bytes are those that LOAD and STORE moved."""
    size = dram("hbm3").access_bytes
    device.run(gemel.assemble("HALT"))
    before = device.counters(since_reset=True).memory
    launches = []
    for n in (32, 96):
        from_memory(device, product_of(32, n, 256, "bf16"))
        launches.append(device.counters())
        assert sum(channel["column_reads"] for channel in launches[-1].memory) * size >= launches[-1].work["load_bytes"]
        assert (
            sum(channel["column_writes"] for channel in launches[-1].memory) * size >= launches[-1].work["store_bytes"]
        )
        for channel in launches[-1].memory:
            assert channel["column_reads"] + channel["column_writes"] == channel["row_hits"] + channel["row_misses"]
    after = device.counters(since_reset=True).memory
    assert len(after) == device.config.channels
    for i, counts in enumerate(after):
        for name in ("column_reads", "column_writes", "activates", "row_conflicts"):
            assert counts[name] == before[i][name] + sum(launch.memory[i][name] for launch in launches)


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


def test_copies_correct_single_errors_and_report_double_ones(device: gemel.Device, rng: np.random.Generator) -> None:
    """Partial beats at both ends; the fault names the burst of 1 KB that has the error."""
    assert isinstance(device.backend, RtlBackend)
    data = rng.integers(0, 256, 20_000, np.uint8)
    source, target, stream = device.upload(data), device.alloc(data.size + 64), device.stream()
    before = sum(counters(device, "corrected"))
    for word in range(0, data.size, 512):
        device.backend.flip(source.address + word, data=1 << int(rng.integers(64)))
    stream.copy(target.address + 13, source).wait()
    np.testing.assert_array_equal(target.read(np.uint8, data.size, offset=13), data)
    assert sum(counters(device, "corrected")) >= before + 40
    broken = source.address + 10_000
    device.backend.flip(broken, data=1, check=1)
    with pytest.raises(DeviceFault) as caught:
        stream.copy(target.address + 13, source).wait()
    device.backend.flip(broken, data=1, check=1)
    fault = caught.value
    assert (fault.code, fault.unit, fault.address) == (FaultCode.ECC_MEMORY, Unit.COMMAND, broken & -1024)
    stream.copy(target.address + 14, source).wait()
    np.testing.assert_array_equal(target.read(np.uint8, data.size, offset=14), data)


def test_the_host_sees_what_was_answered(device: gemel.Device, rng: np.random.Generator) -> None:
    """Controllers answer before they write: a copy has ended, and DRAM lacks bytes until the host looks."""
    assert isinstance(device.backend, RtlBackend)
    chip = device.backend._chip
    data = rng.integers(0, 256, 8_192, np.uint8)
    source, target, stream = device.upload(data), device.upload(~data), device.stream()
    raw = chip.memory[target.address : target.address + data.size]
    before = device.read_register("chip", "copy_bytes_lo")
    copy = stream.copy(target, source)
    while device.read_register("chip", "copy_bytes_lo") == before:
        chip.run(1, until_interrupt=False)
    assert not np.array_equal(raw, data)
    np.testing.assert_array_equal(target.read(), data)
    copy.wait()


def test_the_host_waits_for_nothing_else(device: gemel.Device, rng: np.random.Generator) -> None:
    """The end of a launch is seen while another keeps the controllers full of writes."""
    data = rng.integers(0, 256, 400_000, np.uint8)
    long, target = device.upload(data), device.alloc(data.size)
    short, streams = device.alloc(4_096), [device.stream() for _ in range(2)]
    copies = [streams[0].copy(target, long) for _ in range(2)]
    quick = streams[1].copy(short, long)
    quick.wait()
    np.testing.assert_array_equal(short.read(), data[:4_096])
    assert copies[0].done and not copies[1].done
    streams[0].synchronize()
    np.testing.assert_array_equal(target.read(), data)


def test_a_copy_takes_what_the_memory_gives(device: gemel.Device) -> None:
    """Reads and writes of 400 KB on one bus, refresh on."""
    copy = run_copy(device, size=200_000, count=2)
    assert copy.exact and copy.cycles is not None and copy.bandwidth_utilisation is not None
    assert copy.bandwidth_utilisation == copy.bytes / (32 * copy.cycles)
    assert copy.bandwidth_utilisation >= 0.85, copy


def test_an_ideal_memory_has_no_flips() -> None:
    with gemel.open("nano", "rtl") as ideal:
        assert isinstance(ideal.backend, RtlBackend)
        with pytest.raises(SimulationError, match="an ideal memory has no check bits"):
            ideal.backend.flip(0, data=1)


def test_decode_takes_what_the_memory_gives(device: gemel.Device) -> None:
    """One row through a matrix of 1 MB, four channels of HBM3, refresh on: 64 B a clock at most."""
    decode = run_decode(device, product_of(1, 1024, 1024, "e4m3"))
    assert decode["exact"] and decode["bytes"] == 1025 * 1024 and decode["peak_bytes_per_cycle"] == 64
    assert decode["bandwidth_utilisation"] == decode["bytes"] / (64 * decode["cycles"])
    assert decode["bandwidth_utilisation"] >= 0.92, decode
