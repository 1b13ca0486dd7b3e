"""Aligns a row's beats to its start in L1, pads it, and writes it."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FaultCode
from gemel_rtl.dma.layouts import BEAT, ROW
from gemel_rtl.dma.pairs import PairWalker
from gemel_rtl.interfaces import AXI_DATA_BITS, Fault, l1_write, l1_write_port
from gemel_rtl.noc.slice import Slice

__all__ = ["RowWriter"]

HALF = AXI_DATA_BITS // 2


class RowWriter(wiring.Component):
    """The L1 side of LOAD: takes rows and the beats of those that are present, writes a word (two chunks) a cycle.

    A row whose first byte isn't at the start of a beat costs at most one cycle more than it has words. `done` is
    high when the last write of an instruction is granted. After a fault, whose record is given for a cycle or more
    until reset, nothing is written any more.

    Parameters: config.
    Members: `rows`, `beats` (streams), `l1` (write port), `done`, `fault`.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(ROW)),
                "beats": In(stream.Signature(BEAT)),
                "l1": Out(l1_write_port(config)),
                "done": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        row, beat = self.rows.payload, self.beats.payload
        m.submodules.pairs = pairs = PairWalker(self.config)
        m.submodules.output = output = Slice(data.StructLayout({"write": l1_write(self.config), "last": 1}))
        request = self.l1.req
        m.d.comb += [
            request.valid.eq(output.o.valid),
            request.payload.eq(output.o.payload.write),
            output.o.ready.eq(request.ready),
            self.done.eq(request.valid & request.ready & output.o.payload.last),
        ]

        # First stage: which beat and which pair of chunks meet.
        fresh, primed = Signal(init=1), Signal()
        kept_beats, kept_bytes = Signal(11, reset_less=True), Signal(17, reset_less=True)
        beats, count, end = Signal(11), Signal(17), Signal(18)
        consume, prime, fire, advance = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            end.eq(row.address[:6] + row.length + 63),
            beats.eq(Mux(fresh, Mux(row.present, end[6:], 0), kept_beats)),
            count.eq(Mux(fresh, Mux(row.present, row.length, 0), kept_bytes)),
            consume.eq(beats != 0),
            prime.eq(fresh & (row.address[:6] != 0) & (beats > 1)),
            fire.eq(self.rows.valid & (~consume | self.beats.valid) & advance),
            self.beats.ready.eq(self.rows.valid & consume & advance),
            pairs.place.eq(row.place),
            pairs.first.eq(row.first),
            pairs.step.eq(fire & ~prime),
            self.rows.ready.eq(pairs.step & pairs.ends_row),
        ]
        with m.If(fire):
            m.d.sync += [fresh.eq(~prime & pairs.ends_row), primed.eq(prime | (primed & ~pairs.ends_row))]
            m.d.sync += [kept_beats.eq(beats - consume), kept_bytes.eq(count)]
            with m.If(~prime):
                m.d.sync += kept_bytes.eq(Mux(count > 64, count - 64, 0))

        # Second stage: shift, pad and hand over.
        full, late, emit, last = Signal(), Signal(), Signal(), Signal()
        previous = Signal(AXI_DATA_BITS, reset_less=True)
        current = Signal(AXI_DATA_BITS, reset_less=True)
        shift, missing, fill = Signal(6, reset_less=True), Signal(7, reset_less=True), Signal(32, reset_less=True)
        place = Signal(data.StructLayout({"addr0": 28, "addr1": 28, "half": 1, "both": 1}), reset_less=True)
        bad, bad_read, misaligned = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        l1_address, read_address = Signal(34, reset_less=True), Signal(58, reset_less=True)
        with m.If(advance):
            m.d.sync += full.eq(fire)
        with m.If(fire):
            m.d.sync += [
                previous.eq(current),
                late.eq(primed & ~fresh),
                emit.eq(~prime),
                last.eq(row.last & pairs.ends_row),
                shift.eq(row.address[:6]),
                missing.eq(Mux(count < 64, 64 - count, 0)),
                fill.eq(row.fill),
                place.addr0.eq(pairs.words[0]),
                place.addr1.eq(pairs.words[1]),
                place.half.eq(pairs.half),
                place.both.eq(pairs.both),
                bad.eq(pairs.misaligned | (consume & beat.error) | (~prime & pairs.outside)),
                bad_read.eq(consume & beat.error),
                misaligned.eq(pairs.misaligned),
                l1_address.eq(pairs.address),
                read_address.eq(beat.address),
                self.fault.pc.eq(row.pc),
            ]
            with m.If(consume):
                m.d.sync += current.eq(beat.data)

        word = Signal(AXI_DATA_BITS)
        wanted = Signal(AXI_DATA_BITS)
        write = output.i.payload.write
        with m.If(output.i.valid):
            m.d.comb += [
                word.eq(Cat(Mux(late, previous, current), current) >> Cat(C(0, 3), shift)),
                wanted.eq(C((1 << AXI_DATA_BITS) - 1, AXI_DATA_BITS) >> Cat(C(0, 3), missing)),
            ]
            padded = Signal(AXI_DATA_BITS)
            with m.If(missing != 0):
                m.d.comb += padded.eq((word & wanted) | (fill.replicate(AXI_DATA_BITS // 32) & ~wanted))
            with m.Else():
                m.d.comb += padded.eq(word)
            m.d.comb += write.data.eq(Mux(place.half, Cat(padded[HALF:], padded[:HALF]), padded))
        m.d.comb += [
            advance.eq(~full | (~bad & (~emit | output.i.ready))),
            output.i.valid.eq(full & emit & ~bad),
            output.i.payload.last.eq(last),
            write.mask.eq(C(-1, 64)),
            write.addr0.eq(Mux(place.half, place.addr1, place.addr0)),
            write.addr1.eq(Mux(place.half, place.addr0, place.addr1)),
            write.en0.eq(~place.half | place.both),
            write.en1.eq(place.half | place.both),
            self.fault.valid.eq(full & bad),
            self.fault.code.eq(FaultCode.L1_ADDRESS),
            self.fault.address.eq(l1_address),
        ]
        with m.If(bad_read & ~misaligned):
            m.d.comb += [self.fault.code.eq(FaultCode.MEMORY_READ), self.fault.address.eq(read_address << 6)]
        return m
