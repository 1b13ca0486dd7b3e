"""Gives the rows of L1 that blocks of memory's rows become."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import ROW
from gemel_rtl.noc.queue import Queue

__all__ = ["Columns"]

BLOCKS = 4
"""Blocks that wait while the columns of one go on."""


class Columns(wiring.Component):
    """Passes rows on; the first row of a block that is `turn` as its columns, one a cycle, the others not at all.

    Members: `i`, `o` (streams of rows).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(ROW)), "o": Out(stream.Signature(ROW))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.queue = queue = Queue(ROW, BLOCKS)
        given, row = self.i.payload, self.o.payload
        head = queue.o.payload
        dropped, column, columns, ends = Signal(), Signal(7), Signal(7), Signal()
        m.d.comb += [
            dropped.eq(given.turn & ~given.block_first),
            queue.i.valid.eq(self.i.valid & ~dropped),
            queue.i.payload.eq(given),
            self.i.ready.eq(queue.i.ready | dropped),
            *(Cat(row[name]).eq(Cat(head[name])) for name in ROW.members),
            columns.eq(head.length >> head.element),
            ends.eq(~head.turn | (column + 1 == columns)),
            self.o.valid.eq(queue.o.valid),
            queue.o.ready.eq(self.o.ready & ends),
        ]
        with m.If(head.turn):
            m.d.comb += [
                row.first.eq(head.first & (column == 0)),
                row.last.eq(head.block_final & ends),
                row.length.eq(head.place.bytes),
                row.beside.eq(0),
            ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += column.eq(column + 1)
            with m.If(ends):
                m.d.sync += column.eq(0)
        return m
