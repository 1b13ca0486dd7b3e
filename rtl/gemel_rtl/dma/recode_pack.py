"""Makes words of converted elements, and of their scales."""

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.noc.queue import Queue

__all__ = ["STEP", "RecodePacker"]

STEP = data.StructLayout(
    {
        "codes": 2 * AXI_DATA_BITS,
        "target": 4,
        "scaled": 1,
        "fp32": 1,
        "scale": 32,
        "ends": 1,
        "short": 1,
        "fault": 1,
    }
)
"""32 codes, each in the low bits of 32; `ends`: the row's last ones, in `short` 16 at most. `scaled`: `scale` is one of
the row's scales, of a byte or `fp32`."""

PACKED = data.StructLayout({"data": AXI_DATA_BITS, "fault": 1})
"""A word of converted elements or of scales; `fault`: its source couldn't be read."""

SCALE_WORDS = 8
"""Words of scales of the longest row: 16,384 elements, 32 for a byte or 128 for four."""
PER_WORD = AXI_DATA_BITS // 8


class RecodePacker(wiring.Component):
    """Gives a row's words, and after them those of its scales; at most one step or one word a cycle.

    Members: `i` (steps), `o` (words), `idle` (no scale is held).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(STEP)), "o": Out(stream.Signature(PACKED)), "idle": Out(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        step = self.i.payload
        codes = [step.codes.word_select(lane, 32) for lane in range(32)]
        m.submodules.scales = scales = Queue(AXI_DATA_BITS, SCALE_WORDS)
        second, draining, held = Signal(), Signal(), Signal(range(SCALE_WORDS + 1))
        m.d.sync += held.eq(held + scales.i.valid - (scales.o.valid & scales.o.ready))
        low = Signal(AXI_DATA_BITS // 2, reset_less=True)
        gathered, place = Signal(AXI_DATA_BITS, reset_less=True), Signal(range(PER_WORD))
        bits = {name: Signal(name=f"is_{name}") for name in ("wide", "half", "byte")}
        for name, width in (("wide", 32), ("half", 16), ("byte", 8)):
            chosen = [fmt.code for fmt in FORMATS.values() if fmt.bits == width]
            m.d.comb += bits[name].eq(Cat(step.target == code for code in chosen).any())
        used, gives, final, full = Signal(), Signal(), Signal(), Signal()
        pushed, after = Signal(AXI_DATA_BITS), Signal(range(PER_WORD + 1))
        narrow = Cat(code[:8] for code in codes)
        m.d.comb += [
            self.idle.eq(~draining),
            # Elements of 32 bits take two words, those of 8 bits half of one.
            final.eq(~bits["wide"] | second | (step.ends & step.short) | step.fault),
            gives.eq(~bits["byte"] | second | step.ends | step.fault),
            # While scales go out, a step is taken that gives nothing yet.
            full.eq((after == PER_WORD) | step.ends),
            used.eq(self.i.valid & Mux(draining, ~gives & ~(step.scaled & full), self.o.ready | ~gives)),
            self.i.ready.eq(used & final),
            self.o.payload.fault.eq(step.fault & ~draining),
            scales.o.ready.eq(draining & self.o.ready),
        ]
        with m.If(draining):
            m.d.comb += [self.o.valid.eq(scales.o.valid), self.o.payload.data.eq(scales.o.payload)]
        with m.Elif(self.i.valid):
            m.d.comb += self.o.valid.eq(gives)
            with m.If(bits["wide"]):
                whole = Cat(codes)
                m.d.comb += self.o.payload.data.eq(Mux(second, whole[AXI_DATA_BITS:], whole[:AXI_DATA_BITS]))
            with m.Elif(bits["half"]):
                m.d.comb += self.o.payload.data.eq(Cat(code[:16] for code in codes))
            with m.Elif(second):
                m.d.comb += self.o.payload.data.eq(Cat(low, narrow))
            with m.Else():
                m.d.comb += self.o.payload.data.eq(narrow)

        m.d.comb += [
            after.eq(place + Mux(step.fp32, 4, 1)),
            pushed.eq(gathered),
            scales.i.valid.eq(used & final & step.scaled & full),
            scales.i.payload.eq(pushed),
        ]
        with m.If(step.fp32):
            m.d.comb += Array(pushed.word_select(i, 32) for i in range(PER_WORD // 4))[place[2:]].eq(step.scale)
        with m.Else():
            m.d.comb += Array(pushed.word_select(i, 8) for i in range(PER_WORD))[place].eq(step.scale)
        with m.If(used):
            m.d.sync += second.eq(Mux(bits["wide"], ~final, ~gives))
            with m.If(~gives):
                m.d.sync += low.eq(narrow)
            with m.If(final & step.scaled):
                m.d.sync += [gathered.eq(pushed), place.eq(Mux(full, 0, after))]
                with m.If(step.ends):
                    m.d.sync += draining.eq(1)
        with m.If(draining & scales.o.valid & self.o.ready & (held == 1)):
            m.d.sync += draining.eq(0)
        return m
