"""Finds the FP32 scale of each block of a row before its elements go on."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale
from gemel_rtl.dma.layouts import WORDS
from gemel_rtl.dma.recode_quotients import BLOCK, QUOTIENTS, Quotients
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.noc.queue import Queue
from gemel_rtl.numeric.widen import Widener
from gemel_rtl.tensor.formats import has_bits

__all__ = ["SCALED", "BlockScaler"]

SCALED = data.StructLayout({"word": WORDS, "scale": 32, "closes": 1})
"""A word, with the FP32 scale of its block, whose last word it is if `closes`."""

LANES = AXI_DATA_BITS // 32
FP32, E4M3 = FORMATS["fp32"].code, FORMATS["e4m3"].code
DIVIDERS = 4
"""Of 15 cycles each: four are enough for a block of four words, 128 elements of 16 bits, every four cycles."""
WORDS_HELD = 32
"""Words that wait for their blocks' scales: a block and the dividers' latency."""
BLOCKS_HELD = 8


class BlockScaler(wiring.Component):
    """Passes words on, those of rows under FP32 scales with the scale, and its reciprocal as `recoding.factor`.

    A word a cycle, where blocks have four words or more. A word of another kind waits until the others are gone and
    then passes in its cycle. A block ends with its row, and with a word that couldn't be read.

    Members: `i` (words), `o` (words with their scales).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(WORDS)), "o": Out(stream.Signature(SCALED))})

    def elaborate(self, platform) -> Module:
        m = Module()
        word, out = self.i.payload, self.o.payload
        m.submodules.words = words = Queue(data.StructLayout({"word": WORDS, "closes": 1}), WORDS_HELD)
        m.submodules.blocks = blocks = Queue(data.StructLayout({"block": BLOCK, "source": 4}), BLOCKS_HELD)
        m.submodules.found = found = Queue(QUOTIENTS, BLOCKS_HELD)
        scaled, take, wide, narrow, closes, used = (
            Signal(name=n) for n in ("scaled", "take", "wide", "narrow", "closes", "used")
        )
        position, under_way = Signal(3), Signal(range(BLOCKS_HELD + 1))
        head = words.o.payload
        m.d.comb += [
            scaled.eq(word.recode & (word.recoding.block_scale == BlockScale.FP32)),
            wide.eq(word.recoding.source == FP32),
            narrow.eq(has_bits(word.recoding.source, 8)),
            closes.eq(word.ends | word.fault | (position == Mux(wide, 7, Mux(narrow, 1, 3)))),
            take.eq(self.i.valid & scaled & words.i.ready & (under_way != BLOCKS_HELD)),
            words.i.valid.eq(take),
            words.i.payload.word.eq(word),
            words.i.payload.closes.eq(closes),
            found.o.ready.eq(used & head.closes),
            words.o.ready.eq(used),
        ]
        with m.If(take):
            m.d.sync += position.eq(Mux(closes, 0, position + 1))
        m.d.sync += under_way.eq(under_way + (take & closes) - found.o.ready)
        with m.If(words.o.valid):
            m.d.comb += [
                self.o.valid.eq(found.o.valid),
                used.eq(found.o.valid & self.o.ready),
                out.word.eq(head.word),
                out.word.recoding.factor.eq(found.o.payload.inverse),
                out.scale.eq(found.o.payload.scale),
                out.closes.eq(head.closes),
            ]
        with m.Else():
            m.d.comb += [self.o.valid.eq(self.i.valid & ~scaled), out.word.eq(word), out.closes.eq(1)]
        m.d.comb += self.i.ready.eq(Mux(scaled, take, self.o.ready & ~words.o.valid))
        self._largest(m, word, take, wide, narrow, closes, blocks)
        self._divide(m, blocks, found)
        return m

    def _largest(self, m: Module, word, take: Value, wide: Value, narrow: Value, closes: Value, blocks: Queue) -> None:
        """Send each block's largest magnitude to `blocks`: of narrower formats their bits, at the upper end."""
        lanes = []
        for lane in range(LANES):
            data, magnitude = Signal(32, name=f"data{lane}"), Signal(31, name=f"magnitude{lane}")
            halves, quarters = (
                Signal(width, name=f"{name}{lane}") for name, width in (("halves", 15), ("quarters", 7))
            )
            there = Cat((word.size > 4 * lane + byte).replicate(8) for byte in range(4))
            parts = [data.word_select(byte, 8)[:7] for byte in range(4)]
            with m.If(take):
                m.d.comb += [
                    data.eq(word.data.word_select(lane, 32) & there),
                    halves.eq(_larger(data[:15], data[16:31])),
                    quarters.eq(_larger(_larger(parts[0], parts[1]), _larger(parts[2], parts[3]))),
                    magnitude.eq(Mux(wide, data[:31], Mux(narrow, Cat(C(0, 24), quarters), Cat(C(0, 16), halves)))),
                ]
            lanes.append(magnitude)
        while len(lanes) > 1:
            following = []
            for a, b in zip(lanes[::2], lanes[1::2], strict=True):
                larger = Signal(31, name=f"larger{len(lanes)}_{len(following)}")
                m.d.comb += larger.eq(_larger(a, b))
                following.append(larger)
            lanes = following
        taken, ended, largest = Signal(), Signal(reset_less=True), Signal(31, reset_less=True)
        kept, block = Signal(31), blocks.i.payload
        source, e4m3, running = Signal(4, reset_less=True), Signal(reset_less=True), Signal(31)
        m.d.sync += taken.eq(take)
        with m.If(take):
            m.d.sync += [
                largest.eq(lanes[0]),
                ended.eq(closes),
                source.eq(word.recoding.source),
                e4m3.eq(word.recoding.target == E4M3),
            ]
        m.d.comb += [
            running.eq(_larger(largest, kept)),
            blocks.i.valid.eq(taken & ended),
            block.block.amax.eq(running),
            block.block.e4m3.eq(e4m3),
            block.source.eq(source),
        ]
        with m.If(taken):
            m.d.sync += kept.eq(Mux(ended, 0, running))

    def _divide(self, m: Module, blocks: Queue, found: Queue) -> None:
        """Let the dividers have the blocks in turn."""
        m.submodules.widen = widen = Widener()
        given, amax = blocks.o.payload, Signal(31)
        narrow = has_bits(given.source, 8)
        m.d.comb += [
            widen.enable.eq(blocks.o.valid & (given.source != FP32)),
            widen.i.eq(Mux(narrow, given.block.amax[24:], given.block.amax[16:])),
            widen.fmt.eq(given.source),
            amax.eq(Mux(given.source == FP32, given.block.amax, widen.o[:31])),
        ]
        giving, taking = Signal(range(DIVIDERS)), Signal(range(DIVIDERS))
        for number in range(DIVIDERS):
            m.submodules[f"divider{number}"] = divider = Quotients()
            m.d.comb += [divider.i.payload.amax.eq(amax), divider.i.payload.e4m3.eq(given.block.e4m3)]
            with m.If(giving == number):
                m.d.comb += [divider.i.valid.eq(blocks.o.valid), blocks.o.ready.eq(divider.i.ready)]
            with m.If(taking == number):
                m.d.comb += [
                    divider.o.ready.eq(found.i.ready),
                    found.i.valid.eq(divider.o.valid),
                    found.i.payload.eq(divider.o.payload),
                ]
        with m.If(blocks.o.valid & blocks.o.ready):
            m.d.sync += giving.eq(giving + 1)
        with m.If(found.i.valid & found.i.ready):
            m.d.sync += taking.eq(taking + 1)


def _larger(a: Value, b: Value) -> Value:
    return Mux(a > b, a, b)
