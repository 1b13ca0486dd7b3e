"""A square of 32 chunks at an operand's edge, read by rows or by columns."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK

__all__ = ["Square"]

SIDE = 32


class Square(wiring.Component):
    """Holds 32 chunks; gives the 32-byte blocks of `lanes` neighbouring rows of the operand at once.

    Row i's block is chunk i; transposed it is byte i of each chunk, or, with 16-bit elements (`wide`), element i % 16
    of each of chunks 16 * (i / 16) and up.  A write shows in the next cycle; reads are combinational.

    Parameters: lanes, a power of two up to 32.

    Members
    -------
    write_en, pair, chunks : In, write chunks 2 * pair and 2 * pair + 1
    read_en, group, transposed, wide : In, read rows lanes * group and up
    o : Out(lanes x 256 bits), zero when not `read_en`
    """

    def __init__(self, lanes: int):
        if lanes < 1 or lanes > SIDE or lanes & (lanes - 1):
            raise ValueError(f"a square's lanes must be a power of two up to {SIDE}, not {lanes}")
        self.lanes = lanes
        super().__init__(
            {
                "write_en": In(1),
                "pair": In(4),
                "chunks": In(data.ArrayLayout(8 * CHUNK, 2)),
                "read_en": In(1),
                "group": In(ceil_log2(SIDE // lanes)),
                "transposed": In(1),
                "wide": In(1),
                "o": Out(data.ArrayLayout(8 * CHUNK, lanes)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chunks = [Signal(8 * CHUNK, name=f"chunk{i}", reset_less=True) for i in range(SIDE)]
        with m.If(self.write_en), m.Switch(self.pair):
            for pair in range(SIDE // 2):
                with m.Case(pair):
                    m.d.sync += [chunks[2 * pair].eq(self.chunks[0]), chunks[2 * pair + 1].eq(self.chunks[1])]

        groups = range(SIDE // self.lanes)
        with m.If(self.read_en):
            with m.If(~self.transposed), m.Switch(self.group):
                for group in groups:
                    with m.Case(group):
                        m.d.comb += [self.o[lane].eq(chunks[group * self.lanes + lane]) for lane in range(self.lanes)]
            with m.Elif(~self.wide), m.Switch(self.group):
                for group in groups:
                    with m.Case(group):
                        for lane in range(self.lanes):
                            row = group * self.lanes + lane
                            m.d.comb += self.o[lane].eq(Cat(chunk.word_select(row, 8) for chunk in chunks))
            with m.Else(), m.Switch(self.group):
                for group in groups:
                    with m.Case(group):
                        for lane in range(self.lanes):
                            row = group * self.lanes + lane
                            half = chunks[16 * (row // 16) :][:16]
                            m.d.comb += self.o[lane].eq(Cat(chunk.word_select(row % 16, 16) for chunk in half))
        return m
