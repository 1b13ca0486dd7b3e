"""One lane of the drain: accumulator times scale plus bias, ReLU, conversion to the result's format."""

from amaranth.hdl import Cat, Const, Elaboratable, EnableInserter, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.convert import RANDOM_BITS, Converter
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.numeric.fp32_mul import Fp32Multiplier
from gemel_rtl.numeric.int_to_fp32 import IntToFp32
from gemel_rtl.numeric.pipeline import Pipeline

__all__ = ["EpilogueLane"]

ONE = 0x3F800000
MINUS_ZERO = 0x80000000

Order = data.StructLayout(
    {
        **dict.fromkeys(("integer", "scale_en", "bias_en", "relu", "saturate", "stochastic"), 1),
        "fmt": 4,
        "random": RANDOM_BITS,
        "scale": 32,
        "bias": 32,
    }
)


class EpilogueLane(wiring.Component):
    """o = convert(relu(acc * scale + bias)), as `gemel_golden.epilogue.epilogue`. One accumulator per cycle.

    An integer accumulator becomes FP32 first. Without scale, bias and ReLU an integer going to INT32 and an FP32 number
    going to FP32 pass bit by bit.

    Attributes
    ----------
    latency : cycles with `advance` from `valid` to `o_valid`

    Members
    -------
    advance : In(1), the whole lane stands still in cycles without it
    valid : In(1)
    acc : In(32), FP32, or INT32 if `integer`
    integer, scale_en, bias_en, relu, saturate, stochastic : In(1), what is to be done
    random : In(22), the random bits of stochastic rounding, as `Converter`'s
    scale, bias : In(32), FP32
    fmt : In(4), format code of the result
    o_valid : Out(1)
    o : Out(32), the code in the low bits, zeros above
    saturated, invalid, overflow : Out(1), what happened to this result, meaningful with `o_valid`
    """

    latency = IntToFp32.latency + Fp32Multiplier.latency + Fp32Adder.latency + Converter.latency

    advance: In(1)
    valid: In(1)
    acc: In(32)
    integer: In(1)
    scale: In(32)
    scale_en: In(1)
    bias: In(32)
    bias_en: In(1)
    relu: In(1)
    fmt: In(4)
    saturate: In(1)
    stochastic: In(1)
    random: In(RANDOM_BITS)
    o_valid: Out(1)
    o: Out(32)
    saturated: Out(1)
    invalid: Out(1)
    overflow: Out(1)

    def elaborate(self, platform: object) -> Elaboratable:
        m = Module()
        m.submodules.int_to_fp32 = integer = IntToFp32()
        m.submodules.multiplier = multiplier = Fp32Multiplier()
        m.submodules.adder = adder = Fp32Adder()
        m.submodules.converter = converter = Converter()
        pipe = Pipeline(m, self.valid)

        def carry(stages: int, acc: Signal, order: data.View, flags: data.View) -> tuple[Signal, data.View, data.View]:
            for _ in range(stages):
                pipe.next()
                acc = pipe.register(acc, name="acc")
                order, flags = pipe.carry(order, name="order"), pipe.carry(flags, name="flags")
            return acc, order, flags

        order = data.View(Order, Cat(getattr(self, name) for name, _ in Order))
        flags = data.View(Flags, Const(0, 2))
        m.d.comb += [integer.valid.eq(self.valid), integer.i.eq(self.acc)]
        acc, order, flags = carry(integer.latency, self.acc, order, flags)

        # What isn't wanted is done with its neutral element: x * 1 and x + (-0) are x.
        m.d.comb += [
            multiplier.valid.eq(pipe.valid),
            multiplier.a.eq(Mux(order.integer, integer.o, acc)),
            multiplier.b.eq(Mux(order.scale_en, order.scale, ONE)),
        ]
        acc, order, flags = carry(multiplier.latency, acc, order, flags)
        flags = self._merge(multiplier, order.scale_en, flags)
        m.d.comb += [
            adder.valid.eq(pipe.valid),
            adder.a.eq(multiplier.o),
            adder.b.eq(Mux(order.bias_en, order.bias, MINUS_ZERO)),
        ]
        acc, order, flags = carry(adder.latency, acc, order, flags)
        flags = self._merge(adder, order.bias_en, flags)
        m.d.comb += [
            converter.valid.eq(pipe.valid),
            converter.i.eq(Mux(order.relu & adder.o[31], 0, adder.o)),
            converter.fmt.eq(order.fmt),
            converter.saturate.eq(order.saturate),
            converter.stochastic.eq(order.stochastic),
            converter.random.eq(order.random),
        ]
        acc, order, flags = carry(converter.latency, acc, order, flags)
        same = Mux(order.integer, FORMATS["int32"].code, FORMATS["fp32"].code)
        raw = ~order.scale_en & ~order.bias_en & ~order.relu & (order.fmt == same)
        m.d.comb += [
            self.o_valid.eq(pipe.valid),
            self.o.eq(Mux(raw, acc, converter.o)),
            self.saturated.eq(converter.saturated & ~raw),
            self.invalid.eq(flags.invalid | (converter.invalid & ~raw)),
            self.overflow.eq(flags.overflow | (converter.overflow & ~raw)),
        ]
        return EnableInserter(self.advance)(m)

    @staticmethod
    def _merge(step: Fp32Multiplier | Fp32Adder, enabled: Signal, flags: data.View) -> data.View:
        """`flags` and those of `step`, if it was wanted."""
        invalid, overflow = step.invalid & enabled, step.overflow & enabled
        return data.View(Flags, Cat(flags.invalid | invalid, flags.overflow | overflow))


Flags = data.StructLayout({"invalid": 1, "overflow": 1})
