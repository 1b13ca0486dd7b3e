"""INT32 to FP32, pipelined."""

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import RoundFp32

__all__ = ["IntToFp32"]


class IntToFp32(wiring.Component):
    """o = i as FP32, nearest even, as `gemel_golden.fp32.int32_to_fp32`. One number per cycle.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    i : In(32), INT32
    o_valid : Out(1)
    o : Out(32), FP32; holds while `o_valid` is low
    """

    latency = 3

    valid: In(1)
    i: In(32)
    o_valid: Out(1)
    o: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)
        negative = self.i[31]
        pipe.next()
        magnitude = pipe.register(Mux(negative, -self.i, self.i)[:32], name="magnitude")
        sign = pipe.register(negative, name="sign")

        normalised, places = normalise(m, magnitude, name="normalise")
        pipe.next()
        sig = pipe.register(Cat(normalised[:7].any(), normalised[7:]), name="sig")
        exponent = pipe.register((127 + 31) - places, name="exponent", shape=8)
        sign = pipe.register(sign, name="sign")

        m.submodules.round = rounder = RoundFp32()
        m.d.comb += [rounder.sign.eq(sign), rounder.exponent.eq(exponent), rounder.sig.eq(sig)]
        pipe.next()
        result = pipe.register(rounder.o, name="result")
        m.d.comb += [self.o.eq(result), self.o_valid.eq(pipe.valid)]
        return m
