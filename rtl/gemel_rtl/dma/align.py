"""Shifts the beats of a row in memory to words that begin with the row."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import BEAT, ROW, TURNED
from gemel_rtl.interfaces import AXI_DATA_BITS

__all__ = ["RowAligner"]


class RowAligner(wiring.Component):
    """Gives the words of the rows that are present, 64 bytes from each row's first byte on; one a cycle.

    What lies beyond a row's last byte is anything. A row whose first byte isn't at the start of a beat costs at most
    one cycle more than it has words. An error comes as the word that needs it, or sooner.

    Members: `rows`, `beats`, `o` (streams).
    """

    def __init__(self):
        super().__init__(
            {
                "rows": In(stream.Signature(ROW)),
                "beats": In(stream.Signature(BEAT)),
                "o": Out(stream.Signature(TURNED)),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        row, beat = self.rows.payload, self.beats.payload
        fresh, primed = Signal(init=1), Signal()
        kept_beats, kept_words = Signal(11, reset_less=True), Signal(11, reset_less=True)
        beats, words, end = Signal(11), Signal(11), Signal(18)
        consume, prime, fire, advance, ends = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            end.eq(row.address[:6] + row.length + 63),
            beats.eq(Mux(fresh, end[6:], kept_beats)),
            words.eq(Mux(fresh, (row.length + 63) >> 6, kept_words)),
            consume.eq(row.present & (beats != 0)),
            prime.eq(row.present & fresh & (row.address[:6] != 0) & (beats > 1)),
            fire.eq(self.rows.valid & (~consume | self.beats.valid) & advance),
            self.beats.ready.eq(self.rows.valid & consume & advance),
            ends.eq(~prime & (~row.present | (words == 1))),
            self.rows.ready.eq(fire & ends),
        ]
        full, late = Signal(), Signal()
        previous = Signal(AXI_DATA_BITS, reset_less=True)
        current = Signal(AXI_DATA_BITS, reset_less=True)
        shift = Signal(6, reset_less=True)
        found = self.o.payload
        m.d.comb += advance.eq(~full | self.o.ready)
        with m.If(advance):
            m.d.sync += full.eq(fire & row.present & (~prime | beat.error))
        with m.If(fire):
            m.d.sync += [
                fresh.eq(ends),
                primed.eq(prime | (primed & ~ends)),
                kept_beats.eq(beats - consume),
                kept_words.eq(words - ~prime),
                previous.eq(current),
                late.eq(primed & ~fresh),
                shift.eq(row.address[:6]),
                found.beat.error.eq(consume & beat.error),
                found.beat.address.eq(beat.address),
                found.turn.eq(row.turn),
                found.element.eq(row.element),
                found.columns.eq(row.length >> row.element),
                found.last.eq(row.block_last),
            ]
            with m.If(consume):
                m.d.sync += current.eq(beat.data)
        m.d.comb += self.o.valid.eq(full)
        with m.If(full):
            m.d.comb += found.beat.data.eq(Cat(Mux(late, previous, current), current) >> Cat(C(0, 3), shift))
        return m
