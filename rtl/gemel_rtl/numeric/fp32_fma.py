"""FP32 fused multiply-add, pipelined, with the two other uses of its multiplier and its rounder."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import normalise
from gemel_rtl.numeric.layouts import Fp32
from gemel_rtl.numeric.operand import Operand
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN, RoundFp32

__all__ = ["Fp32Fma"]

HALF = 12
INT_EXPONENT = 127 + 31

Head = data.StructLayout({"sign": 1, "opposite": 1, "special": 1, "nan": 1})


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
        a, b, c = (Operand(m, getattr(self, name), name) for name in "abc")
        a_sig = Cat(a.sig[:23], Mux(self.raw, self.a.as_value()[23], a.sig[23]))
        b_sig = Cat(b.sig[:23], Mux(self.raw, self.b.as_value()[23], b.sig[23]))
        magnitude = Mux(a.sign, -self.a.as_value(), self.a.as_value())[:32]
        sign = Signal()
        product_nan, product_inf = Signal(), Signal()
        m.d.comb += [
            sign.eq(a.sign ^ (b.sign & ~self.integer)),
            product_nan.eq((a.nan | b.nan | (a.inf & b.zero) | (b.inf & a.zero)) & ~self.integer),
            product_inf.eq((a.inf | b.inf) & ~self.integer),
        ]
        exponent, ahead = Signal(signed(11)), Signal(signed(11))
        swap = Signal()
        distance = Signal(10)
        m.d.comb += [
            exponent.eq(Mux(self.integer, INT_EXPONENT, a.exponent + b.exponent - 126)),
            ahead.eq(exponent - c.exponent),
            # A product of nothing has no place, and must not push the addend out of the word.
            swap.eq((ahead <= 0) | ((a.zero | b.zero) & ~self.integer)),
            distance.eq(Mux(swap, -ahead, ahead)[:10]),
        ]
        opposite = sign ^ c.sign
        head = {
            "sign": Mux((swap | c.inf) & ~product_inf, c.sign, sign),
            "opposite": opposite,
            "special": product_nan | product_inf | c.nan | c.inf,
            "nan": product_nan | c.nan | (product_inf & c.inf & opposite),
        }
        pipe.next()
        low = pipe.register(Mux(self.integer, 0, a_sig * b_sig[:HALF]), name="low")
        high = pipe.register(Mux(self.integer, Cat(Const(0, 16 - HALF), magnitude), a_sig * b_sig[HALF:]), name="high")
        addend = pipe.register(c.sig, name="addend")
        exponent = pipe.register(Mux(swap, c.exponent, exponent), name="exponent", shape=signed(11))
        distance = pipe.register(Mux(distance > 63, 63, distance)[:6], name="distance")
        swap = pipe.register(swap, name="swap")
        flags = pipe.struct(Head, head, name="head")

        # 2: the product.
        product = Signal(48)
        m.d.comb += product.eq(low + Cat(Const(0, HALF), high))
        pipe.next()
        product = pipe.register(product, name="product")
        addend = pipe.register(addend, name="addend")
        exponent, distance = pipe.register(exponent, name="exponent"), pipe.register(distance, name="distance")
        swap, flags = pipe.register(swap, name="swap"), pipe.carry(flags, name="head")
        m.d.comb += self.product.eq(product)

        # 3: align the lower one, what leaves the word being ORed into its lowest bit. Bits are lost only where the
        # other one reaches so far above that at most one of its places cancels, or where the result is subnormal and
        # its last place lies above: in both cases the lost ones lie below the guard bit.
        big, small = Signal(63), Signal(63)
        lost, kept = Signal(63), Signal(63)
        wide_product, wide_addend = Cat(Const(0, 15), product), Cat(Const(0, 39), addend)
        m.d.comb += [
            big.eq(Mux(swap, wide_addend, wide_product)),
            small.eq(Mux(swap, wide_product, wide_addend)),
            lost.eq(small & (Const((1 << 63) - 1, 63) >> ~distance)),
            kept.eq(small >> distance),
        ]
        pipe.next()
        big = pipe.register(big, name="big")
        small = pipe.register(Cat(kept[0] | lost.any(), kept[1:]), name="small")
        exponent, flags = pipe.register(exponent, name="exponent"), pipe.carry(flags, name="head")

        # 4: add, or subtract both ways and take what isn't negative.
        forward, backward = Signal(64), Signal(64)
        negative = Signal()
        m.d.comb += [
            forward.eq(Mux(flags.opposite, big - small, big + small)),
            backward.eq(small - big),
            negative.eq(flags.opposite & forward[63]),
        ]
        pipe.next()
        total = pipe.register(Mux(negative, backward, forward), name="total")
        exponent = pipe.register(exponent, name="exponent")
        negative, flags = pipe.register(negative, name="negative"), pipe.carry(flags, name="head")

        # 5: normalise. A difference that is zero is +0.
        normalised, places = normalise(m, total, name="normalise")
        sign = (flags.sign ^ negative) & (normalised[63] | ~flags.opposite)
        pipe.next()
        sig = pipe.register(Cat(normalised[:39].any(), normalised[39:]), name="sig")
        exponent = pipe.register((exponent + 1 - places).as_signed(), name="exponent", shape=signed(11))
        sign = pipe.register(Mux(flags.special, flags.sign, sign), name="sign")
        special, nan = pipe.register(flags.special, name="special"), pipe.register(flags.nan, name="nan")

        # 6: round.
        m.submodules.round = rounder = RoundFp32()
        m.d.comb += [rounder.sign.eq(sign), rounder.exponent.eq(exponent), rounder.sig.eq(sig)]
        infinity = Cat(Const(0xFF << 23, 31), sign)
        pipe.next()
        m.d.comb += [
            self.o.eq(pipe.register(Mux(nan, CANONICAL_NAN, Mux(special, infinity, rounder.o)), name="result")),
            self.invalid.eq(pipe.register(nan, name="result_nan")),
            self.overflow.eq(pipe.register(rounder.overflow & ~special, name="result_overflow")),
            self.o_valid.eq(pipe.valid),
        ]
        return m
