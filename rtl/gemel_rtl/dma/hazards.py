"""Keeps a row of memory from being read while an earlier sum for it is on its way."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.layouts import ROW
from gemel_rtl.noc.queue import Queue

__all__ = ["Hazards"]

PLACES = 15
"""Bits of a row's place in the table."""


class Hazards(wiring.Component):
    """Passes rows on in the same cycle; of those to be accumulated, one at a time that has the same place.

    A place is bits 6 to 20 of the row's address, XOR bits 21 to 35: rows of a dense table of 2^15 rows, their size a
    power of two from 64 bytes up, have different ones. Rows with other places are taken to have no byte in common;
    those of an instruction whose rows overlap (`serial`) go one at a time. `free`: the sum for the oldest row is in
    memory. Twice the bursts that may be under way are kept, since a row is read and then written. With `abort` no row
    passes, and places are freed one a cycle.

    Parameters: config.
    Members: `i`, `o` (streams), `free`, `abort`, `idle` (no place is taken).
    """

    def __init__(self, config: ChipConfig):
        self.depth = 2 * config.outstanding
        super().__init__(
            {
                "i": In(stream.Signature(ROW)),
                "o": Out(stream.Signature(ROW)),
                "free": In(1),
                "abort": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.oldest = oldest = Queue(PLACES, self.depth)
        # A place is taken where its two bits differ: each of them has one writer.
        takes, frees = (Memory(shape=1, depth=1 << PLACES, init=[]) for _ in range(2))
        m.submodules.takes, m.submodules.frees = takes, frees
        taken, freed = (memory.read_port(domain="comb") for memory in (takes, frees))
        taken_then = takes.read_port(domain="comb")
        take, free = takes.write_port(), frees.write_port()
        row = self.i.payload
        place, counts, clear = Signal(PLACES), Signal(), Signal()
        m.d.comb += [
            place.eq(row.address[6 : 6 + PLACES] ^ row.address[6 + PLACES : 6 + 2 * PLACES]),
            counts.eq(row.accumulate & row.present),
            taken.addr.eq(place),
            freed.addr.eq(place),
            clear.eq(~counts | (oldest.i.ready & Mux(row.serial, ~oldest.o.valid, taken.data == freed.data))),
            *(Cat(self.o.payload[name]).eq(Cat(row[name])) for name in ROW.members),
            self.o.valid.eq(self.i.valid & clear & ~self.abort),
            self.i.ready.eq(self.o.ready & clear & ~self.abort),
            oldest.i.valid.eq(self.o.valid & self.o.ready & counts),
            oldest.i.payload.eq(place),
            take.addr.eq(place),
            take.data.eq(~freed.data),
            take.en.eq(oldest.i.valid),
            oldest.o.ready.eq(self.free | self.abort),
            taken_then.addr.eq(oldest.o.payload),
            free.addr.eq(oldest.o.payload),
            free.data.eq(taken_then.data),
            free.en.eq(oldest.o.valid & oldest.o.ready),
            self.idle.eq(~oldest.o.valid),
        ]
        return m
