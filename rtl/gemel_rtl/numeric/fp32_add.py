"""FP32 addition, pipelined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import normalise, shift_right_sticky
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN, round_fp32

__all__ = ["Fp32Adder"]


class Fp32Adder(wiring.Component):
    """o = a + b, as `gemel_golden.fp32.add`: IEEE nearest even with subnormals, canonical NaN. One sum per cycle.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    a, b : In(32), FP32
    o_valid : Out(1)
    o : Out(32), FP32; holds while `o_valid` is low
    invalid : Out(1), `o` is NaN
    overflow : Out(1), finite operands gave an infinite sum
    """

    latency = 4

    valid: In(1)
    a: In(Fp32)
    b: In(Fp32)
    o_valid: Out(1)
    o: Out(32)
    invalid: Out(1)
    overflow: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)

        # 1: order by magnitude.
        a, b = self.a, self.b
        a_bits, b_bits = a.as_value(), b.as_value()
        swap = Signal()
        big, small = Signal(Fp32), Signal(Fp32)
        normal, small_normal = Signal(), Signal()
        distance = Signal(8)
        special, nan = Signal(), Signal()
        opposite = Signal()
        with m.If(self.valid):
            m.d.comb += [
                swap.eq(b_bits[:31] > a_bits[:31]),
                big.eq(Mux(swap, b_bits, a_bits)),
                small.eq(Mux(swap, a_bits, b_bits)),
                normal.eq(big.exponent.any()),
                small_normal.eq(small.exponent.any()),
                distance.eq((big.exponent | ~normal) - (small.exponent | ~small_normal)),
                opposite.eq(a.sign ^ b.sign),
                special.eq(big.exponent.all()),
                nan.eq(special & (big.mantissa.any() | (small.exponent.all() & opposite))),
            ]
        pipe.next()
        big_sig = pipe.register(Cat(big.mantissa, normal), name="big_sig")
        small_sig = pipe.register(Cat(small.mantissa, small_normal), name="small_sig")
        distance = pipe.register(Mux(distance > 31, 31, distance)[:5], name="distance")
        exponent = pipe.register(Cat(big.exponent[0] | ~normal, big.exponent[1:]), name="exponent")
        head = data.StructLayout({"sign": 1, "opposite": 1, "special": 1, "nan": 1})
        flags = pipe.struct(head, {"sign": big.sign, "opposite": opposite, "special": special, "nan": nan}, name="head")

        # 2: align the smaller, add or subtract; three bits below the significand are enough.
        aligned = Signal(27)
        total = Signal(28)
        with m.If(pipe.valid):
            m.d.comb += [
                aligned.eq(shift_right_sticky(m, Cat(Const(0, 3), small_sig), distance, name="align")),
                total.eq(Cat(Const(0, 3), big_sig) + (aligned ^ flags.opposite.replicate(28)) + flags.opposite),
            ]
        pipe.next()
        total = pipe.register(total, name="total")
        exponent = pipe.register(exponent, name="exponent")
        flags = pipe.carry(flags, name="head")

        # 3: normalise.
        nonzero = Signal()
        with m.If(pipe.valid):
            normalised, places = normalise(m, total, name="normalise")
            m.d.comb += nonzero.eq(normalised[27])
        pipe.next()
        sig = pipe.register(Cat(normalised[:3].any(), normalised[3:]), name="sig")
        exponent = pipe.register((exponent + 1 - places).as_signed(), name="exponent", shape=signed(11))
        sign = pipe.register(flags.sign & (nonzero | ~flags.opposite | flags.special), name="sign")
        flags = pipe.carry(flags, name="head")

        # 4: round.
        with m.If(pipe.valid):
            rounded, overflow = round_fp32(m, sign, exponent, sig)
        infinity = Cat(Const(0xFF << 23, 31), flags.sign)
        result = Mux(flags.nan, CANONICAL_NAN, Mux(flags.special, infinity, rounded))
        pipe.next()
        m.d.comb += [
            self.o.eq(pipe.register(result, name="result")),
            self.invalid.eq(pipe.register(flags.nan, name="result_nan")),
            self.overflow.eq(pipe.register(overflow & ~flags.special, name="result_overflow")),
            self.o_valid.eq(pipe.valid),
        ]
        return m
