"""Reads rows of L1 ahead of need, as words that begin with the row."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.layouts import ROW
from gemel_rtl.dma.pairs import PairWalker
from gemel_rtl.interfaces import AXI_DATA_BITS, l1_read_port
from gemel_rtl.noc.queue import Queue

__all__ = ["WORDS", "RowReader"]

WORDS = data.StructLayout({"data": AXI_DATA_BITS, "fault": 1})
"""A pair of chunks of a row, the first one low; `fault`: one of them is beyond L1."""

AHEAD = 8
"""Reads under way or waiting to be used: covers L1's latency and its conflicts."""

HALF = AXI_DATA_BITS // 2


class RowReader(wiring.Component):
    """The L1 side of STORE: gives a row's chunk pairs in order, one a cycle.

    After a pair that is beyond L1, which isn't read, nothing comes until reset, and `address` is the byte address.

    Parameters: config.
    Members: `rows`, `o` (streams), `l1` (read port), `address`.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(ROW)),
                "o": Out(stream.Signature(WORDS)),
                "l1": Out(l1_read_port(config)),
                "address": Out(64),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.pairs = pairs = PairWalker(self.config)
        m.submodules.tags = tags = Queue(data.StructLayout({"half": 1, "fault": 1}), AHEAD)
        m.submodules.arrived = arrived = Queue(AXI_DATA_BITS, AHEAD)
        request, row, half = self.l1.req, self.rows.payload, pairs.half
        go, halted = Signal(), Signal()
        m.d.comb += [
            pairs.place.eq(row.place),
            pairs.first.eq(row.first),
            request.payload.addr0.eq(Mux(half, pairs.words[1], pairs.words[0])),
            request.payload.addr1.eq(Mux(half, pairs.words[0], pairs.words[1])),
            request.payload.en0.eq(~half | pairs.both),
            request.payload.en1.eq(half | pairs.both),
            go.eq(self.rows.valid & tags.i.ready & ~halted),
            request.valid.eq(go & ~pairs.outside),
            pairs.step.eq(request.valid & request.ready),
            self.rows.ready.eq(pairs.step & pairs.ends_row),
            tags.i.valid.eq(go & (pairs.outside | request.ready)),
            tags.i.payload.half.eq(half),
            tags.i.payload.fault.eq(pairs.outside),
        ]
        with m.If(go & pairs.outside):
            m.d.sync += [halted.eq(1), self.address.eq(pairs.address)]

        word = arrived.o.payload
        m.d.comb += [
            arrived.i.valid.eq(self.l1.valid),
            arrived.i.payload.eq(Cat(self.l1.data)),
            self.o.payload.data.eq(Mux(tags.o.payload.half, Cat(word[HALF:], word[:HALF]), word)),
            self.o.payload.fault.eq(tags.o.payload.fault),
            self.o.valid.eq(tags.o.valid & (tags.o.payload.fault | arrived.o.valid)),
            tags.o.ready.eq(self.o.valid & self.o.ready),
            arrived.o.ready.eq(self.o.ready & tags.o.valid & ~tags.o.payload.fault),
        ]
        return m
