"""The results of the FP32 functions that no polynomial gives: NaN, infinities, zeros, tanh and erf where they are 1."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.functions import Function
from gemel_rtl.numeric.layouts import Fp32

__all__ = ["FunctionSpecial", "Special", "special_bits"]


class Special(data.Struct):
    """A result that is settled by the operand's class: NaN, else (-1)^sign times infinity, 1 or, with neither set, 0.

    The other fields mean nothing where `valid` is low.
    """

    valid: unsigned(1)
    nan: unsigned(1)
    inf: unsigned(1)
    one: unsigned(1)
    sign: unsigned(1)


def special_bits(special: data.View) -> Cat:
    """FP32 bits of a special result."""
    top = special.nan | special.inf
    field = Cat((top | special.one).replicate(7), top)
    return Cat(Const(0, 22), special.nan, field, special.sign & ~special.nan)


class FunctionSpecial(wiring.Component):
    """Whether and which special result `function` has at `i`, as in `gemel_golden.functions`; combinational.

    Members
    -------
    function : In(4), a `gemel_golden.functions.Function`
    i : In(32), FP32
    o : Out(Special)
    """

    function: In(4)
    i: In(Fp32)
    o: Out(Special)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        i, o = self.i, self.o
        exponent, sign = i.exponent, i.sign
        fraction, nan, inf, zero = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            fraction.eq(i.mantissa.any()),
            nan.eq(exponent.all() & fraction),
            inf.eq(exponent.all() & ~fraction),
            zero.eq(~exponent.any() & ~fraction),
            o.valid.eq(nan | inf | zero),
            o.nan.eq(nan),
        ]
        with m.Switch(self.function):
            with m.Case(Function.EXP2, Function.EXP):
                huge = Signal()
                m.d.comb += [
                    huge.eq(exponent >= 127 + 8),
                    o.valid.eq(huge | zero),
                    o.inf.eq(huge & ~sign),
                    o.one.eq(zero),
                ]
            with m.Case(Function.LOG2):
                negative = sign & ~zero
                m.d.comb += [
                    o.valid.eq(nan | inf | zero | sign),
                    o.nan.eq(nan | negative),
                    o.inf.eq(1),
                    o.sign.eq(zero),
                ]
            with m.Case(Function.RECIPROCAL):
                m.d.comb += [o.inf.eq(zero), o.sign.eq(sign)]
            with m.Case(Function.RSQRT):
                negative = sign & ~zero
                m.d.comb += [
                    o.valid.eq(nan | inf | zero | sign),
                    o.nan.eq(nan | negative),
                    o.inf.eq(zero),
                    o.sign.eq(sign),
                ]
            with m.Case(Function.SQRT):
                negative = sign & ~zero
                m.d.comb += [
                    o.valid.eq(nan | inf | zero | sign),
                    o.nan.eq(nan | negative),
                    o.inf.eq(inf),
                    o.sign.eq(sign),
                ]
            with m.Case(Function.SIN):
                m.d.comb += [o.nan.eq(nan | inf), o.sign.eq(sign)]
            with m.Case(Function.COS):
                m.d.comb += [o.nan.eq(nan | inf), o.one.eq(1)]
            with m.Case(Function.TANH):
                large = Signal()
                m.d.comb += [
                    large.eq((exponent >= 127 + 4) | ((exponent == 127 + 3) & i.mantissa[22])),
                    o.valid.eq(large | zero),
                    o.one.eq(large),
                    o.sign.eq(sign),
                ]
            with m.Case(Function.ERF):
                large = Signal()
                m.d.comb += [
                    large.eq(exponent >= 127 + 2),
                    o.valid.eq(large | zero),
                    o.one.eq(large),
                    o.sign.eq(sign),
                ]
        return m
