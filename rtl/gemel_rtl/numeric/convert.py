"""FP32 to any format, nearest even or stochastic, pipelined."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS, Format
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.pipeline import Pipeline

__all__ = ["RANDOM_BITS", "Converter"]

RANDOM_BITS = max(fmt.stochastic_bits for fmt in FORMATS.values())
"""Width of the random number: that of the format that takes most."""

HEAD = data.StructLayout({"fmt": 4, "saturate": 1, "sign": 1, "nan": 1, "inf": 1, "huge": 1})


class Converter(wiring.Component):
    """o = code of i in format `fmt`, as `gemel_golden.rounding.from_fp32`. One number per cycle.

    FP32 passes through, except that a NaN becomes the canonical one. E8M0 is `gemel_golden.rounding.to_e8m0`, rounded
    down, which sets no flag.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    i : In(32), FP32
    fmt : In(4), format code of the result
    stochastic : In(1), round stochastically to a format with `stochastic_bits`, those without being rounded as ever
    random : In(22), with `stochastic`: the `stochastic_bits` random bits of the format, in the low bits, zeros above
    saturate : In(1), clamp what is too large to the largest finite number (E2M1 and the integers always do)
    o_valid : Out(1)
    o : Out(32), the code in the low bits, zeros above; holds while `o_valid` is low
    saturated : Out(1), it was clamped
    invalid : Out(1), NaN went to a format that has none
    overflow : Out(1), a finite number became infinite, or anything too large a NaN of E4M3
    """

    latency = 4

    valid: In(1)
    i: In(Fp32)
    fmt: In(4)
    stochastic: In(1)
    random: In(RANDOM_BITS)
    saturate: In(1)
    o_valid: Out(1)
    o: Out(32)
    saturated: Out(1)
    invalid: Out(1)
    overflow: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)

        # 1: how far the significand moves to have the result's last bit at the units.
        normal, top, fraction = Signal(), Signal(), Signal()
        exponent = Signal(8)
        m.d.comb += [
            normal.eq(self.i.exponent.any()),
            top.eq(self.i.exponent.all()),
            fraction.eq(self.i.mantissa.any()),
            exponent.eq(Cat(self.i.exponent[0] | ~normal, self.i.exponent[1:])),
        ]
        above = Signal(signed(10))
        steps = Signal(8)
        shift = Signal(range(1 << 9))
        whole = Signal()
        draws = Signal()
        drawn = Signal(RANDOM_BITS)
        with m.Switch(self.fmt):
            for fmt in FORMATS.values():
                with m.Case(fmt.code):
                    if fmt.stochastic_bits:
                        m.d.comb += [
                            draws.eq(self.stochastic),
                            drawn.eq(Cat(Const(0, RANDOM_BITS - fmt.stochastic_bits), self.random)),
                        ]
                    if fmt.is_int:
                        m.d.comb += [whole.eq(1), above.eq(exponent - (127 + 31)), shift.eq(Mux(above > 0, 0, -above))]
                    elif fmt.kind == "scale":
                        # The exponent field alone, that of Inf and NaN being the code of NaN.
                        usable = ~self.i.sign & (normal | fraction)
                        m.d.comb += [steps.eq(Mux(usable, self.i.exponent, fmt.nan or 0)), shift.eq(63)]
                    else:
                        m.d.comb += [
                            above.eq(exponent - (127 + fmt.emin)),
                            shift.eq(32 - fmt.p + Mux(above < 0, -above, 0)),
                            steps.eq(Mux(above < 0, 0, above)),
                        ]
        pipe.next()
        sig = pipe.register(Cat(self.i.mantissa, normal), name="sig")
        distance = pipe.register(Mux(shift > 63, 63, shift)[:6], name="shift")
        steps = pipe.register(steps, name="steps")
        with m.If(draws):
            random = pipe.register(drawn, name="random")
        draws = pipe.register(draws, name="draws")
        fields = {
            "fmt": self.fmt,
            "saturate": self.saturate,
            "sign": self.i.sign,
            "nan": top & fraction,
            "inf": top & ~fraction,
            "huge": whole & (above > 0),
        }
        head = pipe.struct(HEAD, fields, name="head")

        # 2: move it. Whatever leaves the 64 bits lies too far below to count.
        moved = Signal(64)
        carry = Signal(RANDOM_BITS + 1)
        m.d.comb += [
            moved.eq(Cat(Const(0, 40), sig) >> distance),
            carry.eq(moved[32 - RANDOM_BITS : 32] + random),
        ]
        pipe.next()
        kept = pipe.register(moved[32:], name="kept")
        up = pipe.register(Mux(draws, carry[-1], moved[31] & (moved[:31].any() | moved[32])), name="up")
        steps = pipe.register(steps, name="steps")
        head = pipe.carry(head, name="head")

        # 3: round. A carry out of the significand steps the exponent field by itself.
        base = Signal(31)
        with m.Switch(head.fmt):
            for fmt in FORMATS.values():
                if not fmt.is_int:
                    with m.Case(fmt.code):
                        m.d.comb += base.eq(Cat(Const(0, fmt.mantissa_bits), steps))
        magnitude = Signal(33)
        m.d.comb += magnitude.eq(kept + base + up)
        pipe.next()
        magnitude = pipe.register(magnitude, name="magnitude")
        head = pipe.carry(head, name="head")

        # 4: limits and specials.
        over, code = Signal(), Signal(32)
        saturated, invalid, overflow = Signal(), Signal(), Signal()
        with m.Switch(head.fmt):
            for fmt in FORMATS.values():
                with m.Case(fmt.code):
                    if fmt.kind == "scale":
                        m.d.comb += code.eq(magnitude[: fmt.bits])
                    elif fmt.is_int:
                        self._integer(m, fmt, head, magnitude, over, code)
                        m.d.comb += [saturated.eq(over & ~head.nan), invalid.eq(head.nan)]
                    else:
                        clamp = self._float(m, fmt, head, magnitude, over, code)
                        m.d.comb += [
                            saturated.eq(over & clamp & ~head.nan),
                            invalid.eq(head.nan if fmt.nan is None else 0),
                            overflow.eq(over & ~clamp & ~head.nan & ~(head.inf & int(fmt.has_inf))),
                        ]
        pipe.next()
        m.d.comb += [
            self.o.eq(pipe.register(code, name="code")),
            self.saturated.eq(pipe.register(saturated, name="saturated")),
            self.invalid.eq(pipe.register(invalid, name="invalid")),
            self.overflow.eq(pipe.register(overflow, name="overflow")),
            self.o_valid.eq(pipe.valid),
        ]
        return m

    def _integer(self, m: Module, fmt: Format, head: data.View, magnitude: Signal, over: Signal, code: Signal) -> None:
        limit = Mux(head.sign, -fmt.min_int, fmt.max_int)
        bound = Mux(head.sign, Const(fmt.min_int, 33), Const(fmt.max_int, 33))
        value = Mux(over, bound, Mux(head.sign, -magnitude, magnitude))
        m.d.comb += [
            over.eq(head.huge | head.inf | (magnitude > limit)),
            code.eq(Mux(head.nan, 0, value)[: fmt.bits]),
        ]

    def _float(self, m: Module, fmt: Format, head: data.View, magnitude: Signal, over: Signal, code: Signal) -> Value:
        """Fills `over` and `code`; returns whether this format clamps."""
        if fmt.name == "fp32":
            clamp = Const(0)
        elif fmt.nan is None:
            clamp = Const(1)
        else:
            clamp = head.saturate
        beyond = Cat(Const(fmt.largest + 1, fmt.bits - 1), head.sign) if fmt.has_inf else Const(fmt.nan or 0)
        most = Mux(clamp, Cat(Const(fmt.largest, fmt.bits - 1), head.sign), beyond)
        nan = Const(fmt.largest if fmt.nan is None else fmt.nan, fmt.bits)
        m.d.comb += [
            over.eq(head.inf | (magnitude > fmt.largest)),
            code.eq(Mux(head.nan, nan, Mux(over, most, Cat(magnitude[: fmt.bits - 1], head.sign)))),
        ]
        return clamp
