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

LANES = 16
BF16, INT32 = FORMATS["bf16"].code, FORMATS["int32"].code
DEPTH = 16
"""Sums under way or waiting to be taken: more than the adders' latency."""

SUM = data.StructLayout({"data": AXI_DATA_BITS, "fault": 1})
TAG = data.StructLayout({"format": 4, "starts": 1, "ends": 1, "fault": 1})


class Accumulator(wiring.Component):
    """Passes words on, those to be accumulated with memory's word added element by element.

    FP32 and INT32: a word a cycle; BF16, in FP32 and rounded to nearest even: a word every other cycle. A word of
    another kind waits until no sum is under way and then passes in its cycle. `started`: the sum of a row's first word
    is there. After a word that L1 or memory could not give, which goes on with `fault`, `fault` holds the record.

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
        under_way, upper, wide = Signal(range(DEPTH + 1)), Signal(), Signal()
        go, ends, plain, bad = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            wide.eq(word.format == BF16),
            ends.eq(~wide | upper),
            go.eq(self.i.valid & word.accumulate & self.memory.valid & (under_way != DEPTH)),
            bad.eq(word.fault | memory.error),
            plain.eq(self.i.valid & ~word.accumulate & (under_way == 0)),
            self.i.ready.eq(Mux(word.accumulate, go & ends, plain & self.o.ready)),
            self.memory.ready.eq(go & ends),
        ]
        with m.If(go):
            m.d.sync += upper.eq(~ends)
        m.d.sync += under_way.eq(under_way + (go & ends) - (sums.o.valid & sums.o.ready))
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

        a, b = (self._lanes(source.data, wide, upper) for source in (word, memory))
        found = [self._lane(m, lane, go, word.format, a[lane], b[lane]) for lane in range(LANES)]
        tag, valid = self._delayed(m, go, word, ends, bad)
        self._collect(m, sums, tag, valid, Cat(found))
        with m.If(sums.o.valid):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.data.eq(sums.o.payload.data)]
            m.d.comb += [self.o.payload.fault.eq(sums.o.payload.fault), sums.o.ready.eq(self.o.ready)]
        with m.Elif(plain):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(word)]
        return m

    def _lanes(self, word: Value, wide: Value, upper: Value) -> list[Value]:
        """32 bits for each lane: a word's elements, or the BF16 elements of one of its halves in FP32."""
        half = Mux(upper, word[AXI_DATA_BITS // 2 :], word[: AXI_DATA_BITS // 2])
        return [
            Mux(wide, Cat(C(0, 16), half.word_select(lane, 16)), word.word_select(lane, 32)) for lane in range(LANES)
        ]

    def _lane(self, m: Module, lane: int, go: Value, fmt: Value, a: Value, b: Value) -> Value:
        """a + b, `Fp32Adder.latency` cycles later."""
        adder = Shared(Fp32Adder(), name="gemel_fp32_add")
        m.submodules[f"adder{lane}"] = adder
        with m.If(go & (fmt != INT32)):
            m.d.comb += [adder.valid.eq(1), Value.cast(adder.a).eq(a), Value.cast(adder.b).eq(b)]
        stages = [Signal(32, name=f"whole{lane}_{stage}", reset_less=True) for stage in range(Fp32Adder.latency)]
        with m.If(go & (fmt == INT32)):
            m.d.sync += stages[0].eq(a + b)
        for before, after in pairwise(stages):
            m.d.sync += after.eq(before)
        return Cat(adder.o, stages[-1])

    def _delayed(self, m: Module, go: Value, word, ends: Value, bad: Value):
        """What belongs to the sums that come out, and whether there are any."""
        valid, tag = go, Signal(TAG)
        m.d.comb += [tag.format.eq(word.format), tag.starts.eq(word.starts), tag.ends.eq(ends), tag.fault.eq(bad)]
        for stage in range(Fp32Adder.latency):
            later, later_valid = Signal(TAG, name=f"tag{stage}", reset_less=True), Signal(name=f"valid{stage}")
            m.d.sync += [later.eq(tag), later_valid.eq(valid)]
            tag, valid = later, later_valid
        return tag, valid

    def _collect(self, m: Module, sums: Queue, tag, valid: Value, found: Value) -> None:
        """Make words of the lanes' sums: two rounds of BF16."""
        low = Signal(AXI_DATA_BITS // 2, reset_less=True)
        rounded, words = [], []
        for lane in range(LANES):
            total, whole = found.word_select(2 * lane, 32), found.word_select(2 * lane + 1, 32)
            narrow = Signal(32, name=f"narrow{lane}")
            with m.If(valid):
                m.d.comb += narrow.eq(total + 0x7FFF + total[16])
            rounded.append(narrow[16:])
            words.append(Mux(tag.format == INT32, whole, total))
        with m.If(valid & ~tag.ends):
            m.d.sync += low.eq(Cat(rounded))
        m.d.comb += [
            sums.i.valid.eq(valid & tag.ends),
            sums.i.payload.fault.eq(tag.fault),
            self.started.eq(sums.i.valid & tag.starts),
        ]
        with m.If(valid):
            m.d.comb += sums.i.payload.data.eq(Mux(tag.format == BF16, Cat(low, *rounded), Cat(words)))
