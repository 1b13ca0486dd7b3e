"""Address generation: from a row, a column and a layout to the L1 words of up to four chunks."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.vector_isa import LANES
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.tensor.formats import has_bits
from gemel_rtl.vector.layouts import HALF, WORD_BITS, Access, Place

__all__ = ["Placer"]

CHUNKS = 4


class Placer(wiring.Component):
    """`gemel_golden.vector_memory`'s addresses. One access per cycle.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Parameters: config.

    Members
    -------
    valid, i : In(1), In(Access)
    o_valid, o : Out(1), Out(Place)
    """

    latency = 2

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({"valid": In(1), "i": In(Access), "o_valid": Out(1), "o": Out(Place)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)
        i = self.i

        # 1: bytes from the row's beginning, and the product of the pitch.
        is_32, is_16, is_4 = (has_bits(i.fmt, bits) for bits in (32, 16, 4))
        vectors = Mux(is_32, i.column << 7, Mux(is_16, i.column << 6, Mux(is_4, i.column << 4, i.column << 5)))
        elements = Mux(is_32, i.column << 2, Mux(is_16, i.column << 1, i.column))
        start = Signal(23)
        needed = Signal(CHUNKS)
        quarters = Cat(i.mask.word_select(q, LANES // 4).any() for q in range(4))
        halves = Cat(i.mask[:HALF].any(), i.mask[HALF:].any())
        m.d.comb += [
            start.eq(Mux(i.element, elements, vectors)),
            needed.eq(Mux(i.element | ~(is_32 | is_16), i.mask.any(), Mux(is_32, quarters, halves))),
        ]
        column = start[5:]
        product = Signal(34)
        m.d.comb += product.eq(Mux(i.tile, column, i.row) * i.pitch)
        pipe.next()
        product = pipe.register(product, name="product")
        needed = pipe.register(needed, name="needed")
        offset = pipe.register(start[:5], name="offset")
        base = pipe.register(i.base, name="base")
        pitch = pipe.register(i.pitch, name="pitch")
        row = pipe.register(i.row, name="row")
        column = pipe.register(column, name="column")
        tile = pipe.register(i.tile, name="tile")

        # 2: the words of four chunks in a row.
        words = [Signal(WORD_BITS, name=f"word{k}") for k in range(CHUNKS)]
        outside, address = Signal(), Signal(64)
        parity = Signal()
        first = Signal(WORD_BITS)
        chunks = Signal(WORD_BITS)
        with m.If(pipe.valid):
            m.d.comb += [
                first.eq(base[6:] + product + (row >> 1)),
                chunks.eq(base[5:] + product + column),
                parity.eq(Mux(tile, base[5] ^ row[0] ^ column[0], chunks[0])),
            ]
            for k, word in enumerate(words):
                m.d.comb += word.eq(Mux(tile, first + k * pitch, (chunks + k) >> 1))
            for k, word in reversed(list(enumerate(words))):
                with m.If(needed[k] & (word >= self.config.l1_words)):
                    m.d.comb += [outside.eq(1), address.eq(Cat(Const(0, 5), parity ^ (k & 1), word))]
            with m.If(needed.any() & base[:5].any()):
                m.d.comb += [outside.eq(1), address.eq(base)]
        pipe.next()
        m.d.comb += [
            self.o_valid.eq(pipe.valid),
            self.o.parity.eq(pipe.register(parity, name="parity")),
            self.o.needed.eq(pipe.register(needed, name="needed")),
            self.o.offset.eq(pipe.register(offset, name="offset")),
            self.o.outside.eq(pipe.register(outside, name="outside")),
            self.o.address.eq(pipe.register(address, name="address")),
        ]
        m.d.comb += [self.o.words[k].eq(pipe.register(word, name=f"word{k}")) for k, word in enumerate(words)]
        return m
