"""Sends write bursts and their beats and counts the responses."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FaultCode
from gemel_rtl.dma.layouts import BURST, STROBED
from gemel_rtl.dma.read_bus import FEW
from gemel_rtl.interfaces import PC_BITS, Fault, axi_write
from gemel_rtl.noc.queue import Queue

__all__ = ["WriteBus"]

SENDING = data.StructLayout({"len": 6, "outside": 1, "fault": 1, "sum": 1, "pc": PC_BITS})
ANSWERING = data.StructLayout({"address": 58, "absent": 1, "sum": 1, "last": 1, "pc": PC_BITS})


class WriteBus(wiring.Component):
    """The AXI4 side of STORE: up to `config.outstanding` bursts under way, one address and one beat a cycle.

    Addresses run ahead of beats, never behind. `done` is high when the response to an instruction's last burst comes. A
    burst outside of the memory's addresses isn't sent but is a fault when its first beat's turn comes; so is a beat
    that says so, a response that isn't OKAY, and, with `index_fault`'s record, a burst whose index is one. An absent
    burst counts as answered once those before it are. A fault waits for the responses to the bursts before it, one of
    which may be another. After a fault no beat is taken. With `abort` no burst or beat is taken, and the beats that are
    owed to the bus go out without strobes.

    Parameters: config, id_bits, bus_id (the constant ID).
    Members: `bursts`, `beats` (streams), `bus` (AXI4), `beat_fault` (the record of the beat that is one),
    `index_fault`, `abort`, `idle` (nothing under way), `few` (bursts under way), `done`, `summed` (a burst with `sum`
    is answered), `fault`.
    """

    def __init__(self, config: ChipConfig, id_bits: int, bus_id: int):
        self.depth = config.outstanding
        self.bus_id = bus_id
        self.address_bits = config.mem_address_bits - 6
        super().__init__(
            {
                "bursts": In(stream.Signature(BURST)),
                "beats": In(stream.Signature(STROBED)),
                "bus": Out(axi_write(config, id_bits)),
                "beat_fault": In(Fault),
                "index_fault": In(Fault),
                "abort": In(1),
                "idle": Out(1),
                "few": Out(1),
                "done": Out(1),
                "summed": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.sending = sending = Queue(SENDING, self.depth)
        m.submodules.answering = answering = Queue(ANSWERING, self.depth)
        burst, head = self.bursts.payload, sending.o.payload
        aw, w, b = self.bus.aw, self.bus.w, self.bus.b

        free, taken, sent, answered = Signal(), Signal(), Signal(), Signal()
        under_way = Signal(range(self.depth + 1))
        m.d.sync += under_way.eq(under_way + answering.i.valid - (answering.o.valid & answered))
        m.d.comb += self.few.eq(under_way < FEW)
        outside_address = Signal(58, reset_less=True)
        m.d.comb += [
            free.eq((~aw.valid | aw.ready) & ~self.abort),
            taken.eq(self.bursts.valid & self.bursts.ready),
            sent.eq(taken & ~burst.outside & ~burst.absent),
            self.bursts.ready.eq(free & sending.i.ready & answering.i.ready),
            sending.i.valid.eq(taken & ~burst.absent),
            sending.i.payload.len.eq(burst.len),
            sending.i.payload.outside.eq(burst.outside),
            sending.i.payload.fault.eq(burst.fault),
            sending.i.payload.sum.eq(burst.accumulate),
            sending.i.payload.pc.eq(burst.pc),
            answering.i.valid.eq(taken & ~burst.outside),
            answering.i.payload.absent.eq(burst.absent),
            answering.i.payload.sum.eq(burst.sum),
            answering.i.payload.address.eq(burst.address),
            answering.i.payload.last.eq(burst.last),
            answering.i.payload.pc.eq(burst.pc),
            aw.payload.id.eq(self.bus_id),
        ]
        with m.If(~aw.valid | aw.ready):
            m.d.sync += aw.valid.eq(sent)
        with m.If(sent):
            m.d.sync += [aw.payload.addr.eq(burst.address[: self.address_bits] << 6), aw.payload.len.eq(burst.len)]
        with m.If(taken):
            m.d.sync += outside_address.eq(burst.address)

        room, ready, put, final = Signal(), Signal(), Signal(), Signal()
        position = Signal(6)
        m.d.comb += [
            room.eq(~w.valid | w.ready),
            ready.eq(room & sending.o.valid & ~head.outside & ~self.fault.valid & ~self.abort),
            self.beats.ready.eq(ready & ~(self.beats.valid & self.beats.payload.fault)),
            put.eq((self.beats.valid & self.beats.ready) | (self.abort & room & sending.o.valid & ~head.outside)),
            final.eq(position == head.len),
            sending.o.ready.eq((put & final) | (self.abort & head.outside)),
        ]
        with m.If(room):
            m.d.sync += w.valid.eq(put)
        with m.If(put):
            m.d.sync += [
                position.eq(Mux(final, 0, position + 1)),
                w.payload.data.eq(self.beats.payload.data),
                w.payload.strb.eq(Mux(self.abort, 0, self.beats.payload.strb)),
                w.payload.last.eq(final),
            ]

        refused, absent = Signal(), Signal()
        unanswered, settled = Signal(range(self.depth + 1)), Signal()
        m.d.sync += unanswered.eq(unanswered + (put & final) - (b.valid & b.ready))
        m.d.comb += settled.eq(unanswered == 0)
        m.d.comb += [
            b.ready.eq(~absent),
            absent.eq(answering.o.valid & answering.o.payload.absent),
            answered.eq(b.valid | absent),
            answering.o.ready.eq(answered),
            refused.eq(b.valid & ~absent & (b.payload.resp != 0)),
            self.summed.eq(b.valid & ~absent & answering.o.payload.sum),
            self.done.eq(answered & answering.o.payload.last & ~refused),
            self.idle.eq(~sending.o.valid & ~answering.o.valid & ~aw.valid & ~w.valid),
        ]
        with m.If(self.abort):
            m.d.sync += self.fault.valid.eq(0)
        with m.Elif(~self.fault.valid):
            with m.If(refused):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.code.eq(FaultCode.MEMORY_WRITE),
                    self.fault.pc.eq(answering.o.payload.pc),
                    self.fault.address.eq(answering.o.payload.address << 6),
                ]
            with m.Elif(sending.o.valid & head.outside & settled):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.code.eq(Mux(head.sum, FaultCode.MEMORY_READ, FaultCode.MEMORY_WRITE)),
                    self.fault.pc.eq(head.pc),
                    self.fault.address.eq(outside_address << 6),
                ]
                with m.If(head.fault):
                    m.d.sync += [
                        self.fault.code.eq(self.index_fault.code),
                        self.fault.address.eq(self.index_fault.address),
                    ]
            with m.Elif(ready & self.beats.valid & self.beats.payload.fault & settled):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.code.eq(self.beat_fault.code),
                    self.fault.pc.eq(head.pc),
                    self.fault.address.eq(self.beat_fault.address),
                ]
        return m
