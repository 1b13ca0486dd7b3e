"""Converts the elements of a row on their way, by one factor or by one scale for each block."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale
from gemel_rtl.dma.layouts import RECODING, WORDS
from gemel_rtl.dma.recode_blocks import BlockScaler
from gemel_rtl.dma.recode_lane import RecodeLane
from gemel_rtl.dma.recode_pack import STEP, RecodePacker
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.noc.queue import Queue
from gemel_rtl.numeric.round import CANONICAL_NAN
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.formats import has_bits

__all__ = ["LANES", "Recoder"]

LANES = 32
"""Elements of a step, and of a block that shares an MX scale."""
FP32 = FORMATS["fp32"].code
DEPTH = 16
"""Steps under way or waiting: more than the lanes' latency."""
TAG = data.StructLayout({"recoding": RECODING, "scaled": 1, "scale": 32, "ends": 1, "short": 1, "fault": 1})


class Recoder(wiring.Component):
    """Passes words on, those that are `recode` in another format: 64 bytes a cycle of what comes or of what goes.

    The words of a row come out as a row of their own, followed by its scales where it has any. A word of another kind
    waits until no step is under way and then passes in its cycle.

    Members: `i`, `o` (streams of words).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(WORDS)), "o": Out(stream.Signature(WORDS))})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.scaler = scaler = BlockScaler()
        wiring.connect(m, wiring.flipped(self.i), scaler.i)
        given, word = scaler.o, scaler.o.payload.word
        m.submodules.steps = steps = Queue(STEP, DEPTH)
        m.submodules.packer = packer = RecodePacker()
        wiring.connect(m, steps.o, packer.i)
        under_way = Signal(range(DEPTH + 1))
        take, plain, half, wide, go = Signal(), Signal(), Signal(), Signal(), Signal()
        narrow, upper, used = Signal(), Signal(), Signal()
        kept = Signal(AXI_DATA_BITS, reset_less=True)
        m.d.comb += [
            wide.eq(word.recoding.source == FP32),
            take.eq(given.valid & word.recode & (under_way != DEPTH)),
            plain.eq(given.valid & ~word.recode & (under_way == 0) & packer.idle),
            # Two words of 32-bit elements make a step, unless the row ends with the first.
            go.eq(take & (~wide | half | word.ends | word.fault)),
            narrow.eq(has_bits(word.recoding.source, 8)),
            # A word of 8-bit elements is two steps, unless the row ends with the first.
            used.eq(~narrow | upper | (word.ends & (word.size <= LANES)) | word.fault),
            given.ready.eq(Mux(word.recode, take & used, plain & self.o.ready)),
        ]
        with m.If(take):
            m.d.sync += [half.eq(~go), upper.eq(~used)]
            with m.If(~go):
                m.d.sync += kept.eq(word.data)
        m.d.sync += under_way.eq(under_way + go - (steps.o.valid & steps.o.ready))

        lanes = []
        for lane in range(LANES):
            component = Shared(RecodeLane(), name="gemel_recode_lane")
            m.submodules[f"lane{lane}"] = component
            lanes.append(component)
        tag, products, factor, valid = self._scale(
            m, lanes, given.payload, (wide, half, kept), (narrow, upper, used), go
        )
        for component, product in zip(lanes, products, strict=True):
            m.d.comb += [
                component.valid.eq(valid),
                component.product.eq(product),
                component.factor.eq(factor),
                component.target.eq(tag.recoding.target),
            ]
        for stage in range(RecodeLane.latency):
            later, later_valid = Signal(TAG, name=f"tag{stage}", reset_less=True), Signal(name=f"valid{stage}")
            m.d.sync += [later.eq(tag), later_valid.eq(valid)]
            tag, valid = later, later_valid
        m.d.comb += [
            steps.i.valid.eq(valid),
            steps.i.payload.target.eq(tag.recoding.target),
            steps.i.payload.scaled.eq(tag.scaled),
            steps.i.payload.fp32.eq(tag.recoding.block_scale == BlockScale.FP32),
            *(steps.i.payload[name].eq(tag[name]) for name in ("scale", "ends", "short", "fault")),
            steps.i.payload.codes.eq(Cat(component.o for component in lanes)),
        ]

        with m.If(packer.o.valid):
            m.d.comb += [self.o.valid.eq(1), packer.o.ready.eq(self.o.ready)]
            m.d.comb += [self.o.payload[name].eq(packer.o.payload[name]) for name in ("data", "fault")]
        with m.Elif(plain):
            m.d.comb += [self.o.valid.eq(1), self.o.payload.eq(word)]
        return m

    def _scale(
        self,
        m: Module,
        lanes: list,
        given,
        pairs: tuple[Value, Value, Value],
        halves: tuple[Value, Value, Value],
        go: Value,
    ):
        """A step's elements in FP32, what they are multiplied by, its tag, and whether there is one: a cycle later."""
        word, (wide, half, kept), (byte, upper, used) = given.word, pairs, halves
        low, high = Mux(half, kept, word.data), Mux(half, word.data, 0)
        count = Signal(range(LANES + 1))
        with m.If(wide):
            m.d.comb += count.eq(word.size[2:] + Mux(half, LANES // 2, 0))
        with m.Elif(byte):
            m.d.comb += count.eq(Mux(upper, word.size - LANES, Mux(word.size > LANES, LANES, word.size)))
        with m.Else():
            m.d.comb += count.eq(word.size[1:])
        magnitudes, products = [], []
        for lane, component in enumerate(lanes):
            eight = Mux(upper, word.data.word_select(LANES + lane, 8), word.data.word_select(lane, 8))
            narrow = Mux(byte, eight, word.data.word_select(lane, 16))
            part = low if lane < LANES // 2 else high
            with m.If(go):
                m.d.comb += [
                    component.enable.eq(1),
                    component.source.eq(word.recoding.source),
                    component.i.eq(Mux(wide, part.word_select(lane % (LANES // 2), 32), narrow)),
                ]
            magnitudes.append(Mux(lane < count, component.wide[:31], 0))
            product = Signal(32, name=f"product{lane}", reset_less=True)
            with m.If(go):
                m.d.sync += product.eq(component.wide)
            products.append(product)
        largest = Signal(31)
        mx = word.recoding.block_scale == BlockScale.MX
        with m.If(go & mx):
            while len(magnitudes) > 1:
                couples = zip(magnitudes[::2], magnitudes[1::2], strict=True)
                following = []
                for a, b in couples:
                    larger = Signal(31, name=f"larger{len(magnitudes)}_{len(following)}")
                    m.d.comb += larger.eq(Mux(a > b, a, b))
                    following.append(larger)
                magnitudes = following
            m.d.comb += largest.eq(magnitudes[0])
        exponent, emax = largest[23:], Signal(8)
        with m.Switch(word.recoding.target):
            for name in ("e4m3", "e5m2"):
                with m.Case(FORMATS[name].code):
                    m.d.comb += emax.eq(FORMATS[name].emax)
        special, code = exponent.all(), Signal(8)
        m.d.comb += code.eq(Mux(special, 0xFF, Mux(exponent > emax, exponent - emax, 0)))
        power = Mux(special, CANONICAL_NAN, Cat(C(0, 23), (254 - code)[:8], C(0, 1)))
        factor, tag, valid = Signal(32, reset_less=True), Signal(TAG, reset_less=True), Signal()
        m.d.sync += valid.eq(go)
        with m.If(go):
            m.d.sync += [
                factor.eq(Mux(mx, power, word.recoding.factor)),
                tag.recoding.eq(word.recoding),
                tag.scaled.eq(mx | ((word.recoding.block_scale == BlockScale.FP32) & given.closes & used)),
                tag.scale.eq(Mux(mx, code, given.scale)),
                tag.ends.eq(word.ends & used),
                tag.short.eq(count <= LANES // 2),
                tag.fault.eq(word.fault),
            ]
        return tag, products, factor, valid
