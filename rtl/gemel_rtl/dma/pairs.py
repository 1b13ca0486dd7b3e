"""L1 addresses of a row's chunks, two at a time."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_golden.isa import Layout
from gemel_rtl.dma.layouts import PLACE

__all__ = ["PairWalker"]

WORD_BITS = 28
"""An address register's 26 bits of words, and room for what is added before a fault stops the walk."""


class PairWalker(wiring.Component):
    """Walks the chunk pairs (k, k + 1), k even, of an instruction's rows; see `gemel_golden.l1.chunk_addresses`.

    Outputs are of the current pair, in the same cycle; `step` goes on to the next one. Chunk k is in half `half` of
    word `words[0]`, chunk k + 1 in the other half of `words[1]`. `outside`: it must not be accessed, and `address` is
    the byte address to report. Nothing wraps as long as the walk ends at the first pair outside, or goes on only
    over rows that aren't accessed: once a row begins outside, so do all that follow.

    Parameters: config.
    Members: inputs `place` (of the instruction), `first` (the row is its first), `step`;
    outputs `words`, `half`, `both` (chunk k + 1 exists), `ends_row`, `misaligned`, `outside`, `address`.
    """

    def __init__(self, config: ChipConfig):
        self.l1_bits = ceil_log2(config.l1_words)
        super().__init__(
            {
                "place": In(PLACE),
                "first": In(1),
                "step": In(1),
                "words": Out(WORD_BITS).array(2),
                "half": Out(1),
                "both": Out(1),
                "ends_row": Out(1),
                "misaligned": Out(1),
                "outside": Out(1),
                "address": Out(WORD_BITS + 6),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        place = self.place
        tile, fresh = Signal(), Signal(init=1)
        kept_row, kept_pair = Signal(WORD_BITS, reset_less=True), Signal(WORD_BITS, reset_less=True)
        kept_half, kept_odd = Signal(reset_less=True), Signal(reset_less=True)
        kept_left = Signal(11, reset_less=True)
        row, odd = Signal(WORD_BITS), Signal()
        chunks, left = Signal(12), Signal(11)
        pair, other = self.words
        m.d.comb += [
            tile.eq(place.layout == Layout.TILE),
            row.eq(Mux(self.first, place.l1[6:], kept_row)),
            self.half.eq(Mux(self.first, place.l1[5], kept_half)),
            odd.eq(kept_odd & ~self.first),
            chunks.eq((place.bytes + 31) >> 5),
            left.eq(Mux(fresh, (chunks + 1) >> 1, kept_left)),
            self.ends_row.eq(left == 1),
            self.both.eq(~self.ends_row | ~chunks[0]),
            pair.eq(Mux(fresh, row, kept_pair)),
            other.eq(pair + Mux(tile, place.pitch, self.half)),
        ]
        first_outside, second_outside, beyond = Signal(), Signal(), Signal()
        m.d.comb += [
            self.misaligned.eq(place.l1[:5].any()),
            first_outside.eq(pair[self.l1_bits :].any() | (beyond & ~self.first)),
            second_outside.eq(self.both & other[self.l1_bits :].any()),
            self.outside.eq(self.misaligned | first_outside | second_outside),
            self.address.eq(Cat(place.l1[:5], self.half, pair)),
        ]
        with m.If(~first_outside & ~self.misaligned):
            m.d.comb += self.address.eq(Cat(place.l1[:5], ~self.half, other))
        with m.If(self.step):
            with m.If(fresh):
                m.d.sync += beyond.eq(first_outside)
            m.d.sync += [
                fresh.eq(self.ends_row),
                kept_left.eq(left - 1),
                kept_pair.eq(pair + Mux(tile, place.pitch << 1, 1)),
                kept_row.eq(row),
                kept_half.eq(self.half),
                kept_odd.eq(odd),
            ]
            with m.If(self.ends_row & tile):
                m.d.sync += [kept_row.eq(row + odd), kept_half.eq(~self.half), kept_odd.eq(~odd)]
            with m.Elif(self.ends_row):
                m.d.sync += Cat(kept_half, kept_row).eq(Cat(self.half, row) + place.pitch)
        return m
