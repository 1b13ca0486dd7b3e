"""A code of any format to FP32, combinational."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS, Format
from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.layouts import SIG_EVEN
from gemel_rtl.numeric.round import CANONICAL_NAN

__all__ = ["Widener"]

INT_FIELD = 127 + 7
"""Exponent field of an integer's bit 7."""


class Widener(wiring.Component):
    """o = FP32 bits of the code `i` of format `fmt`, as `gemel_golden.widen.widen`; combinational, 0 unless enabled.

    Members
    -------
    enable : In(1), `o` is used in this cycle; while low nothing switches, and a simulator skips the work
    i : In(32), the code in the low bits; those above it are ignored
    fmt : In(4), format code
    o : Out(32), FP32 bits; INT32 and FP32 pass as they are
    """

    enable: In(1)
    i: In(32)
    fmt: In(4)
    o: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A number that isn't passed on has this sign, significand (its highest place at `field`) and specials.
        sign, passes, nan, inf = Signal(), Signal(), Signal(), Signal()
        raw = Signal(32)
        sig, field = Signal(SIG_EVEN), Signal(8)
        with m.If(self.enable):
            with m.Switch(self.fmt):
                for fmt in FORMATS.values():
                    with m.Case(fmt.code):
                        if fmt.bits == 32:
                            m.d.comb += [passes.eq(1), raw.eq(self.i)]
                        elif fmt.is_int:
                            self._integer(m, fmt, sign, sig, field)
                        elif fmt.kind == "scale":
                            # 2^-127 is the one power of two that is subnormal.
                            code = self.i[: fmt.bits]
                            m.d.comb += [passes.eq(1), nan.eq(code.all()), raw.eq(Cat(Const(0, 22), ~code.any(), code))]
                        else:
                            self._float(m, fmt, sign, sig, field, nan, inf)
                            if fmt.exponent_bits == 8:
                                m.d.comb += [passes.eq(1), raw.eq(Cat(Const(0, 32 - fmt.bits), self.i[: fmt.bits]))]
            normalised, places = normalise(m, sig, name="normalise")
            number = Cat(Const(0, 23 - (SIG_EVEN - 1)), normalised[:-1], Mux(sig.any(), field - places, 0)[:8], sign)
            with m.If(nan):
                m.d.comb += self.o.eq(CANONICAL_NAN)
            with m.Elif(inf):
                m.d.comb += self.o.eq(Cat(Const(0xFF << 23, 31), sign))
            with m.Else():
                m.d.comb += self.o.eq(Mux(passes, raw, number))
        return m

    def _integer(self, m: Module, fmt: Format, sign: Signal, sig: Signal, field: Signal) -> None:
        code = self.i[: fmt.bits]
        magnitude = Signal(8, name=f"magnitude_{fmt}")
        negative = code[-1] if fmt.signed else Const(0, 1)
        m.d.comb += [
            magnitude.eq(Mux(negative, -code, code)[: fmt.bits]),
            sign.eq(negative),
            sig.eq(Cat(Const(0, SIG_EVEN - 8), magnitude)),
            field.eq(INT_FIELD),
        ]

    def _float(
        self, m: Module, fmt: Format, sign: Signal, sig: Signal, field: Signal, nan: Signal, inf: Signal
    ) -> None:
        mantissa = self.i[: fmt.mantissa_bits]
        exponent = self.i[fmt.mantissa_bits : fmt.bits - 1]
        magnitude = self.i[: fmt.bits - 1]
        normal = exponent.any()
        m.d.comb += [
            sign.eq(self.i[fmt.bits - 1]),
            sig.eq(Cat(Const(0, SIG_EVEN - fmt.p), mantissa, normal)),
            field.eq((exponent | ~normal) + (127 - fmt.bias)),
            nan.eq(magnitude > fmt.largest + fmt.has_inf if fmt.has_nan else 0),
            inf.eq(magnitude == fmt.largest + 1 if fmt.has_inf else 0),
        ]
