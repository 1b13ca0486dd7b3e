"""SECDED (72,64) in hardware: check bits of words, and their correction."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.secded import CHECK_BITS, COLUMNS, DATA_BITS, ROWS

__all__ = ["SecdedDecoder", "check_bits"]


def check_bits(data: Value) -> Value:
    """The check bits of each 64-bit word of `data`, eight a word: `gemel_golden.memory.secded.encode`."""
    if len(data) % DATA_BITS:
        raise ValueError(f"check bits are made of whole 64-bit words, not of {len(data)} bits")
    words = [data[at : at + DATA_BITS] for at in range(0, len(data), DATA_BITS)]
    return Cat((word & row).xor() for word in words for row in ROWS)


class SecdedDecoder(wiring.Component):
    """Corrects words by their check bits, combinationally: `gemel_golden.memory.secded.decode`.

    Parameters: words (64 bits each).
    Members: `data`, `check` (eight bits a word); `fixed`: the data corrected; `corrected`, `uncorrectable`: a bit a
    word.
    """

    def __init__(self, words: int):
        self.words = words
        super().__init__(
            {
                "data": In(DATA_BITS * words),
                "check": In(CHECK_BITS * words),
                "fixed": Out(DATA_BITS * words),
                "corrected": Out(words),
                "uncorrectable": Out(words),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        difference = Signal(CHECK_BITS * self.words)
        m.d.comb += [difference.eq(check_bits(self.data) ^ self.check), self.fixed.eq(self.data)]
        with m.If(difference.any()):
            for i in range(self.words):
                syndrome = difference.word_select(i, CHECK_BITS)
                word, fixed = (value.word_select(i, DATA_BITS) for value in (self.data, self.fixed))
                flips = Signal(DATA_BITS, name=f"flips{i}")
                m.d.comb += [
                    flips.eq(Cat(syndrome == column for column in COLUMNS)),
                    fixed.eq(word ^ flips),
                    self.corrected[i].eq(flips.any() | Cat(syndrome == 1 << bit for bit in range(CHECK_BITS)).any()),
                    self.uncorrectable[i].eq(syndrome.any() & ~self.corrected[i]),
                ]
        return m
