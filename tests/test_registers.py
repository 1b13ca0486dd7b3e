"""The register table: blocks that don't meet, and addresses that lead back to their registers."""

import pytest

from gemel_golden.registers import ADDRESS_BITS, BLOCKS, CORE, RING, find


def test_every_register_is_found_at_its_address() -> None:
    taken: set[int] = set()
    for block in BLOCKS.values():
        assert len(block.registers) == len(block.table), "two registers of a block share a name"
        for index in range(block.limit):
            for register in block.table:
                address = block.address(register.name, index)
                assert register.offset < block.stride and address % 4 == 0 and address < 1 << ADDRESS_BITS
                assert find(address) == (block, index, register)
                taken.add(address)
    assert len(taken) == sum(block.limit * len(block.table) for block in BLOCKS.values())


def test_nothing_is_found_where_nothing_is() -> None:
    assert find(0x1FF0) is None and find(RING.base - 4) is None and find(0xFFFC) is None


def test_errors_name_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"a ring has no register 'speed'; there are control, status, base_lo, .*"):
        RING.address("speed")
    with pytest.raises(ValueError, match=r"core 32 lies outside 0\.\.31"):
        CORE.address("busy", 32)
