"""Main memory's tables: clocks, the address map as a permutation, the error-correcting code over all positions."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.memory import secded
from gemel_golden.memory.address_map import GRANULE, AddressMap, Place
from gemel_golden.memory.timing import MEMORIES, dram

MAPS = [
    AddressMap(memory=memory, channels=channels, hashed=hashed)
    for memory in MEMORIES
    for channels in (1, 2, 4, 64)
    for hashed in (True, False)
]
IDS = [f"{m.memory}-{m.channels}-{'hashed' if m.hashed else 'plain'}" for m in MAPS]


def test_clocks_are_times_rounded_up() -> None:
    hbm3, hbm2 = dram("hbm3").clocks, dram("hbm2").clocks
    assert (hbm3.burst, hbm3.cl, hbm3.cwl, hbm3.rcd_read, hbm3.rcd_write) == (2, 20, 10, 32, 16)
    assert (hbm3.rp, hbm3.ras, hbm3.rc, hbm3.faw, hbm3.rfc, hbm3.rfc_pb, hbm3.refi) == (26, 45, 72, 24, 560, 320, 6240)
    assert (hbm3.ccd_s, hbm3.ccd_l, hbm3.rrd_s, hbm3.rrd_l, hbm3.wtr_s, hbm3.wtr_l) == (2, 4, 4, 5, 8, 10)
    assert (hbm2.rc, hbm2.rcd_read, hbm2.refi, hbm2.rfc_pb) == (48, 14, 3900, 128)


def test_rates_and_sizes() -> None:
    assert [(d.bytes_per_clock, d.banks, d.columns, d.channel_bytes >> 20) for d in MEMORIES.values()] == [
        (32, 16, 32, 1024),
        (16, 16, 32, 512),
    ]


def test_an_unknown_memory_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="no memory 'ddr5'; there are hbm2, hbm3"):
        dram("ddr5")
    with pytest.raises(ValueError, match="channels must be a power of two from 1 to 64, not 3"):
        AddressMap(channels=3)


@pytest.mark.parametrize("mapping", MAPS, ids=IDS)
def test_inverse_undoes_forward(rng: np.random.Generator, mapping: AddressMap) -> None:
    step = np.uint64(mapping.dram.access_bytes)
    address = rng.integers(0, mapping.bytes, 20_000, dtype=np.uint64) // step * step
    assert_array_equal(mapping.inverse(mapping.forward(address)), address)


@pytest.mark.parametrize("mapping", MAPS, ids=IDS)
def test_forward_undoes_inverse(rng: np.random.Generator, mapping: AddressMap) -> None:
    place = Place(*(rng.integers(0, 1 << len(mapping.bits[name]), 20_000, dtype=np.uint64) for name in Place._fields))
    address = mapping.inverse(place)
    assert address.max() < mapping.bytes
    for got, given in zip(mapping.forward(address), place, strict=True):
        assert_array_equal(got, given)


@pytest.mark.parametrize("mapping", MAPS, ids=IDS)
def test_map_is_a_bijection_for_any_address(mapping: AddressMap) -> None:
    """The map is linear over GF(2), so it is one iff its matrix has full rank; its bits are all address bits."""
    rows = [mask for masks in mapping.masks.values() for mask in masks]
    width = mapping.bytes.bit_length() - mapping.dram.access_bytes.bit_length()
    assert len(rows) == width
    rank = 0
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    assert rank == width


@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("channels", [1, 4])
def test_power_of_two_strides_visit_all_banks(memory: str, channels: int) -> None:
    """From one bank's span on, a granule at each stride lies in a bank of its own until all banks had one."""
    mapping = AddressMap(memory=memory, channels=channels)
    banks = mapping.dram.banks * channels
    for stride in (4096 * channels << i for i in range(8)):
        place = mapping.forward(np.arange(banks, dtype=np.uint64) * np.uint64(stride))
        assert len(set(zip(*(v.tolist() for v in place[:3]), strict=True))) == banks, stride
    for stride in (1024, 2048):
        place = mapping.forward(np.arange(banks, dtype=np.uint64) * np.uint64(stride))
        assert len(set(zip(*(v.tolist() for v in place[:3]), strict=True))) >= banks // 2, stride


def test_a_granule_is_of_one_row_and_neighbours_of_other_groups() -> None:
    mapping = AddressMap(memory="hbm3", channels=4)
    place = mapping.forward(np.arange(0, 16 * GRANULE, 32))
    by_granule = [np.stack(place[:4]).reshape(4, -1, 4)[:, :, i] for i in range(4)]
    for part in by_granule[1:]:
        assert_array_equal(part, by_granule[0])
    assert_array_equal(place.group[::4].reshape(4, 4), np.tile(np.arange(4), (4, 1)))
    assert_array_equal(mapping.channel(np.arange(4) * 512), np.arange(4))


def test_code_has_distinct_odd_columns_and_even_rows() -> None:
    columns = [*secded.COLUMNS, *(1 << bit for bit in range(8))]
    assert len(set(columns)) == 72
    assert all(column.bit_count() % 2 for column in columns)
    assert {row.bit_count() for row in secded.ROWS} == {26}


def test_every_single_error_is_corrected_and_every_double_one_found(rng: np.random.Generator) -> None:
    """All 72 positions and all 2,556 pairs of them, each in a random word."""
    positions = [(i,) for i in range(72)] + list(combinations(range(72), 2))
    data = rng.integers(0, 1 << 64, len(positions), dtype=np.uint64)
    check = secded.encode(data)
    assert not any(flag.any() for flag in secded.decode(data, check)[1:])
    flips = [sum(1 << bit for bit in where) for where in positions]
    wrong_data = data ^ np.array([flip & (1 << 64) - 1 for flip in flips], np.uint64)
    wrong_check = check ^ np.array([flip >> 64 for flip in flips], np.uint8)
    got = secded.decode(wrong_data, wrong_check)
    single = np.array([len(where) == 1 for where in positions])
    assert_array_equal(got.corrected, single)
    assert_array_equal(got.uncorrectable, ~single)
    assert_array_equal(got.data, np.where(single, data, wrong_data))


def test_check_bits_are_linear(rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 1 << 64, (2, 100), dtype=np.uint64)
    assert_array_equal(secded.encode(a ^ b), secded.encode(a) ^ secded.encode(b))
    assert secded.encode(0) == 0
