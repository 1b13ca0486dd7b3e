"""Copies from memory to memory, as programs: pieces pass through L1, one loaded while another is stored."""

from __future__ import annotations

from functools import lru_cache

from gemel.driver.program import Program, reg
from gemel_golden.config import ChipConfig

PIECE, PLACES = 1 << 14, 4
"""Bytes of a piece, and places for pieces in L1: enough that latencies hide behind the pieces between."""


@lru_cache(maxsize=64)
def copy_program(config: ChipConfig, nbytes: int) -> Program:
    """Copies `nbytes` bytes from the address in register 1 to that in register 2. Raises ValueError for none."""
    if nbytes < 1:
        raise ValueError(f"can't copy {nbytes} bytes")
    piece = min(PIECE, config.l1_bytes // (2 * PLACES))
    p = Program()
    loaded, free = range(PLACES), range(PLACES, 2 * PLACES)
    for place in range(0, PLACES, 2):
        p.nop(signal={free[place]: 1, free[place + 1]: 1})

    def move(place: int, size: int) -> None:
        shape = {"l1": place * piece, "bytes": size}
        source, target = reg(1) + place * piece, reg(2) + place * piece
        p.load(mem=source, valid_bytes=size, valid1=1, wait={free[place]: 1}, signal={loaded[place]: 1}, **shape)
        p.store(mem=target, wait={loaded[place]: 1}, signal={free[place]: 1}, **shape)

    rounds, rest = divmod(nbytes, PLACES * piece)
    if rounds:
        with p.loop(rounds):
            for place in range(PLACES):
                move(place, piece)
            for register in (1, 2):
                p.set(rd=register, rs1=register, imm=PLACES * piece)
    for place in range(PLACES):
        size = min(piece, rest - place * piece)
        if size > 0:
            move(place, size)
    p.halt()
    return p
