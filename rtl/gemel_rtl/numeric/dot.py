"""The block-exact dot unit: one 32-byte block of K of two operands to its FP32 or INT32 sum, pipelined."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import balanced, bit_count, normalise
from gemel_rtl.numeric.layouts import EXP_BIAS, GROUPS, LANES, SIG_EVEN, DecodedBlock, nibbles, scales
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.numeric.round import CANONICAL_NAN, RoundFp32

__all__ = ["DotUnit"]

PRODUCT = 2 * SIG_EVEN
KEPT_BELOW = 14
"""Bits that an aligned product keeps below its own last one, of 2^(E - 20): the sum's is 2^(emax - 34)."""
TERM = PRODUCT + KEPT_BELOW
SUM = TERM + 1 + 5
UNIT = 34 - 14
"""Place of the units among the sum's bits when both operands are integers (E = 7 + 7)."""
GROUP_EXPONENT = 11
"""What E of a group of 4-bit products is above its scales' exponents."""
GROUP_SUM = 15
"""Bits of the signed sum of 32 products of doubled 4-bit elements."""


class DotUnit(wiring.Component):
    """R of one block, steps 1 to 4, 6 and 7 of the numerics contract (`gemel_golden.dot`, `gemel_golden.scaled`); one
    block per cycle.

    Two 4-bit operands: the 64 products, doubled twice, are summed in groups in the first stage. From the second on,
    group g times its scales takes the place of lane 2g's product.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid : In(1)
    integer : In(1), both operands are integers
    four : In(1), both operands have 4 bits
    quarters : In(1), with `four`: scales are those of 16 elements each, not of 32
    a, b : In(DecodedBlock)
    o_valid : Out(1)
    o_integer : Out(1), `integer` of this result
    o : Out(32), FP32, or a signed integer; holds while `o_valid` is low
    overflow : Out(1), a finite sum became infinite
    """

    latency = 8

    valid: In(1)
    integer: In(1)
    four: In(1)
    quarters: In(1)
    a: In(DecodedBlock)
    b: In(DecodedBlock)
    o_valid: Out(1)
    o_integer: Out(1)
    o: Out(32)
    overflow: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pipe = Pipeline(m, self.valid)
        a, b = self.a, self.b
        nan, any_inf, inf_sign = self._special_values(m)

        # 1: products, their exponents, the maxima of four.
        negative, zero = Signal(LANES), Signal(LANES)
        m.d.comb += [negative.eq(a.sign ^ b.sign), zero.eq(a.zero | b.zero)]
        products, exponents = [], []
        for lane in range(LANES):
            exponent = Signal(9, name=f"exponent{lane}")
            # 0 stands for the exponent of a zero: less than all others, since these are at least 1 + 1.
            m.d.comb += exponent.eq(Mux(zero[lane], 0, a.exp[lane] + b.exp[lane]))
            exponents.append(exponent)
            if lane % 2:
                products.append(a.odd[lane // 2] * b.odd[lane // 2])
            else:
                products.append(a.even[lane // 2] * b.even[lane // 2])
        maxima = [balanced(exponents[at : at + 4], self._maximum(m)) for at in range(0, LANES, 4)]
        groups = self._groups(m)
        pipe.next()
        for lane, product in enumerate(products):
            group, place = divmod(lane, 2)
            other = (groups[group].magnitude, groups[group].scale)[place] if group < GROUPS else Const(0, 1)
            products[lane] = pipe.select(self.four, other, product, name=f"product{lane}")
        exponents = [pipe.register(value, name=f"exponent{lane}") for lane, value in enumerate(exponents)]
        group_exponents = [pipe.register(group.exponent, name=f"group_exponent{g}") for g, group in enumerate(groups)]
        maxima = [pipe.register(value, name=f"maximum{at}") for at, value in enumerate(maxima)]
        negative = pipe.select(
            self.four, Cat(Cat(group.negative, Const(0, 1)) for group in groups), negative, name="negative"
        )
        scale = pipe.register(a.scale + b.scale, name="scale")
        head = data.View(HEAD, pipe.register(Cat(self.integer, self.four, nan, any_inf, inf_sign), name="head"))

        # 2: the block's maximum, each product's distance from it.
        largest = Signal(9)
        m.d.comb += largest.eq(balanced(maxima, self._maximum(m)))
        scaled = []
        with m.If(head.four):
            for group in range(GROUPS):
                product, exponent = Signal(PRODUCT, name=f"scaled{group}"), Signal(9, name=f"scaled_exponent{group}")
                m.d.comb += [
                    product.eq(products[2 * group] * products[2 * group + 1]),
                    exponent.eq(Mux(product.any(), group_exponents[group], 0)),
                ]
                scaled.append((Mux(head.integer, product >> 2, product << 1)[:PRODUCT], exponent))
            m.d.comb += largest.eq(balanced([exponent for _, exponent in scaled], self._maximum(m)))
        distances = []
        for lane, exponent in enumerate(exponents):
            distance = Signal(9, name=f"distance{lane}")
            m.d.comb += distance.eq(largest - exponent)
            if lane < 2 * GROUPS and lane % 2 == 0:
                with m.If(head.four):
                    m.d.comb += distance.eq(largest - scaled[lane // 2][1])
            distances.append(Mux(distance[6:].any(), 63, distance[:6]))
        pipe.next()
        for lane, product in enumerate(products):
            if lane < 2 * GROUPS:
                other = Const(0, 1) if lane % 2 else scaled[lane // 2][0]
                products[lane] = pipe.select(head.four, other, product, name=f"product{lane}")
            else:
                products[lane] = pipe.register(product, name=f"product{lane}")
        distances = [pipe.register(value, name=f"distance{lane}") for lane, value in enumerate(distances)]
        offset = Mux(head.four, GROUP_EXPONENT, 0) - 2 * EXP_BIAS
        exponent = pipe.register((largest + scale + offset)[:11].as_signed(), name="exponent")
        negative = pipe.register(negative, name="negative")
        head = pipe.carry(head, name="head")

        # 3: align and truncate. A term t is coded without sign extension as 2^36 + t, less 1 if negative.
        terms = []
        for lane, (product, distance) in enumerate(zip(products, distances, strict=True)):
            wide = Cat(Const(0, TERM - len(product)), product)
            aligned = Signal(TERM, name=f"aligned{lane}")
            m.d.comb += aligned.eq(wide >> distance)
            sign = negative[lane]
            terms.append(Cat(Mux(sign, ~aligned, aligned), ~sign))
        pipe.next()
        terms = [pipe.register(value, name=f"term{lane}") for lane, value in enumerate(terms)]
        exponent = pipe.register(exponent, name="exponent")
        negatives = pipe.register(bit_count(m, negative, name="negatives"), name="negatives")
        head = pipe.carry(head, name="head")

        # 4, 5: sum; the ones owed to the negative terms come last.
        partial = [balanced(terms[at : at + 8], lambda x, y: x + y) for at in range(0, LANES, 8)]
        pipe.next()
        partial = [pipe.register(value, name=f"partial{at}") for at, value in enumerate(partial)]
        exponent = pipe.register(exponent, name="exponent")
        negatives = pipe.register(negatives, name="negatives")
        head = pipe.carry(head, name="head")
        total = Signal(SUM)
        m.d.comb += total.eq((partial[0] + partial[1]) + (partial[2] + partial[3] + negatives))
        pipe.next()
        total = pipe.register(total, name="total")
        exponent = pipe.register(exponent, name="exponent")
        head = pipe.carry(head, name="head")

        # 6: sign and magnitude. The 32 offsets of 2^36 leave the sign inverted in the highest bit.
        positive = total[-1]
        magnitude = Signal(SUM - 1)
        m.d.comb += magnitude.eq(Mux(positive, total[:-1], -total[:-1]))
        integer = Cat(total[UNIT:-1], (~positive).replicate(33 - SUM + UNIT))
        pipe.next()
        magnitude = pipe.register(magnitude, name="magnitude")
        sign = pipe.register(~positive, name="sign")
        # Highest bit of the magnitude: 2^(exponent - 2*127 - 34 + 40).
        exponent = pipe.register(exponent, name="exponent")
        integer = pipe.register(integer[:22], name="integer")
        head = pipe.carry(head, name="head")

        # 7: normalise.
        normalised, places = normalise(m, magnitude, name="normalise")
        pipe.next()
        sig = pipe.register(Cat(normalised[: SUM - 26].any(), normalised[SUM - 26 :]), name="sig")
        exponent = pipe.register((exponent - places - 121).as_signed(), name="exponent", shape=signed(11))
        sign = pipe.register(sign, name="sign")
        integer = pipe.register(integer, name="integer")
        head = pipe.carry(head, name="head")

        # 8: round.
        m.submodules.round = rounder = RoundFp32()
        m.d.comb += [rounder.sign.eq(sign), rounder.exponent.eq(exponent), rounder.sig.eq(sig)]
        infinity = Cat(Const(0xFF << 23, 31), head.inf_sign)
        number = Mux(head.nan, CANONICAL_NAN, Mux(head.inf, infinity, rounder.o))
        result = Mux(head.integer, Cat(integer, integer[-1].replicate(10)), number)
        pipe.next()
        m.d.comb += [
            self.o.eq(pipe.register(result, name="result")),
            self.o_integer.eq(pipe.register(head.integer, name="result_integer")),
            self.overflow.eq(
                pipe.register(rounder.overflow & ~(head.nan | head.inf | head.integer), name="result_overflow")
            ),
            self.o_valid.eq(pipe.valid),
        ]
        return m

    def _special_values(self, m: Module) -> tuple[Value, Value, Value]:
        """What NaN and Inf operands make of the block: whether it is NaN, infinite, and with which sign."""
        a, b = self.a, self.b
        inf, plus, minus, nan = Signal(LANES), Signal(), Signal(), Signal()
        m.d.comb += [
            inf.eq(a.inf | b.inf),
            minus.eq((inf & (a.sign ^ b.sign)).any()),
            plus.eq((inf & ~(a.sign ^ b.sign)).any()),
            nan.eq((a.nan | b.nan | (a.inf & b.zero) | (b.inf & a.zero)).any() | (plus & minus)),
        ]
        return nan, inf.any(), minus

    def _groups(self, m: Module) -> list["_Group"]:
        """Sums of the products of 4-bit elements, and their scales' products."""
        sums = [Signal(Shape(GROUP_SUM, signed=True), name=f"group_sum{group}") for group in range(GROUPS)]
        groups = []
        with m.If(self.four):
            pairs = [x.as_signed() * y.as_signed() for x, y in zip(nibbles(self.a), nibbles(self.b), strict=True)]
            size = len(pairs) // GROUPS
            # Each sum has a name: Verilator pulls only small expressions into the statement that may skip them.
            totals = [balanced(pairs[size * group :][:size], self._group_sum(m)) for group in range(GROUPS)]
            for group in range(0, GROUPS, 2):
                low, high = totals[group : group + 2]
                m.d.comb += [
                    sums[group].eq(Mux(self.quarters, low, low + high)),
                    sums[group + 1].eq(Mux(self.quarters, high, 0)),
                ]
            for group, ((a_exp, a_sig), (b_exp, b_sig)) in enumerate(zip(scales(self.a), scales(self.b), strict=True)):
                total = sums[group]
                groups.append(
                    _Group(
                        magnitude=Mux(total[-1], -total, total)[: GROUP_SUM - 1],
                        negative=total[-1],
                        scale=a_sig * b_sig,
                        exponent=a_exp + b_exp,
                    )
                )
        return groups

    def _group_sum(self, m: Module):
        def group_sum(x: Value, y: Value) -> Value:
            total = Signal((x + y).shape(), name="group_total")
            m.d.comb += total.eq(x + y)
            return total

        return group_sum

    def _maximum(self, m: Module):
        def maximum(x: Value, y: Value) -> Value:
            larger = Signal(9, name="larger")
            m.d.comb += larger.eq(Mux(x > y, x, y))
            return larger

        return maximum


HEAD = data.StructLayout({"integer": 1, "four": 1, "nan": 1, "inf": 1, "inf_sign": 1})


@dataclass(frozen=True, kw_only=True)
class _Group:
    """A group of 4-bit products: four times their sum, the product of its scales (64 is 1), that of their powers."""

    magnitude: Value
    negative: Value
    scale: Value
    exponent: Value
