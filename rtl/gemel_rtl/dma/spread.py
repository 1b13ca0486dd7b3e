"""Shifts a row's words to its place in memory's beats."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD
from gemel_rtl.dma.layouts import ROW, STROBED, WORDS
from gemel_rtl.interfaces import AXI_DATA_BITS

__all__ = ["RowSpreader"]


class RowSpreader(wiring.Component):
    """Gives the beats of each row with its strobes, one a cycle: exactly as many as the row touches in memory.

    A row that isn't present has none.

    Members: `rows` (of at least one byte), `words` (each row's, from its start), `o` (beats).
    """

    def __init__(self):
        super().__init__(
            {
                "rows": In(stream.Signature(ROW)),
                "words": In(stream.Signature(WORDS)),
                "o": Out(stream.Signature(STROBED)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        row, word = self.rows.payload, self.words.payload
        fresh = Signal(init=1)
        kept_beats, kept_words = Signal(11, reset_less=True), Signal(11, reset_less=True)
        end, beats, words = Signal(18), Signal(11), Signal(11)
        consume, fire, advance, final = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            end.eq(row.address[:6] + row.length + 63),
            beats.eq(Mux(fresh, end[6:], kept_beats)),
            words.eq(Mux(fresh, (row.length + 63) >> 6, kept_words)),
            consume.eq(row.present & (words != 0)),
            final.eq(~row.present | (beats == 1)),
            fire.eq(self.rows.valid & (~consume | self.words.valid) & advance),
            self.words.ready.eq(self.rows.valid & consume & advance),
            self.rows.ready.eq(fire & final),
        ]
        full, fault = Signal(), Signal(reset_less=True)
        previous = Signal(AXI_DATA_BITS, reset_less=True)
        current = Signal(AXI_DATA_BITS, reset_less=True)
        down, strobes = Signal(7, reset_less=True), Signal(WORD, reset_less=True)
        ones = C((1 << WORD) - 1, WORD)
        head, tail = Signal(WORD), Signal(WORD)
        m.d.comb += [
            head.eq(Mux(fresh, ones << row.address[:6], ones)),
            tail.eq(Mux(final, ones >> ~end[:6], ones)),
        ]
        with m.If(advance):
            m.d.sync += full.eq(fire & row.present)
        with m.If(fire):
            m.d.sync += [
                fresh.eq(final),
                kept_beats.eq(beats - 1),
                kept_words.eq(words - consume),
                previous.eq(current),
                down.eq(64 - row.address[:6]),
                strobes.eq(head & tail),
                fault.eq(consume & word.fault),
            ]
            with m.If(consume):
                m.d.sync += current.eq(word.data)
        m.d.comb += [
            advance.eq(~full | self.o.ready),
            self.o.valid.eq(full),
            self.o.payload.strb.eq(strobes),
            self.o.payload.fault.eq(fault),
        ]
        with m.If(full):
            m.d.comb += self.o.payload.data.eq(Cat(previous, current) >> Cat(C(0, 3), down))
        return m
