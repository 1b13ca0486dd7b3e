"""Adds to rows the places that a list of indices in L1 gives them."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import NO_ROW, FaultCode
from gemel_rtl.dma.layouts import INDEXING, ROW
from gemel_rtl.interfaces import AXI_DATA_BITS, Fault, l1_read_port
from gemel_rtl.noc.queue import Queue
from gemel_rtl.noc.slice import Slice

__all__ = ["Indexer"]

PER_WORD = WORD // 4
AHEAD = 4
"""Words of indices under way or waiting to be used."""

OFFSET = data.StructLayout({"offset": 64, "absent": 1, "fault": 1})


class Indexer(wiring.Component):
    """Passes rows on, those that are `indexed` with index * stride added to their address; one a cycle.

    Others pass in the same cycle. After a row whose index is a fault nothing comes until reset, and `fault` has its
    code and its L1 address.

    Parameters: config.
    Members: `jobs` (lists), `rows`, `o` (streams), `l1` (read port), `fault`.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "jobs": In(stream.Signature(INDEXING)),
                "rows": In(stream.Signature(ROW)),
                "o": Out(stream.Signature(ROW)),
                "l1": Out(l1_read_port(config)),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.offsets = offsets = Slice(OFFSET)
        self._offsets(m, offsets.i)
        row, offset = self.rows.payload, offsets.o.payload
        fields = {name: row[name] for name in ROW.members}
        fields |= {
            "address": row.address + Mux(row.indexed, offset.offset, 0),
            "present": row.present & ~(row.indexed & (offset.absent | offset.fault)),
            "fault": row.indexed & offset.fault,
        }
        halted = Signal()
        m.d.comb += [
            *(Cat(self.o.payload[name]).eq(Cat(value)) for name, value in fields.items()),
            self.o.valid.eq(self.rows.valid & (~row.indexed | offsets.o.valid) & ~halted),
            self.rows.ready.eq(self.o.ready & (~row.indexed | offsets.o.valid) & ~halted),
            offsets.o.ready.eq(self.rows.valid & row.indexed & self.o.ready & ~halted),
        ]
        with m.If(self.o.valid & self.o.ready & self.o.payload.fault):
            m.d.sync += halted.eq(1)
        return m

    def _offsets(self, m: Module, o) -> None:
        """What the list gives, in order."""
        l1_bits = ceil_log2(self.config.l1_words)
        m.submodules.words = words = Queue(AXI_DATA_BITS, AHEAD)
        job, wanted, under_way = Signal(INDEXING, reset_less=True), Signal(13), Signal(range(AHEAD + 1))
        left, place = Signal(16), Signal(30, reset_less=True)
        address, start = Signal(26, reset_less=True), self.jobs.valid & self.jobs.ready
        request, go, take = self.l1.req, Signal(), Signal()
        m.d.comb += [
            self.jobs.ready.eq(left == 0),
            request.payload.addr0.eq(address),
            request.payload.addr1.eq(address),
            request.payload.en0.eq(1),
            request.payload.en1.eq(1),
            request.valid.eq((wanted != 0) & (under_way != AHEAD) & ~address[l1_bits:].any()),
            go.eq(request.valid & request.ready),
            words.i.valid.eq(self.l1.valid),
            words.i.payload.eq(Cat(self.l1.data)),
            words.o.ready.eq(take),
        ]
        m.d.sync += under_way.eq(under_way + go - (words.o.valid & take))
        index, lane = Signal(32), Signal(range(PER_WORD))
        misaligned, beyond, bad = Signal(), Signal(), Signal()
        last = Signal()
        m.d.comb += [
            lane.eq(place[: len(lane)]),
            index.eq(Array(words.o.payload.word_select(i, 32) for i in range(PER_WORD))[lane]),
            misaligned.eq(job.l1[:2].any()),
            beyond.eq(misaligned | place[l1_bits + len(lane) :].any()),
            o.payload.offset.eq(index * job.stride.as_signed()),
            o.payload.absent.eq(index == NO_ROW),
            bad.eq((index >= job.limit) & ~o.payload.absent),
            o.payload.fault.eq(beyond | bad),
            o.valid.eq((left != 0) & (beyond | words.o.valid)),
            last.eq((lane == PER_WORD - 1) | (left == 1)),
            take.eq(o.valid & o.ready & ~beyond & last),
        ]
        with m.If(o.valid & o.ready):
            m.d.sync += [left.eq(left - 1), place.eq(place + 1)]
            with m.If(o.payload.fault & ~self.fault.valid):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.code.eq(Mux(beyond, FaultCode.L1_ADDRESS, FaultCode.INDEX)),
                    self.fault.address.eq(Cat(job.l1[:2], place)),
                ]
        with m.If(go):
            m.d.sync += [wanted.eq(wanted - 1), address.eq(address + 1)]
        with m.If(start):
            given = self.jobs.payload
            m.d.sync += [
                job.eq(given),
                left.eq(given.count),
                place.eq(given.l1[2:]),
                address.eq(given.l1[6:]),
                wanted.eq((given.l1[2:6] + given.count + PER_WORD - 1) >> 4),
            ]
