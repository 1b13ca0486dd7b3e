"""Turns blocks of rows into rows of their columns."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD
from gemel_rtl.dma.layouts import BEAT, TURNED
from gemel_rtl.interfaces import AXI_DATA_BITS

__all__ = ["Transposer"]

SQUARES = 2
SIZES = (1, 2, 4)
"""Bytes of an element, by `element`."""


class Transposer(wiring.Component):
    """Passes words on, those of a block that is `turn` as the words of its columns: word c has element c of each row.

    A block has up to 64 bytes' worth of rows, a word each. One of two squares is filled while the other is emptied: a
    word a cycle. An error of any of a block's words ends it and comes before its columns. A word of another kind waits
    until the squares are empty and then passes in its cycle.

    Members: `i` (words with their place in a block), `o` (words).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(TURNED)), "o": Out(stream.Signature(BEAT))})

    def elaborate(self, platform) -> Module:
        m = Module()
        word, out = self.i.payload, self.o.payload
        filling, emptying, row = Signal(), Signal(), Signal(range(WORD))
        full = [Signal(name=f"full{s}") for s in range(SQUARES)]
        element = [Signal(2, name=f"element{s}", reset_less=True) for s in range(SQUARES)]
        left = [Signal(7, name=f"left{s}", reset_less=True) for s in range(SQUARES)]
        error = [Signal(name=f"error{s}") for s in range(SQUARES)]
        address = [Signal.like(word.beat.address, name=f"address{s}", reset_less=True) for s in range(SQUARES)]
        cells = [
            [Signal(AXI_DATA_BITS, name=f"row{s}_{r}", reset_less=True) for r in range(WORD)] for s in range(SQUARES)
        ]
        plain, take, ends = Signal(), Signal(), Signal()
        m.d.comb += [
            plain.eq(self.i.valid & ~word.turn & ~Cat(full).any()),
            ends.eq(word.last | word.beat.error),
            take.eq(self.i.valid & word.turn & ~Mux(filling, full[1], full[0])),
            self.i.ready.eq(Mux(word.turn, take, plain & self.o.ready)),
        ]
        with m.If(take):
            m.d.sync += row.eq(Mux(ends, 0, row + 1))
            with m.If(ends):
                m.d.sync += filling.eq(~filling)
        with m.If(plain):
            m.d.comb += [self.o.valid.eq(1), out.eq(word.beat)]
        for s in range(SQUARES):
            with m.If(take & (filling == s)):
                with m.Switch(row):
                    for r in range(WORD):
                        with m.Case(r):
                            m.d.sync += cells[s][r].eq(word.beat.data)
                with m.If(word.beat.error & ~error[s]):
                    m.d.sync += [error[s].eq(1), address[s].eq(word.beat.address)]
                with m.If(ends):
                    m.d.sync += [full[s].eq(1), element[s].eq(word.element), left[s].eq(word.columns)]
            with m.If(full[s] & (emptying == s)):
                m.d.comb += [self.o.valid.eq(1), out.error.eq(error[s]), out.address.eq(address[s])]
                with m.Switch(element[s]):
                    for e, size in enumerate(SIZES):
                        with m.Case(e):
                            m.d.comb += out.data.eq(Cat(cells[s][r][: 8 * size] for r in range(WORD // size)))
                with m.If(self.o.ready):
                    m.d.sync += left[s].eq(left[s] - 1)
                    with m.If(left[s] == 1):
                        m.d.sync += [full[s].eq(0), emptying.eq(~emptying)]
                    with m.Switch(element[s]):
                        for e, size in enumerate(SIZES):
                            with m.Case(e):
                                rows = cells[s][: WORD // size]
                                m.d.sync += [cell.eq(cell >> 8 * size) for cell in rows]
        return m
