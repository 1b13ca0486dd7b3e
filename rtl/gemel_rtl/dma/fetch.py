"""Reads rows of L1 ahead of need, as words that begin with the row."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.layouts import ROW, WORDS
from gemel_rtl.dma.pairs import PairWalker
from gemel_rtl.interfaces import AXI_DATA_BITS, l1_read_port
from gemel_rtl.noc.queue import Queue

__all__ = ["RowReader"]

KIND = tuple(name for name in WORDS.members if name != "data")

AHEAD = 8
"""Reads under way or waiting to be used: covers L1's latency and its conflicts."""

HALF = AXI_DATA_BITS // 2


class RowReader(wiring.Component):
    """The L1 side of STORE: gives a row's chunk pairs in order, one a cycle; of a constant row, `fill` in their place.

    Rows that aren't present are passed over. After a pair that is beyond L1, which isn't read, nothing comes until
    reset, and `address` is the byte address.

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
        kind = {name: WORDS[name].shape for name in KIND}
        tag = data.StructLayout(kind | {"half": 1, "constant": 1, "fill": 32})
        m.submodules.tags = tags = Queue(tag, AHEAD)
        m.submodules.arrived = arrived = Queue(AXI_DATA_BITS, AHEAD)
        request, row, half = self.l1.req, self.rows.payload, pairs.half
        go, given, outside, halted = Signal(), Signal(), Signal(), Signal()
        fresh, kept_bytes, left = Signal(init=1), Signal(17, reset_less=True), Signal(17)
        m.d.comb += left.eq(Mux(fresh, row.place.bytes, kept_bytes))
        with m.If(pairs.step):
            m.d.sync += [fresh.eq(pairs.ends_row), kept_bytes.eq(left - 64)]
        m.d.comb += [
            pairs.place.eq(row.place),
            pairs.first.eq(row.first),
            request.payload.addr0.eq(Mux(half, pairs.words[1], pairs.words[0])),
            request.payload.addr1.eq(Mux(half, pairs.words[0], pairs.words[1])),
            request.payload.en0.eq(~half | pairs.both),
            request.payload.en1.eq(half | pairs.both),
            go.eq(self.rows.valid & row.present & tags.i.ready & ~halted),
            outside.eq(pairs.outside & ~row.constant),
            request.valid.eq(go & ~outside & ~row.constant),
            given.eq((request.valid & request.ready) | (go & row.constant)),
            pairs.step.eq(given | (self.rows.valid & ~row.present)),
            self.rows.ready.eq(pairs.step & pairs.ends_row),
            tags.i.valid.eq(given | (go & outside)),
            tags.i.payload.half.eq(half),
            tags.i.payload.fault.eq(outside),
            tags.i.payload.accumulate.eq(row.accumulate),
            tags.i.payload.format.eq(row.format),
            tags.i.payload.recode.eq(row.recode),
            tags.i.payload.recoding.eq(row.recoding),
            tags.i.payload.starts.eq(fresh),
            tags.i.payload.ends.eq(pairs.ends_row),
            tags.i.payload.size.eq(Mux(left > 64, 64, left)),
            tags.i.payload.constant.eq(row.constant),
            tags.i.payload.fill.eq(row.fill),
        ]
        with m.If(go & outside):
            m.d.sync += [halted.eq(1), self.address.eq(pairs.address)]

        word, used = arrived.o.payload, Signal()
        m.d.comb += [
            used.eq(~tags.o.payload.fault & ~tags.o.payload.constant),
            arrived.i.valid.eq(self.l1.valid),
            arrived.i.payload.eq(Cat(self.l1.data)),
            self.o.payload.data.eq(Mux(tags.o.payload.half, Cat(word[HALF:], word[:HALF]), word)),
            *(Cat(self.o.payload[name]).eq(Cat(tags.o.payload[name])) for name in KIND),
            self.o.valid.eq(tags.o.valid & (~used | arrived.o.valid)),
            tags.o.ready.eq(self.o.valid & self.o.ready),
            arrived.o.ready.eq(self.o.ready & tags.o.valid & used),
        ]
        with m.If(tags.o.payload.constant):
            m.d.comb += self.o.payload.data.eq(tags.o.payload.fill.replicate(AXI_DATA_BITS // 32))
        return m
