"""Pads a row's words and writes them to L1."""

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
    """The L1 side of LOAD: takes rows and the words of those that are present, writes a word (two chunks) a cycle.

    `done` is high when the last write of an instruction is granted. After a fault, whose record is given for a cycle or
    more until reset, nothing is written any more.

    Parameters: config.
    Members: `rows`, `words` (streams), `index_fault` (the record of a row with `fault`), `l1` (write port), `done`,
    `fault`.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "rows": In(stream.Signature(ROW)),
                "words": In(stream.Signature(BEAT)),
                "index_fault": In(Fault),
                "l1": Out(l1_write_port(config)),
                "done": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        row, word = self.rows.payload, self.words.payload
        m.submodules.pairs = pairs = PairWalker(self.config)
        m.submodules.output = output = Slice(data.StructLayout({"write": l1_write(self.config), "last": 1}))
        request = self.l1.req
        m.d.comb += [
            request.valid.eq(output.o.valid),
            request.payload.eq(output.o.payload.write),
            output.o.ready.eq(request.ready),
            self.done.eq(request.valid & request.ready & output.o.payload.last),
        ]

        # First stage: which word and which pair of chunks meet.
        fresh = Signal(init=1)
        kept_bytes, count = Signal(17, reset_less=True), Signal(17)
        consume, fire, advance = Signal(), Signal(), Signal()
        m.d.comb += [
            count.eq(Mux(fresh, Mux(row.present, row.length, 0), kept_bytes)),
            consume.eq(count != 0),
            fire.eq(self.rows.valid & (~consume | self.words.valid) & advance),
            self.words.ready.eq(self.rows.valid & consume & advance),
            pairs.place.eq(row.place),
            pairs.first.eq(row.first),
            pairs.step.eq(fire),
            self.rows.ready.eq(fire & pairs.ends_row),
        ]
        with m.If(fire):
            m.d.sync += [fresh.eq(pairs.ends_row), kept_bytes.eq(Mux(count > 64, count - 64, 0))]

        # Second stage: pad and hand over.
        full, last = Signal(), Signal()
        found = Signal(AXI_DATA_BITS, reset_less=True)
        missing, fill = Signal(7, reset_less=True), Signal(32, reset_less=True)
        place = Signal(data.StructLayout({"addr0": 28, "addr1": 28, "half": 1, "both": 1}), reset_less=True)
        bad = Signal()
        code, address = Signal.like(self.fault.code, reset_less=True), Signal(64, reset_less=True)
        with m.If(advance):
            m.d.sync += full.eq(fire)
        with m.If(fire):
            m.d.sync += [
                last.eq(row.last & pairs.ends_row),
                missing.eq(Mux(count < 64, 64 - count, 0)),
                fill.eq(row.fill),
                place.addr0.eq(pairs.words[0]),
                place.addr1.eq(pairs.words[1]),
                place.half.eq(pairs.half),
                place.both.eq(pairs.both),
                bad.eq(pairs.outside | row.fault | (consume & word.error)),
                code.eq(FaultCode.L1_ADDRESS),
                address.eq(pairs.address),
                self.fault.pc.eq(row.pc),
            ]
            with m.If(pairs.misaligned):
                pass
            with m.Elif(row.fault):
                m.d.sync += [code.eq(self.index_fault.code), address.eq(self.index_fault.address)]
            with m.Elif(consume & word.error):
                m.d.sync += [code.eq(FaultCode.MEMORY_READ), address.eq(word.address << 6)]
            with m.If(consume):
                m.d.sync += found.eq(word.data)

        write = output.i.payload.write
        with m.If(output.i.valid):
            wanted, padded = Signal(AXI_DATA_BITS), Signal(AXI_DATA_BITS)
            m.d.comb += wanted.eq(C((1 << AXI_DATA_BITS) - 1, AXI_DATA_BITS) >> Cat(C(0, 3), missing))
            with m.If(missing != 0):
                m.d.comb += padded.eq((found & wanted) | (fill.replicate(AXI_DATA_BITS // 32) & ~wanted))
            with m.Else():
                m.d.comb += padded.eq(found)
            m.d.comb += write.data.eq(Mux(place.half, Cat(padded[HALF:], padded[:HALF]), padded))
        m.d.comb += [
            advance.eq(~full | (~bad & output.i.ready)),
            output.i.valid.eq(full & ~bad),
            output.i.payload.last.eq(last),
            write.mask.eq(C(-1, 64)),
            write.addr0.eq(Mux(place.half, place.addr1, place.addr0)),
            write.addr1.eq(Mux(place.half, place.addr0, place.addr1)),
            write.en0.eq(~place.half | place.both),
            write.en1.eq(place.half | place.both),
            self.fault.valid.eq(full & bad),
            self.fault.code.eq(code),
            self.fault.address.eq(address),
        ]
        return m
