"""One cell of the tensor core's array: a dot unit, its accumulate loop and its two banks of accumulators."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_rtl.numeric.dot import DotUnit
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.numeric.fp32_fma import Fp32Fma
from gemel_rtl.numeric.fp32_mul import Fp32Multiplier
from gemel_rtl.numeric.layouts import DecodedBlock
from gemel_rtl.numeric.pipeline import Pipeline

__all__ = ["DotCell"]

MINUS_ZERO = 1 << 31


class DotCell(wiring.Component):
    """D(bank, ig, jg) = R or D + R, as steps 5 and 7 of the numerics contract; one block per cycle.

    With `grouped` these sums are partial ones, P(ig, jg), which `group_first` begins; at `group_last` it is
    D = P * s + D instead (step 9), s being the product of the blocks' factors, and D = P * s + 0 with `first`.

    A bank is `sub` memories of 32-bit words: accumulator (ig, jg) lies in memory jg % sub at word (ig, jg // sub), so
    that `sub` neighbours in jg are drained or loaded at once. The user guarantees three things: one accumulator isn't
    issued again within `distance` cycles, from one `group_last` to the next `group_distance`; compute and drain or load
    never work in the same bank at once; and a drain or load of a bank begins at least `latency` cycles after the last
    block issued to it, `group_latency` after a `group_last`.

    Attributes
    ----------
    latency, group_latency : cycles from `valid` until the accumulator can be drained: `drain_en` may be that much later
    distance, group_distance : least number of cycles between two issues to one accumulator

    Parameters
    ----------
    groups_m, groups_n : accumulators of a bank in each direction, powers of two
    sub : memories of a bank, a power of two and at most groups_n

    Members
    -------
    valid, integer, four, quarters, a, b : In, one block, as `DotUnit` has them
    first, bank, ig, jg : In, its accumulator; `first` begins a sum (D = R)
    grouped, group_first, group_last : In, see above
    drain_en, drain_bank, drain_ig, drain_jq : In, read accumulators (ig, jq * sub + s)
    drain_data : Out(sub * 32), these, one cycle later, until the next drain
    load_en, load_bank, load_ig, load_jq, load_data : In, write accumulators (ig, jq * sub + s); what was loaded can be
        used by an issue in the next cycle
    invalid, overflow : Out(1), pulses: an accumulator became NaN; R or D overflowed to infinity or beyond INT32
    """

    latency = DotUnit.latency + Fp32Adder.latency + 1
    distance = Fp32Adder.latency + 1
    group_latency = latency + Fp32Fma.latency
    group_distance = Fp32Fma.latency + 1

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
                "grouped": In(1),
                "group_first": In(1),
                "group_last": In(1),
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
        tag_layout = data.StructLayout(
            {
                "word": ceil_log2(depth),
                "lane": lane_bits,
                "bank": 1,
                **dict.fromkeys(("first", "grouped", "group_first", "group_last"), 1),
            }
        )

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
        place = Cat(self.jg[lane_bits:], self.ig, self.jg[:lane_bits], self.bank, self.first)
        tag = data.View(tag_layout, Cat(place, self.grouped, self.group_first, self.group_last))
        for _ in range(dot.latency):
            tags.next()
            tag = tags.carry(tag, name="tag")

        # A bank reads for the drain, for the adder in the cycle in which R comes, or for the multiply-add when P comes.
        fma_tag = data.View(tag_layout, Signal(tag_layout.size, name="fma_tag"))
        fma_valid = Signal()
        drain_word, load_word = Cat(self.drain_jq, self.drain_ig), Cat(self.load_jq, self.load_ig)
        banks = []
        for bank in range(2):
            word = Signal(tag_layout.members["word"], name=f"read_word{bank}")
            m.d.comb += word.eq(
                Mux(
                    self.drain_en & (self.drain_bank == bank),
                    drain_word,
                    Mux(fma_valid & (fma_tag.bank == bank), fma_tag.word, tag.word),
                )
            )
            banks.append([self._memory(m, depth, f"bank{bank}_lane{lane}", word) for lane in range(self.sub)])
        reads = [Cat(w.read for w in memories) for memories in banks]
        read = Signal(32 * self.sub)
        m.d.comb += read.eq(Mux(tag.bank, reads[1], reads[0]))
        drained = Signal(32 * self.sub, reset_less=True)
        with m.If(self.drain_en):
            m.d.sync += drained.eq(Mux(self.drain_bank, reads[1], reads[0]))
        m.d.comb += self.drain_data.eq(drained)

        # A sum begins from -0, since (-0) + R is R whatever R is.
        old, wrapped = Signal(32), Signal(32)
        wrap = Signal()
        partial = self._memory(m, depth * self.sub, "partial", Cat(tag.lane, tag.word))
        with m.If(tag.grouped):
            m.d.comb += old.eq(Mux(tag.group_first, MINUS_ZERO, partial.read))
        with m.Else():
            m.d.comb += old.eq(Mux(tag.first, Mux(dot.o_integer, 0, MINUS_ZERO), read.word_select(tag.lane, 32)))
        m.d.comb += [
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
        m.d.comb += [
            value.eq(Mux(carried.integer, carried.value, adder.o)),
            fma_tag.eq(carried.tag),
            fma_valid.eq(adder.o_valid & carried.tag.grouped & carried.tag.group_last),
            partial.write_en.eq(adder.o_valid & carried.tag.grouped & ~carried.tag.group_last),
            partial.write_word.eq(Cat(carried.tag.lane, carried.tag.word)),
            partial.write.eq(adder.o),
        ]
        fma_read = Signal(32)
        with m.If(fma_valid & ~fma_tag.first):
            m.d.comb += fma_read.eq(Mux(fma_tag.bank, reads[1], reads[0]).word_select(fma_tag.lane, 32))
        total, total_tag, over = self._multiply_add(m, adder.o, fma_read, fma_tag)

        for bank, memories in enumerate(banks):
            load = Signal(name=f"load{bank}")
            store, fma_store = Signal(name=f"store{bank}"), Signal(name=f"fma_store{bank}")
            m.d.comb += [
                load.eq(self.load_en & (self.load_bank == bank)),
                store.eq(adder.o_valid & ~carried.tag.grouped & (carried.tag.bank == bank)),
                fma_store.eq(total.o_valid & (total_tag.bank == bank)),
            ]
            for lane, port in enumerate(memories):
                m.d.comb += [
                    port.write_en.eq(
                        load | (store & (carried.tag.lane == lane)) | (fma_store & (total_tag.lane == lane))
                    ),
                    port.write_word.eq(Mux(load, load_word, Mux(fma_store, total_tag.word, carried.tag.word))),
                    port.write.eq(Mux(load, self.load_data.word_select(lane, 32), Mux(fma_store, total.o, value))),
                ]
        m.d.sync += [
            self.invalid.eq((adder.o_valid & adder.invalid & ~carried.integer) | (total.o_valid & total.invalid)),
            self.overflow.eq(
                (adder.o_valid & (carried.overflow | (adder.overflow & ~carried.integer)))
                | (total.o_valid & (total.overflow | over))
            ),
        ]
        return m

    def _multiply_add(self, m: Module, partial: Value, old: Value, tag: data.View) -> tuple[Fp32Fma, data.View, Value]:
        """partial * s + old, in the cycle in which the partial sum comes; returns its unit, and with the result its tag
        and whether s overflowed. s is there in time: the factors come with the block.
        """
        m.submodules.multiplier = multiplier = Fp32Multiplier()
        m.submodules.fma = fma = Fp32Fma()
        pipe = Pipeline(m, self.valid & self.grouped & self.group_last)
        m.d.comb += [multiplier.valid.eq(pipe.valid), multiplier.a.eq(self.a.factor), multiplier.b.eq(self.b.factor)]
        for _ in range(multiplier.latency):
            pipe.next()
        factor, over = multiplier.o, multiplier.overflow
        for _ in range(DotUnit.latency + Fp32Adder.latency - multiplier.latency):
            pipe.next()
            factor, over = pipe.register(factor, name="factor"), pipe.register(over, name="factor_over")
        m.d.comb += [fma.valid.eq(pipe.valid), fma.a.eq(partial), fma.b.eq(factor), fma.c.eq(old)]
        for _ in range(fma.latency):
            pipe.next()
            tag, over = pipe.carry(tag, name="fma_tag"), pipe.register(over, name="factor_over")
        return fma, tag, over

    def _memory(self, m: Module, depth: int, name: str, word: Value) -> "_Ports":
        m.submodules[name] = accumulators = memory.Memory(shape=32, depth=depth, init=[])
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
