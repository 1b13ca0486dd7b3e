"""FP32 fused multiply-add, pipelined, with the two other uses of its multiplier and its rounder."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.operand import Operand
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN, round_fp32

__all__ = ["Fp32Fma"]

HALF = 12
INT_EXPONENT = 127 + 31

# What a stage holds beside its wide words, in one register, for the sake of simulators.
Head = data.StructLayout({"exponent": signed(11), "sign": 1, "opposite": 1, "special": 1, "nan": 1})
Order = data.StructLayout({**Head.members, "addend": 24, "distance": 6, "swap": 1})
Exact = data.StructLayout({"sig": 26, "exponent": signed(11), "sign": 1, "special": 1, "nan": 1})
Result = data.StructLayout({"o": 32, "invalid": 1, "overflow": 1})


class Fp32Fma(wiring.Component):
    """o = a * b + c, as `gemel_golden.fp32.fma`: rounded once, IEEE nearest even with subnormals, canonical NaN. One
    per cycle.

    a * 1 + c is IEEE addition and a * b + (-0) IEEE multiplication, signs of zeros included.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`
    product_latency : cycles from `valid` to `product`

    Members
    -------
    valid : In(1)
    a, b, c : In(32), FP32
    integer : In(1), `a` is INT32 and `o` its FP32 value, as `gemel_golden.fp32.int32_to_fp32`; `c` must be +0
    raw : In(1), `product` is that of bits 0 to 23 of `a` and `b` as integers; `o` means nothing
    o_valid : Out(1)
    o : Out(32), FP32; holds while `o_valid` is low
    invalid : Out(1), `o` is NaN
    overflow : Out(1), finite operands gave an infinite result
    product : Out(48), see `raw`; holds until the product of the next operands
    """

    latency = 6
    product_latency = 2

    valid: In(1)
    a: In(Fp32)
    b: In(Fp32)
    c: In(Fp32)
    integer: In(1)
    raw: In(1)
    o_valid: Out(1)
    o: Out(32)
    invalid: Out(1)
    overflow: Out(1)
    product: Out(48)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)

        # 1: two partial products; which of product and addend has its highest place above, and by how many places.
        # The higher one's highest place is bit 62 of a word; the product's is that of bit 47 of 48.
        sign, product_nan, product_inf, swap = (Signal(name=name) for name in ("sign", "nan", "inf", "swap"))
        exponent, ahead = Signal(signed(11)), Signal(signed(11))
        distance = Signal(10)
        with m.If(self.valid):
            a, b, c = (Operand(m, getattr(self, name), name) for name in "abc")
            m.d.comb += [
                sign.eq(a.sign ^ (b.sign & ~self.integer)),
                product_nan.eq((a.nan | b.nan | (a.inf & b.zero) | (b.inf & a.zero)) & ~self.integer),
                product_inf.eq((a.inf | b.inf) & ~self.integer),
                exponent.eq(Mux(self.integer, INT_EXPONENT, a.exponent + b.exponent - 126)),
                ahead.eq(exponent - c.exponent),
                # A product of nothing has no place, and must not push the addend out of the word.
                swap.eq((ahead <= 0) | ((a.zero | b.zero) & ~self.integer)),
                distance.eq(Mux(swap, -ahead, ahead)[:10]),
            ]
        a_sig = Cat(a.sig[:23], Mux(self.raw, self.a.as_value()[23], a.sig[23]))
        b_sig = Cat(b.sig[:23], Mux(self.raw, self.b.as_value()[23], b.sig[23]))
        magnitude = Mux(a.sign, -self.a.as_value(), self.a.as_value())[:32]
        opposite = sign ^ c.sign
        head = {
            "exponent": Mux(swap, c.exponent, exponent),
            "sign": Mux((swap | c.inf) & ~product_inf, c.sign, sign),
            "opposite": opposite,
            "special": product_nan | product_inf | c.nan | c.inf,
            "nan": product_nan | c.nan | (product_inf & c.inf & opposite),
        }
        fields = {**head, "addend": c.sig, "distance": Mux(distance > 63, 63, distance), "swap": swap}
        pipe.next()
        low = pipe.register(Mux(self.integer, 0, a_sig * b_sig[:HALF]), name="low")
        high = pipe.register(Mux(self.integer, Cat(Const(0, 16 - HALF), magnitude), a_sig * b_sig[HALF:]), name="high")
        order = pipe.struct(Order, fields, name="order")

        # 2: the product.
        product = Signal(48)
        m.d.comb += product.eq(low + Cat(Const(0, HALF), high))
        pipe.next()
        product, order = pipe.register(product, name="product"), pipe.carry(order, name="order")
        m.d.comb += self.product.eq(product)

        # 3: align the lower one, what leaves the word being ORed into its lowest bit. Bits are lost only where the
        # other one reaches so far above that at most one of its places cancels, or where the result is subnormal and
        # its last place lies above: in both cases the lost ones lie below the guard bit.
        big, small = Signal(63), Signal(63)
        lost, kept = Signal(63), Signal(63)
        wide_product, wide_addend = Cat(Const(0, 15), product), Cat(Const(0, 39), order.addend)
        with m.If(pipe.valid):
            m.d.comb += [
                big.eq(Mux(order.swap, wide_addend, wide_product)),
                small.eq(Mux(order.swap, wide_product, wide_addend)),
                lost.eq(small & (Const((1 << 63) - 1, 63) >> ~order.distance)),
                kept.eq(small >> order.distance),
            ]
        pipe.next()
        big = pipe.register(big, name="big")
        small = pipe.register(Cat(kept[0] | lost.any(), kept[1:]), name="small")
        head = pipe.struct(Head, {name: order[name] for name in Head.members}, name="head")

        # 4: add, or subtract both ways and take what isn't negative.
        forward, backward = Signal(64), Signal(64)
        negative = Signal()
        with m.If(pipe.valid):
            m.d.comb += [
                forward.eq(Mux(head.opposite, (big - small)[:64], big + small)),
                backward.eq(small - big),
                negative.eq(head.opposite & forward[63]),
            ]
        pipe.next()
        total = pipe.register(Mux(negative, backward, forward), name="total")
        fields = {name: head[name] for name in Head.members}
        head = pipe.struct(Head, {**fields, "sign": head.sign ^ (negative & ~head.special)}, name="head")

        # 5: normalise. A difference that is zero is +0.
        with m.If(pipe.valid):
            normalised, places = normalise(m, total, name="normalise")
        fields = {
            "sig": Cat(normalised[:39].any(), normalised[39:]),
            "exponent": head.exponent + 1 - places,
            "sign": head.sign & (normalised[63] | ~head.opposite | head.special),
            "special": head.special,
            "nan": head.nan,
        }
        pipe.next()
        exact = pipe.struct(Exact, fields, name="exact")

        # 6: round.
        with m.If(pipe.valid):
            rounded, overflow = round_fp32(m, exact.sign, exact.exponent, exact.sig)
        infinity = Cat(Const(0xFF << 23, 31), exact.sign)
        fields = {
            "o": Mux(exact.nan, CANONICAL_NAN, Mux(exact.special, infinity, rounded)),
            "invalid": exact.nan,
            "overflow": overflow & ~exact.special,
        }
        pipe.next()
        result = pipe.struct(Result, fields, name="result")
        m.d.comb += [
            self.o.eq(result.o),
            self.invalid.eq(result.invalid),
            self.overflow.eq(result.overflow),
            self.o_valid.eq(pipe.valid),
        ]
        return m
