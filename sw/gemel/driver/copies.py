"""Copies from memory to memory, as programs: pieces pass through L1, one loaded while another is stored."""

from __future__ import annotations

from functools import lru_cache

from gemel.driver.program import Program, reg
from gemel_golden.config import ChipConfig

PIECE = 1 << 14
"""Bytes of a piece; it has two places in L1."""


@lru_cache(maxsize=64)
def copy_program(config: ChipConfig, nbytes: int) -> Program:
    """Copies `nbytes` bytes from the address in register 1 to that in register 2. Raises ValueError for none."""
    if nbytes < 1:
        raise ValueError(f"can't copy {nbytes} bytes")
    piece = min(PIECE, config.l1_bytes // 4)
    p = Program()
    loaded, free = (0, 1), (2, 3)
    p.nop(signal={free[0]: 1, free[1]: 1})

    def move(place: int, offset: int, size: int) -> None:
        shape = {"l1": place * piece, "bytes": size}
        p.load(
            mem=reg(1) + offset, valid_bytes=size, valid1=1, wait={free[place]: 1}, signal={loaded[place]: 1}, **shape
        )
        p.store(mem=reg(2) + offset, wait={loaded[place]: 1}, signal={free[place]: 1}, **shape)

    pairs, rest = divmod(nbytes, 2 * piece)
    if pairs:
        with p.loop(pairs):
            move(0, 0, piece)
            move(1, piece, piece)
            for register in (1, 2):
                p.set(rd=register, rs1=register, imm=2 * piece)
    for place in (0, 1):
        size = min(piece, rest - place * piece)
        if size > 0:
            move(place, place * piece, size)
    p.halt()
    return p
