"""One cell of the tensor core's array: a dot unit, its accumulate loop and its two banks of accumulators."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_rtl.numeric.dot import DotUnit
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.numeric.layouts import DecodedBlock
from gemel_rtl.numeric.pipeline import Pipeline

__all__ = ["DotCell"]

MINUS_ZERO = 1 << 31


class DotCell(wiring.Component):
    """D(bank, ig, jg) = R or D + R, as steps 5 and 7 of `gemel_golden.dot`; one block per cycle.

    A bank is `sub` memories of 32-bit words: accumulator (ig, jg) lies in memory jg % sub at word (ig, jg // sub), so
    that `sub` neighbours in jg are drained or loaded at once. The user guarantees three things: one accumulator isn't
    issued again within `distance` cycles, compute and drain or load never work in the same bank at once, and a
    drain or load of a bank begins at least `latency` cycles after the last block issued to it.

    Attributes
    ----------
    latency : cycles from `valid` until the accumulator can be drained: `drain_en` may be that many cycles later
    distance : least number of cycles between two issues to one accumulator

    Parameters
    ----------
    groups_m, groups_n : accumulators of a bank in each direction, powers of two
    sub : memories of a bank, a power of two and at most groups_n

    Members
    -------
    valid, integer, four, quarters, a, b : In, one block, as `DotUnit` has them
    first, bank, ig, jg : In, its accumulator; `first` begins a sum (D = R)
    drain_en, drain_bank, drain_ig, drain_jq : In, read accumulators (ig, jq * sub + s)
    drain_data : Out(sub * 32), these, one cycle later, until the next drain
    load_en, load_bank, load_ig, load_jq, load_data : In, write accumulators (ig, jq * sub + s); what was loaded can be
        used by an issue in the next cycle
    invalid, overflow : Out(1), pulses: an accumulator became NaN; R or D overflowed to infinity or beyond INT32
    """

    latency = DotUnit.latency + Fp32Adder.latency + 1
    distance = Fp32Adder.latency + 1

    def __init__(self, *, groups_m: int, groups_n: int, sub: int):
        for name, value in (("groups_m", groups_m), ("groups_n", groups_n), ("sub", sub)):
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name} is {value}: it must be a power of two")
        if sub > groups_n:
            raise ValueError(f"sub is {sub}: it can be at most groups_n, {groups_n}")
        self.groups_m, self.groups_n, self.sub = groups_m, groups_n, sub
        ig, jg, jq = ceil_log2(groups_m), ceil_log2(groups_n), ceil_log2(groups_n // sub)
        super().__init__(
            {
                "valid": In(1),
                "integer": In(1),
                "four": In(1),
                "quarters": In(1),
                "first": In(1),
                "bank": In(1),
                "ig": In(ig),
                "jg": In(jg),
                "a": In(DecodedBlock),
                "b": In(DecodedBlock),
                "drain_en": In(1),
                "drain_bank": In(1),
                "drain_ig": In(ig),
                "drain_jq": In(jq),
                "drain_data": Out(32 * sub),
                "load_en": In(1),
                "load_bank": In(1),
                "load_ig": In(ig),
                "load_jq": In(jq),
                "load_data": In(32 * sub),
                "invalid": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lane_bits = ceil_log2(self.sub)
        depth = self.groups_m * self.groups_n // self.sub
        tag_layout = data.StructLayout({"word": ceil_log2(depth), "lane": lane_bits, "bank": 1, "first": 1})

        m.submodules.dot = dot = DotUnit()
        m.submodules.adder = adder = Fp32Adder()
        m.d.comb += [
            dot.valid.eq(self.valid),
            dot.integer.eq(self.integer),
            dot.four.eq(self.four),
            dot.quarters.eq(self.quarters),
            Value.cast(dot.a).eq(Value.cast(self.a)),
            Value.cast(dot.b).eq(Value.cast(self.b)),
        ]
        tags = Pipeline(m, self.valid)
        tag = data.View(tag_layout, Cat(self.jg[lane_bits:], self.ig, self.jg[:lane_bits], self.bank, self.first))
        for _ in range(dot.latency):
            tags.next()
            tag = tags.carry(tag, name="tag")

        # A bank reads for the drain or for the adder, in the cycle in which R comes.
        drain_word, load_word = Cat(self.drain_jq, self.drain_ig), Cat(self.load_jq, self.load_ig)
        banks = []
        for bank in range(2):
            word = Signal(tag_layout.members["word"], name=f"read_word{bank}")
            m.d.comb += word.eq(Mux(self.drain_en & (self.drain_bank == bank), drain_word, tag.word))
            banks.append([self._memory(m, depth, bank, lane, word) for lane in range(self.sub)])
        read = Signal(32 * self.sub)
        m.d.comb += read.eq(Mux(tag.bank, Cat(w.read for w in banks[1]), Cat(w.read for w in banks[0])))
        drained = Signal(32 * self.sub, reset_less=True)
        with m.If(self.drain_en):
            m.d.sync += drained.eq(Mux(self.drain_bank, Cat(w.read for w in banks[1]), Cat(w.read for w in banks[0])))
        m.d.comb += self.drain_data.eq(drained)

        # A sum begins from -0, since (-0) + R is R whatever R is.
        old, wrapped = Signal(32), Signal(32)
        wrap = Signal()
        m.d.comb += [
            old.eq(Mux(tag.first, Mux(dot.o_integer, 0, MINUS_ZERO), read.word_select(tag.lane, 32))),
            adder.valid.eq(dot.o_valid),
            adder.a.eq(old),
            adder.b.eq(dot.o),
            wrapped.eq(old + dot.o),
            wrap.eq(dot.o_integer & (old[31] == dot.o[31]) & (wrapped[31] != old[31])),
        ]
        carried = data.View(
            data.StructLayout({"tag": tag_layout, "value": 32, "integer": 1, "overflow": 1}),
            Cat(tag.as_value(), wrapped, dot.o_integer, wrap | dot.overflow),
        )
        for _ in range(adder.latency):
            tags.next()
            carried = tags.carry(carried, name="carried")
        value = Signal(32)
        m.d.comb += value.eq(Mux(carried.integer, carried.value, adder.o))
        for bank, memories in enumerate(banks):
            load = Signal(name=f"load{bank}")
            store = Signal(name=f"store{bank}")
            m.d.comb += [
                load.eq(self.load_en & (self.load_bank == bank)),
                store.eq(adder.o_valid & (carried.tag.bank == bank)),
            ]
            for lane, port in enumerate(memories):
                m.d.comb += [
                    port.write_en.eq(load | (store & (carried.tag.lane == lane))),
                    port.write_word.eq(Mux(load, load_word, carried.tag.word)),
                    port.write.eq(Mux(load, self.load_data.word_select(lane, 32), value)),
                ]
        m.d.sync += [
            self.invalid.eq(adder.o_valid & adder.invalid & ~carried.integer),
            self.overflow.eq(adder.o_valid & (carried.overflow | (adder.overflow & ~carried.integer))),
        ]
        return m

    def _memory(self, m: Module, depth: int, bank: int, lane: int, word: Value) -> "_Ports":
        m.submodules[f"bank{bank}_lane{lane}"] = accumulators = memory.Memory(shape=32, depth=depth, init=[])
        read = accumulators.read_port(domain="comb")
        write = accumulators.write_port()
        m.d.comb += read.addr.eq(word)
        return _Ports(read=read.data, write_en=write.en, write_word=write.addr, write=write.data)


@dataclass(frozen=True, kw_only=True)
class _Ports:
    """The ports of one memory of accumulators."""

    read: Value
    write_en: Value
    write_word: Value
    write: Value
