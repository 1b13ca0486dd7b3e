"""Several AXI4 readers on one port that answers in order."""

from amaranth.hdl import C, Cat, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import axi_read
from gemel_rtl.noc.queue import Queue
from gemel_rtl.noc.slice import Slice

__all__ = ["ReadMerge"]

PER_READER = 4
"""Bursts under way of all readers but the one that has many, each."""


class ReadMerge(wiring.Component):
    """`n` readers share a port, the first of those that ask going first; for a reader of many bursts beside rare ones.

    An address goes on a cycle later, a beat in its own cycle. The port must answer bursts in the order of their
    addresses, as one of one ID does. A reader that doesn't take its beat holds up the others.

    Parameters: config, n, id_bits (of all ports; the ID on the bus is the reader's).
    Members: `i` (array of n readers), `o` (the bus).
    """

    def __init__(self, config: ChipConfig, n: int, *, id_bits: int = 2):
        self.n = n
        self.depth = config.outstanding + PER_READER * (n - 1)
        port = axi_read(config, id_bits)
        super().__init__({"i": In(port).array(n), "o": Out(port)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ar = ar = Slice(self.o.ar.payload.shape())
        m.submodules.owners = owners = Queue(ceil_log2(self.n), self.depth)
        wiring.connect(m, ar.o, wiring.flipped(self.o.ar))
        m.d.comb += owners.i.valid.eq(ar.i.valid & ar.i.ready)
        for p, port in reversed(list(enumerate(self.i))):
            with m.If(port.ar.valid):
                m.d.comb += [
                    ar.i.valid.eq(owners.i.ready),
                    ar.i.payload.id.eq(port.ar.payload.id),
                    ar.i.payload.addr.eq(port.ar.payload.addr),
                    ar.i.payload.len.eq(port.ar.payload.len),
                    owners.i.payload.eq(p),
                ]
        for p, port in enumerate(self.i):
            earlier = Cat(other.ar.valid for other in list(self.i)[:p]).any() if p else C(0, 1)
            m.d.comb += port.ar.ready.eq(ar.i.ready & owners.i.ready & ~earlier)
        m.d.comb += owners.o.ready.eq(self.o.r.valid & self.o.r.ready & self.o.r.payload.last)
        for p, port in enumerate(self.i):
            mine = owners.o.valid & (owners.o.payload == p)
            m.d.comb += [
                port.r.valid.eq(self.o.r.valid & mine),
                port.r.payload.data.eq(self.o.r.payload.data),
                port.r.payload.resp.eq(self.o.r.payload.resp),
                port.r.payload.last.eq(self.o.r.payload.last),
            ]
            with m.If(mine):
                m.d.comb += self.o.r.ready.eq(port.r.ready)
        return m
