"""COPY packets on the golden chip: any size and alignment, windows, the end of memory, and the aperture."""

import numpy as np
import pytest

import gemel
from gemel import DeviceFault, Window
from gemel_golden.aperture import Space, l1_address
from gemel_golden.config import config
from gemel_golden.copier import copy
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode
from gemel_golden.packets import PacketType, decode_packet, encode_packet
from gemel_golden.windows import OPEN, PAGE, Windows

MEMORY = 1 << 16


def test_a_packet_holds_what_it_was_given() -> None:
    values = {"source": 1, "target": (1 << 64) - 1, "bytes": (1 << 48) - 1}
    assert decode_packet(encode_packet(PacketType.COPY, **values)) == (PacketType.COPY, values)
    with pytest.raises(ValueError, match="COPY: bytes"):
        encode_packet(PacketType.COPY, bytes=1 << 48)


def test_random_copies(rng: np.random.Generator) -> None:
    space = Space(rng.integers(0, 256, MEMORY, np.uint8))
    expected = space.bytes.copy()
    for _ in range(300):
        size = int(rng.integers([1, 200, MEMORY // 2][int(rng.integers(3))]))
        source, target = (int(half + rng.integers(MEMORY // 2 - size)) for half in rng.permutation([0, MEMORY // 2]))
        copy(space, OPEN, source, target, size)
        expected[target : target + size] = expected[source : source + size]
    np.testing.assert_array_equal(space.bytes, expected)


@pytest.mark.parametrize(
    ("source", "target", "size", "code", "address"),
    [
        (MEMORY, 0, 1, FaultCode.MEMORY_READ, MEMORY),
        (MEMORY + 100, 0, 1, FaultCode.MEMORY_READ, MEMORY + 64),
        (MEMORY - 10, 0, 11, FaultCode.MEMORY_READ, MEMORY),
        (0, MEMORY - 10, 11, FaultCode.MEMORY_WRITE, MEMORY),
        (0, 1 << 50, 11, FaultCode.MEMORY_WRITE, 1 << 50),
        (MEMORY + 64, MEMORY, 11, FaultCode.MEMORY_READ, MEMORY + 64),
    ],
)
def test_the_end_of_memory(source: int, target: int, size: int, code: FaultCode, address: int) -> None:
    space = Space(np.zeros(MEMORY, np.uint8))
    with pytest.raises(Fault) as caught:
        copy(space, OPEN, source, target, size)
    assert (caught.value.code, caught.value.address) == (code, address)
    copy(space, OPEN, source, target, 0)


@pytest.mark.parametrize(
    ("source", "target", "size", "address"),
    [
        (0, 4 * PAGE, 2 * PAGE, None),  # across two windows that touch
        (0, 4 * PAGE, 2 * PAGE + 1, 2 * PAGE),
        (2 * PAGE + 70, 4 * PAGE, 1, 2 * PAGE + 64),
        (4 * PAGE, 0, 100, 4 * PAGE),  # may be written, not read
        (0, 100, 100, 64),  # may be read, not written
        (PAGE, 5 * PAGE + 1, PAGE, 6 * PAGE),
    ],
)
def test_windows(source: int, target: int, size: int, address: int | None, rng: np.random.Generator) -> None:
    windows = Windows(
        (
            Window(base=PAGE, limit=2 * PAGE, read=True),
            Window(base=4 * PAGE, limit=6 * PAGE, write=True),
            Window(base=0, limit=PAGE, read=True),
        ),
        enforced=True,
    )
    space = Space(rng.integers(0, 256, MEMORY, np.uint8))
    before = space.bytes.copy()
    if address is None:
        copy(space, windows, source, target, size)
        np.testing.assert_array_equal(space.bytes[target : target + size], before[source : source + size])
        return
    with pytest.raises(Fault) as caught:
        copy(space, windows, source, target, size)
    assert (caught.value.code, caught.value.address) == (FaultCode.PROTECTION, address)
    np.testing.assert_array_equal(space.bytes, before)


def test_a_protected_streams_copies_stay_in_its_windows() -> None:
    with gemel.open("nano", "golden", memory_bytes=1 << 20) as device:
        own, other = device.alloc(2 * PAGE, align=PAGE), device.upload(np.ones(PAGE, np.uint8), align=PAGE)
        stream = device.stream(windows=[Window(base=int(own), limit=int(own) + 2 * PAGE, read=True, write=True)])
        stream.copy(int(own) + PAGE, own, PAGE).wait()
        for target, source in ((own, other), (other, own)):
            with pytest.raises(DeviceFault, match=f"PROTECTION in COMMAND .*address {int(other):#x}"):
                stream.copy(target, source, PAGE).wait()
        assert other.read().all() and not own.read().any()
        assert stream.copy(own, int(own) + PAGE, PAGE).wait().counters == {}


def test_copies_reach_scratchpads_through_the_aperture(rng: np.random.Generator) -> None:
    chip = config("nano").override(cores=2)
    with gemel.open(chip, "golden", memory_bytes=1 << 20) as device:
        data = rng.integers(0, 256, 5000, np.uint8)
        source, target, stream = device.upload(data), device.alloc(data.size), device.stream()
        stream.copy(l1_address(chip, 1, 333), source, data.size)
        stream.copy(l1_address(chip, 0, 64), l1_address(chip, 1, 333), data.size)
        stream.copy(target, l1_address(chip, 0, 64), data.size)
        stream.synchronize()
        np.testing.assert_array_equal(target.read(), data)
        end = l1_address(chip, 1, chip.l1_bytes - 1)
        with pytest.raises(DeviceFault, match=f"MEMORY_WRITE in COMMAND .*address {end + 1:#x}"):
            stream.copy(end, source, 2).wait()


def test_a_copy_longer_than_a_packet_can_say_is_refused() -> None:
    with gemel.open("nano", "golden", memory_bytes=1 << 20) as device:
        with pytest.raises(ValueError, match="COPY: bytes"):
            device.stream().copy(1 << 50, 0, 1 << 48)
        device.stream().copy(4096, 8192, 64).wait()
