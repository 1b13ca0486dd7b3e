"""Adds words of L1 to words of memory."""

from itertools import pairwise

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_golden.isa import FaultCode
from gemel_rtl.dma.layouts import BEAT, WORDS
from gemel_rtl.interfaces import AXI_DATA_BITS, Fault
from gemel_rtl.noc.queue import Queue
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.shared import Shared

__all__ = ["Accumulator"]

LANES, WIDE_LANES = 32, 16
"""Elements of a word of 16 and of 32 bits."""
BF16, INT32 = FORMATS["bf16"].code, FORMATS["int32"].code
DEPTH = 16
"""Sums under way or waiting to be taken: more than the adders' latency."""

SUM = data.StructLayout({"data": AXI_DATA_BITS, "fault": 1})
TAG = data.StructLayout({"format": 4, "starts": 1, "fault": 1})


class Accumulator(wiring.Component):
    """Passes words on, those to be accumulated with memory's word added element by element.

    A word a cycle: FP32, INT32, and BF16, in FP32 and rounded to nearest even. A word of another kind waits until no
    sum is under way and then passes in its cycle. `started`: the sum of a row's first word is there. After a word that
    L1 or memory could not give, which goes on with `fault`, `fault` holds the record.

    Members: `i`, `memory`, `o` (streams of words), `l1_address` (of a word of `i` with `fault`), `started`, `fault`.
    """

    def __init__(self):
        super().__init__(
            {
                "i": In(stream.Signature(WORDS)),
                "memory": In(stream.Signature(BEAT)),
                "o": Out(stream.Signature(WORDS)),
                "l1_address": In(64),
                "started": Out(1),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        word, memory = self.i.payload, self.memory.payload
        m.submodules.sums = sums = Queue(SUM, DEPTH)
        under_way = Signal(range(DEPTH + 1))
        go, plain, bad = Signal(), Signal(), Signal()
        m.d.comb += [
            go.eq(self.i.valid & word.accumulate & self.memory.valid & (under_way != DEPTH)),
            bad.eq(word.fault | memory.error),
            plain.eq(self.i.valid & ~word.accumulate & (under_way == 0)),
            self.i.ready.eq(Mux(word.accumulate, go, plain & self.o.ready)),
            self.memory.ready.eq(go),
        ]
        m.d.sync += under_way.eq(under_way + go - (sums.o.valid & sums.o.ready))
        with m.If(go & bad & ~self.fault.valid):
            m.d.sync += [
                self.fault.valid.eq(1),
                self.fault.code.eq(Mux(memory.error, FaultCode.MEMORY_READ, FaultCode.L1_ADDRESS)),
                self.fault.address.eq(Mux(memory.error, memory.address << 6, self.l1_address)),
            ]
        with m.Elif(plain & word.fault & ~self.fault.valid):
            m.d.sync += [
                self.fault.valid.eq(1),
                self.fault.code.eq(FaultCode.L1_ADDRESS),
                self.fault.address.eq(self.l1_address),
            ]

        found = [self._lane(m, lane, go, word, memory) for lane in range(LANES)]
        tag, valid = self._delayed(m, go, word, bad)
        self._collect(m, sums, tag, valid, found)
        with m.If(sums.o.valid):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.data.eq(sums.o.payload.data)]
            m.d.comb += [self.o.payload.fault.eq(sums.o.payload.fault), sums.o.ready.eq(self.o.ready)]
        with m.Elif(plain):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(word)]
        return m

    def _lane(self, m: Module, lane: int, go: Value, word, memory) -> tuple[Value, Value]:
        """An element's sum in FP32 and, of a lane of 32 bits, as an integer, `Fp32Adder.latency` cycles later."""
        adder, narrow = Shared(Fp32Adder(), name="gemel_fp32_add"), word.format == BF16
        m.submodules[f"adder{lane}"] = adder
        wide = lane < WIDE_LANES
        operands = []
        for source in (word.data, memory.data):
            half = Cat(C(0, 16), source.word_select(lane, 16))
            operands.append(Mux(narrow, half, source.word_select(lane, 32)) if wide else half)
        a, b = operands
        with m.If(go & ((word.format != INT32) if wide else narrow)):
            m.d.comb += [adder.valid.eq(1), Value.cast(adder.a).eq(a), Value.cast(adder.b).eq(b)]
        if not wide:
            return adder.o, C(0, 32)
        stages = [Signal(32, name=f"whole{lane}_{stage}", reset_less=True) for stage in range(Fp32Adder.latency)]
        with m.If(go & (word.format == INT32)):
            m.d.sync += stages[0].eq(a + b)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        return adder.o, stages[-1]

    def _delayed(self, m: Module, go: Value, word, bad: Value):
        """What belongs to the sums that come out, and whether there are any."""
        valid, tag = go, Signal(TAG)
        m.d.comb += [tag.format.eq(word.format), tag.starts.eq(word.starts), tag.fault.eq(bad)]
        for stage in range(Fp32Adder.latency):
            later, later_valid = Signal(TAG, name=f"tag{stage}", reset_less=True), Signal(name=f"valid{stage}")
            m.d.sync += [later.eq(tag), later_valid.eq(valid)]
            tag, valid = later, later_valid
        return tag, valid

    def _collect(self, m: Module, sums: Queue, tag, valid: Value, found: list[tuple[Value, Value]]) -> None:
        """Make words of the lanes' sums."""
        rounded = []
        for lane, (total, _) in enumerate(found):
            narrow = Signal(32, name=f"narrow{lane}")
            with m.If(valid & (tag.format == BF16)):
                m.d.comb += narrow.eq(total + 0x7FFF + total[16])
            rounded.append(narrow[16:])
        m.d.comb += [
            sums.i.valid.eq(valid),
            sums.i.payload.fault.eq(tag.fault),
            self.started.eq(valid & tag.starts),
        ]
        totals, integers = (Cat(values[:WIDE_LANES]) for values in zip(*found, strict=True))
        with m.If(valid):
            kept = Mux(tag.format == INT32, integers, totals)
            m.d.comb += sums.i.payload.data.eq(Mux(tag.format == BF16, Cat(rounded), kept))
