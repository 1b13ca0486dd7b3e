"""Block scales at an operand's edge, read beside its square."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK, WORD

__all__ = ["Scales"]

SLOTS = 4
"""More than the squares that are read and filled at once: what is read isn't overwritten, however early a square is
released."""
SIDE = 32


class Scales(wiring.Component):
    """Holds two words of scales for each of four squares; gives 32 bits for each of `lanes` neighbouring rows at once.

    Scales of a byte: byte r of each of the four chunks, for row r. FP32: element r of the 32. With one scale for all
    rows it is byte 0 of each chunk, or element 0 of chunk `half`. A write shows in the next cycle; reads are
    combinational.

    Parameters: lanes, a power of two up to 32.

    Members
    -------
    write_en, write_slot, second, i : In, write a slot's first or second word
    read_en, slot, group, fp32, one, half : In, read rows lanes * group and up
    o : Out(lanes x 32 bits), zero when not `read_en`
    """

    def __init__(self, lanes: int):
        self.lanes = lanes
        super().__init__(
            {
                "write_en": In(1),
                "write_slot": In(2),
                "second": In(1),
                "i": In(8 * WORD),
                "read_en": In(1),
                "slot": In(2),
                "group": In(ceil_log2(SIDE // lanes)),
                "fp32": In(1),
                "one": In(1),
                "half": In(1),
                "o": Out(data.ArrayLayout(32, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = []
        for number in range(2):
            m.submodules[f"words{number}"] = slots = memory.Memory(shape=8 * WORD, depth=SLOTS, init=[])
            read, write = slots.read_port(domain="comb"), slots.write_port()
            m.d.comb += [
                read.addr.eq(self.slot),
                write.addr.eq(self.write_slot),
                write.data.eq(self.i),
                write.en.eq(self.write_en & (self.second == number)),
            ]
            words.append(read.data)
        chunks = [word.word_select(half, 8 * CHUNK) for word in words for half in range(2)]
        both = Cat(words)
        with m.If(self.read_en):
            with m.If(self.one):
                same = Signal(32)
                number = Mux(self.half, chunks[1][:32], chunks[0][:32])
                m.d.comb += same.eq(Mux(self.fp32, number, Cat(chunk[:8] for chunk in chunks)))
                m.d.comb += [self.o[lane].eq(same) for lane in range(self.lanes)]
            with m.Else(), m.Switch(self.group):
                for group in range(SIDE // self.lanes):
                    with m.Case(group):
                        for lane in range(self.lanes):
                            row = group * self.lanes + lane
                            of_bytes = Cat(chunk.word_select(row, 8) for chunk in chunks)
                            m.d.comb += self.o[lane].eq(Mux(self.fp32, both.word_select(row, 32), of_bytes))
        return m
