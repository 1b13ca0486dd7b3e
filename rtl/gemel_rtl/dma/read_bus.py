"""Sends read bursts and gives their beats in order."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.layouts import BEAT, BURST
from gemel_rtl.interfaces import axi_read
from gemel_rtl.noc.queue import Queue

__all__ = ["FEW", "ReadBus"]

FEW = 8
"""Bursts under way below which the bus has little to do."""

EXPECTED = data.StructLayout({"address": 58, "outside": 1})


class ReadBus(wiring.Component):
    """The AXI4 side of LOAD: up to `config.outstanding` bursts under way, one address and one beat a cycle.

    A burst outside of the memory's addresses isn't sent; a beat with `error` stands in its place. With `abort` no
    burst is taken, and what is under way is read and dropped.

    Parameters: config, id_bits, bus_id (the constant ID).
    Members: `i` (bursts), `o` (beats), `bus` (AXI4), `abort`, `idle` (nothing under way), `few`
    (bursts under way).
    """

    def __init__(self, config: ChipConfig, id_bits: int, bus_id: int):
        self.depth = config.outstanding
        self.bus_id = bus_id
        self.address_bits = config.mem_address_bits - 6
        super().__init__(
            {
                "i": In(stream.Signature(BURST)),
                "o": Out(stream.Signature(BEAT)),
                "bus": Out(axi_read(config, id_bits)),
                "abort": In(1),
                "idle": Out(1),
                "few": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        expected = Queue(EXPECTED, self.depth)
        m.submodules.expected = ResetInserter(self.abort)(expected)
        burst, head = self.i.payload, expected.o.payload
        ar, r = self.bus.ar, self.bus.r

        free, sent, ended = Signal(), Signal(), Signal()
        under_way = Signal(range(self.depth + 1))
        m.d.comb += [
            free.eq(~ar.valid | ar.ready),
            expected.i.payload.address.eq(burst.address),
            expected.i.payload.outside.eq(burst.outside),
            expected.i.valid.eq(self.i.valid & free & ~self.abort),
            self.i.ready.eq(expected.i.ready & free & ~self.abort),
            sent.eq(self.i.valid & self.i.ready & ~burst.outside),
            ended.eq(r.valid & r.ready & r.payload.last),
            ar.payload.id.eq(self.bus_id),
            self.idle.eq(under_way == 0),
            self.few.eq(under_way < FEW),
        ]
        m.d.sync += under_way.eq(under_way + sent - ended)
        with m.If(free):
            m.d.sync += ar.valid.eq(sent)
        with m.If(sent):
            m.d.sync += [ar.payload.addr.eq(burst.address[: self.address_bits] << 6), ar.payload.len.eq(burst.len)]

        m.d.comb += [
            self.o.payload.data.eq(r.payload.data),
            self.o.payload.address.eq(head.address),
            self.o.payload.error.eq(head.outside | (r.payload.resp != 0)),
            self.o.valid.eq(expected.o.valid & (head.outside | r.valid)),
            r.ready.eq(self.abort | (expected.o.valid & ~head.outside & self.o.ready)),
            expected.o.ready.eq(ended),
        ]
        return m
