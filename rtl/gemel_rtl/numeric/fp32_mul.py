"""FP32 multiplication, pipelined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.operand import Operand
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN, round_fp32

__all__ = ["Fp32Multiplier"]

HALF = 12


class Fp32Multiplier(wiring.Component):
    """o = a * b, as `gemel_golden.fp32.mul`: IEEE nearest even with subnormals, canonical NaN. One product per cycle.

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
    overflow : Out(1), finite operands gave an infinite product
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

        # 1: two partial products, sum of the exponents.
        a, b = (Operand(m, operand, name) for operand, name in ((self.a, "a"), (self.b, "b")))
        nan = a.nan | b.nan | (a.inf & b.zero) | (b.inf & a.zero)
        pipe.next()
        low = pipe.register(a.sig * b.sig[:HALF], name="low")
        high = pipe.register(a.sig * b.sig[HALF:], name="high")
        exponent = pipe.register(a.exponent + b.exponent, name="exponent")
        head = data.StructLayout({"sign": 1, "inf": 1, "nan": 1})
        flags = pipe.struct(head, {"sign": a.sign ^ b.sign, "inf": a.inf | b.inf, "nan": nan}, name="head")

        # 2: the product.
        product = Signal(48)
        with m.If(pipe.valid):
            m.d.comb += product.eq(low + Cat(Const(0, HALF), high))
        pipe.next()
        product = pipe.register(product, name="product")
        exponent = pipe.register(exponent, name="exponent")
        flags = pipe.carry(flags, name="head")

        # 3: normalise. Bit 47 of the product weighs 2^(exponent - 2 * 127 + 1).
        with m.If(pipe.valid):
            normalised, places = normalise(m, product, name="normalise")
        pipe.next()
        sig = pipe.register(Cat(normalised[:23].any(), normalised[23:]), name="sig")
        exponent = pipe.register((exponent - places - 126).as_signed(), name="exponent", shape=signed(11))
        flags = pipe.carry(flags, name="head")

        # 4: round.
        with m.If(pipe.valid):
            rounded, overflow = round_fp32(m, flags.sign, exponent, sig)
        infinity = Cat(Const(0xFF << 23, 31), flags.sign)
        pipe.next()
        m.d.comb += [
            self.o.eq(pipe.register(Mux(flags.nan, CANONICAL_NAN, Mux(flags.inf, infinity, rounded)), name="result")),
            self.invalid.eq(pipe.register(flags.nan, name="result_nan")),
            self.overflow.eq(pipe.register(overflow & ~flags.inf & ~flags.nan, name="result_overflow")),
            self.o_valid.eq(pipe.valid),
        ]
        return m
