"""The FP32 functions exp2, exp, log2, reciprocal, rsqrt, sqrt, sin, cos, tanh and erf on one pipeline."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_golden.function_tables import (
    C0_BITS,
    C1_BITS,
    C2_BITS,
    OFFSET_BITS,
    ROWS,
    SQUARED_BITS,
    Page,
)
from gemel_golden.functions import ARGUMENT_BITS, LOG2_E, Function
from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.function_special import FunctionSpecial, Special, special_bits
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import RoundFp32

__all__ = ["FunctionUnit"]

CONSTANT_BITS = 36
"""Fraction bits of log2(e)."""

FIXED_BITS = ARGUMENT_BITS + 9
"""Bits of a fixed-point operand: nine before the 27 of u, as exponents below 2^8 times log2(e) need."""

FACTOR_BITS = 28
FACTOR_ONE = 1 << 27
PRODUCT_BITS = 55
"""Fraction bits of factor times polynomial."""

TOTAL_BITS = PRODUCT_BITS + 8
HALF = FACTOR_BITS // 2


class Row(data.Struct):
    """A row of the tables."""

    c0: unsigned(C0_BITS)
    c1: signed(C1_BITS)
    c2: signed(C2_BITS)


class Plan(data.Struct):
    """What a function does with its polynomial: (-1)^negative * 2^(scale - 55) * |addend * 2^55 +- factor * P|.

    zero_sign is the sign of a result that is exactly 0.
    """

    factor: unsigned(FACTOR_BITS)
    addend: unsigned(8)
    subtract: unsigned(1)
    scale: signed(11)
    negative: unsigned(1)
    zero_sign: unsigned(1)
    special: Special


class FunctionUnit(wiring.Component):
    """o = function(i), as `gemel_golden.functions.evaluate`. One result per cycle, of any function.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    function : In(4), a `gemel_golden.functions.Function`; other codes give a number without meaning
    i : In(32), FP32
    o_valid : Out(1)
    o : Out(32), FP32; holds while `o_valid` is low
    """

    latency = 9

    valid: In(1)
    function: In(4)
    i: In(Fp32)
    o_valid: Out(1)
    o: Out(32)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)

        # 1: normalise the significand, or multiply it by log2(e); the special results.
        function, i = Signal(4), Signal(Fp32)
        with m.If(self.valid):
            m.d.comb += [function.eq(self.function), i.eq(self.i)]
        m.submodules.special = special = FunctionSpecial()
        m.d.comb += [special.function.eq(function), special.i.eq(i)]
        normal, raw = Signal(), Signal(24)
        m.d.comb += [normal.eq(i.exponent.any()), raw.eq(Cat(i.mantissa, normal))]
        significand, places = normalise(m, raw, name="operand")
        product = Signal(24 + CONSTANT_BITS + 1)
        m.d.comb += product.eq(Mux(function == Function.EXP, raw * LOG2_E, Cat(Const(0, CONSTANT_BITS), raw)))
        pipe.next()
        product = pipe.register(product, name="product")
        shift = pipe.register(_shift(m, function, i.exponent), name="shift")
        mantissa = pipe.register(significand[:23], name="mantissa")
        exponent = pipe.register((i.exponent - 126 - normal - places).as_signed(), name="exponent", shape=signed(9))
        function = pipe.register(function, name="function")
        sign = pipe.register(i.sign, name="sign")
        special = pipe.carry(special.o, name="special")

        # 2: the operand in fixed point, for functions that want it; the plan of the others.
        fixed = Signal(FIXED_BITS)
        m.d.comb += fixed.eq(product >> shift)
        plan = data.View(Plan, Signal(Shape.cast(Plan), name="plan"))
        page = Signal(range(len(Page)))
        m.d.comb += plan.special.eq(special)
        self._plan(m, function, mantissa, exponent, sign, plan, page)
        pipe.next()
        fixed = pipe.register(fixed, name="fixed")
        floating = pipe.register(exponent < -3, name="floating")
        high = pipe.register(exponent > 1, name="high")
        mantissa = pipe.register(mantissa, name="mantissa")
        page = pipe.register(page, name="page")
        function = pipe.register(function, name="function")
        sign = pipe.register(sign, name="sign")
        plan = pipe.carry(plan, name="plan")

        # 3: the polynomial's argument; its row is read, the offset squared.
        u = Signal(ARGUMENT_BITS)
        done = data.View(Plan, Signal(Shape.cast(Plan), name="done"))
        m.d.comb += [u.eq(Cat(Const(0, ARGUMENT_BITS - 23), mantissa)), done.eq(plan)]
        self._argue(m, function, fixed, sign, floating, high, u, done)
        m.submodules.rows = rows = Memory(shape=Shape.cast(Row), depth=len(ROWS), init=ROWS.tolist())
        read = rows.read_port()
        m.d.comb += [read.en.eq(pipe.valid), read.addr.eq(Cat(u[OFFSET_BITS:], page))]
        square = Signal(2 * SQUARED_BITS)
        short = u[OFFSET_BITS - SQUARED_BITS : OFFSET_BITS]
        m.d.comb += square.eq(short * short)
        pipe.next()
        row = data.View(Row, read.data)
        offset = pipe.register(u[:OFFSET_BITS], name="offset")
        square = pipe.register(square[SQUARED_BITS:], name="square")
        plan = pipe.carry(done, name="plan")

        # 4: the polynomial's products.
        pipe.next()
        zeroth = pipe.register(row.c0, name="zeroth")
        first = pipe.register(row.c1 * offset, name="first")
        second = pipe.register(row.c2 * square, name="second")
        plan = pipe.carry(plan, name="plan")

        # 5: the polynomial, in units of 2^-48, rounded to 2^-28; it lies in [0, 1].
        curve = Signal(C0_BITS + 1 + OFFSET_BITS)
        half = Const(1 << (OFFSET_BITS - 1), OFFSET_BITS)
        m.d.comb += curve.eq((Cat(half, zeroth) + first) + (second << 6))
        pipe.next()
        value = pipe.register(curve[OFFSET_BITS:], name="value")
        plan = pipe.carry(plan, name="plan")

        # 6: two partial products with the factor.
        pipe.next()
        low = pipe.register(value * plan.factor[:HALF], name="low")
        top = pipe.register(value * plan.factor[HALF:], name="top")
        plan = pipe.carry(plan, name="plan")

        # 7: their sum, added to the addend or subtracted; the 1 of -x = ~x + 1 takes an empty place of the addend.
        product = Signal(FACTOR_BITS + C0_BITS + 1)
        addend, term, total = Signal(TOTAL_BITS), Signal(TOTAL_BITS), Signal(TOTAL_BITS)
        m.d.comb += [
            product.eq(low + Cat(Const(0, HALF), top)),
            addend.eq(Cat(plan.subtract, Const(0, PRODUCT_BITS - 1), plan.addend)),
            term.eq(product ^ plan.subtract.replicate(TOTAL_BITS)),
            total.eq(addend + term),
        ]
        pipe.next()
        total = pipe.register(total, name="total")
        plan = pipe.carry(plan, name="plan")

        # 8: normalise.
        normalised, places = normalise(m, total, name="normalise")
        cut = TOTAL_BITS - 25
        pipe.next()
        sig = pipe.register(Cat(normalised[:cut].any(), normalised[cut:]), name="sig")
        biased = plan.scale + (127 + TOTAL_BITS - 1 - PRODUCT_BITS) - places
        exponent = pipe.register(biased.as_signed(), name="exponent", shape=signed(11))
        negative = pipe.register(Mux(normalised[-1], plan.negative, plan.zero_sign), name="negative")
        special = pipe.carry(plan.special, name="special")

        # 9: round.
        m.submodules.round = rounder = RoundFp32()
        m.d.comb += [rounder.sign.eq(negative), rounder.exponent.eq(exponent), rounder.sig.eq(sig)]
        pipe.next()
        result = pipe.register(Mux(special.valid, special_bits(special), rounder.o), name="result")
        m.d.comb += [self.o.eq(result), self.o_valid.eq(pipe.valid)]
        return m

    def _plan(self, m: Module, function, mantissa, exponent, sign, plan, page) -> None:
        """The page, and the plan as far as the operand's exponent and significand give it."""
        upper = mantissa[22]
        whole = Signal(signed(9))
        size = Signal(8)
        rest = Signal(23)
        root = exponent >> 1
        m.d.comb += [
            whole.eq(exponent + upper),
            size.eq(Mux(whole < 0, -whole, whole)),
            rest.eq(-mantissa),
            plan.factor.eq(FACTOR_ONE),
        ]
        scaled = Cat(Const(0, FACTOR_BITS - 24), mantissa, Const(1, 1))
        with m.Switch(function):
            with m.Case(Function.EXP2, Function.EXP):
                m.d.comb += page.eq(Page.EXP2)
            with m.Case(Function.LOG2):
                m.d.comb += [
                    page.eq(Page.LOG2),
                    plan.factor.eq(Mux(upper, Cat(Const(0, 4), rest), Cat(Const(0, 5), mantissa))),
                    plan.addend.eq(size),
                    plan.negative.eq(Mux(size.any(), whole < 0, upper)),
                    plan.subtract.eq(size.any() & ((whole < 0) ^ upper)),
                ]
            with m.Case(Function.RECIPROCAL):
                m.d.comb += [page.eq(Page.RECIPROCAL), plan.scale.eq(-exponent), plan.negative.eq(sign)]
            with m.Case(Function.RSQRT):
                m.d.comb += [page.eq(Mux(exponent[0], Page.RSQRT_ODD, Page.RSQRT_EVEN)), plan.scale.eq(-root)]
            with m.Case(Function.SQRT):
                m.d.comb += [
                    page.eq(Mux(exponent[0], Page.RSQRT_ODD, Page.RSQRT_EVEN)),
                    plan.factor.eq(scaled),
                    plan.scale.eq(root + exponent[0]),
                ]
            with m.Case(Function.SIN):
                m.d.comb += [page.eq(Page.SINE), plan.factor.eq(scaled), plan.zero_sign.eq(sign)]
                with m.If(exponent < -3):
                    m.d.comb += plan.scale.eq(exponent + 3)
            with m.Case(Function.COS):
                m.d.comb += page.eq(Page.SINE)
            with m.Case(Function.ERF):
                m.d.comb += [page.eq(Mux(exponent < 1, Page.ERF_MIDDLE, Page.ERF_HIGH)), plan.negative.eq(sign)]
                with m.If(exponent < 0):
                    m.d.comb += [page.eq(Page.ERF_LOW), plan.factor.eq(scaled), plan.scale.eq(exponent + 1)]
            with m.Case(Function.TANH):
                m.d.comb += [page.eq(Mux(exponent > 1, Page.TANH_HIGH, Page.TANH_MIDDLE)), plan.negative.eq(sign)]
                with m.If(exponent < 1):
                    m.d.comb += [page.eq(Page.TANH_LOW), plan.factor.eq(scaled), plan.scale.eq(exponent)]

    def _argue(self, m: Module, function, fixed, sign, floating, high, u, plan) -> None:
        """The polynomial's argument and the rest of the plan, where a fixed-point operand gives them."""
        power = Signal(FIXED_BITS)
        octant = Signal(3)
        mirrored, cosine = octant[0], octant[0] ^ octant[1]
        within, near = Signal(27), Signal(27)
        with m.Switch(function):
            with m.Case(Function.EXP2, Function.EXP):
                m.d.comb += [
                    power.eq(fixed ^ sign.replicate(FIXED_BITS)),
                    u.eq(power),
                    plan.scale.eq(Cat(power[ARGUMENT_BITS:], sign).as_signed() + 1),
                ]
            with m.Case(Function.SIN, Function.COS):
                m.d.comb += [
                    octant.eq(fixed[27:30] + Cat(Const(0, 1), function == Function.COS)),
                    within.eq(fixed),
                    near.eq(within ^ mirrored.replicate(27)),
                    u.eq(Cat(near[1:], cosine)),
                    plan.addend.eq(cosine),
                    plan.subtract.eq(cosine),
                    plan.negative.eq(octant[2] ^ plan.zero_sign),
                ]
                with m.If(~floating | (function == Function.COS)):
                    m.d.comb += plan.factor.eq(near + mirrored)
            with m.Case(Function.TANH, Function.ERF):
                m.d.comb += u.eq(Mux(high, Cat(fixed[2:28], fixed[29]), fixed))


def _shift(m: Module, function: Signal, exponent: Signal) -> Signal:
    """How far the product of stage 1 is shifted right to have u's 27 fraction bits in place, clamped to 0 .. 63."""
    reach = Signal(range(-128, 256))
    offset = Signal(8)
    shift = Signal(6)
    with m.Switch(function):
        with m.Case(Function.SIN, Function.COS):
            m.d.comb += offset.eq(127 + 29)
        with m.Case(Function.TANH):
            m.d.comb += offset.eq(127 + 33)
        with m.Case(Function.ERF):
            m.d.comb += offset.eq(Mux(exponent[7], 127 + 33, 127 + 32))
        with m.Default():
            m.d.comb += offset.eq(127 + 32)
    m.d.comb += [
        reach.eq(offset - exponent),
        shift.eq(Mux(reach < 0, 0, Mux(reach > 63, 63, reach))),
    ]
    return shift
