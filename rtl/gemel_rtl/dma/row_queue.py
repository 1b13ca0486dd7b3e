"""Rows that wait for their data."""

from amaranth.hdl import Cat, Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import DEPTH, ROW
from gemel_rtl.noc.queue import Queue

__all__ = ["RowQueue"]

OWN = ("present", "fault", "first", "last", "beside", "block_last")
"""What differs from row to row, beside its address."""


class RowQueue(wiring.Component):
    """A queue of rows that keeps once what all rows of an instruction have in common.

    Of `address` only the lowest six bits come out, unless `whole`.

    Parameters: depth (rows), whole.
    Members: `i`, `o` (streams of rows).
    """

    def __init__(self, depth: int, *, whole: bool = False):
        self.depth = depth
        self.address_bits = 64 if whole else 6
        super().__init__({"i": In(stream.Signature(ROW)), "o": Out(stream.Signature(ROW))})

    def elaborate(self, platform) -> Module:
        m = Module()
        line = data.StructLayout({name: ROW[name].shape for name in OWN} | {"address": self.address_bits})
        shared = [name for name in ROW.members if name not in (*OWN, "address")]
        m.submodules.lines = lines = Queue(line, self.depth)
        m.submodules.jobs = jobs = Queue(data.StructLayout({name: ROW[name].shape for name in shared}), DEPTH)
        given, found = self.i.payload, self.o.payload
        m.d.comb += [
            *(lines.i.payload[name].eq(given[name]) for name in OWN),
            lines.i.payload.address.eq(given.address),
            *(Cat(jobs.i.payload[name]).eq(Cat(given[name])) for name in shared),
            self.i.ready.eq(lines.i.ready & (~given.first | jobs.i.ready)),
            lines.i.valid.eq(self.i.valid & self.i.ready),
            jobs.i.valid.eq(self.i.valid & self.i.ready & given.first),
            *(found[name].eq(lines.o.payload[name]) for name in OWN),
            found.address.eq(lines.o.payload.address),
            *(Cat(found[name]).eq(Cat(jobs.o.payload[name])) for name in shared),
            self.o.valid.eq(lines.o.valid & jobs.o.valid),
            lines.o.ready.eq(self.o.ready & jobs.o.valid),
            jobs.o.ready.eq(self.o.ready & lines.o.valid & found.last),
        ]
        with m.If(lines.o.payload.beside):
            m.d.comb += found.length.eq(jobs.o.payload.beside_length)
        return m
