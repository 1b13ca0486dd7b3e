"""Operand decoder at the edge of the dot-unit array: 32 bytes of any format to signs, exponents, significands."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale
from gemel_rtl.numeric.layouts import EXP_BIAS, GROUPS, LANES, NIBBLE, SIG_EVEN, SIG_ODD, DecodedBlock

__all__ = ["EdgeDecoder"]

BF16, FP16, E4M3, INT8, E2M1, INT4 = (FORMATS[name] for name in ("bf16", "fp16", "e4m3", "int8", "e2m1", "int4"))
NIBBLES = 2 * LANES
ONE = 0x3F800000


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What all lanes of a block share: what kind of format it is, and its numbers."""

    is_16: Signal
    is_bf16: Signal
    is_e4m3: Signal
    """E4M3, or E2M1, whose elements are widened to codes of the same fields."""
    is_int: Signal
    is_4: Signal
    bias: Signal
    """Added to an exponent field."""
    ones: Signal
    """The exponent field of NaN and Inf."""
    bytes: Signal
    """The elements of 8 bits, those of 4 bits widened."""
    half: Signal
    """The 16 bytes of elements that aren't wide when `wide`."""


class EdgeDecoder(wiring.Component):
    """Decodes one block of one operand, as `gemel_golden.dot` defines it; combinational, and at rest unless enabled.

    Element j of a block of 8-bit formats comes out in lane j. When `wide` is set the block has 16 elements and element
    i comes out in lane 2i, the odd lanes being zero: a 16-bit element is bytes 2i and 2i + 1, a narrower one is element
    16 * place + i. Opposite 8 bits a 4-bit element is number 32 * place + j. When `four` is set both operands have 4
    bits and the block has 64 elements. Elements from number `lanes` on are zero whatever their bytes hold.

    Members
    -------
    enable : In(1), `o` is used in this cycle; while low nothing switches, and a simulator skips the work
    block : In(256), the bytes, the first lowest
    fmt : In(4), format code: BF16, FP16 (these only with `wide`), E4M3, E5M2, INT8, E2M1 or INT4
    wide : In(1), one of the two operands of the product is 16 bits wide
    four : In(1), both operands are 4 bits wide
    place : In(2), which part of the bytes holds the elements of the narrower operand
    lanes : In(7), number of elements present, 0 to 64
    scaling : In(2), the operand's block scales are these (`BlockScale`), or none
    scale : In(32), E8M0 scales: in byte `line`, with `four` in bytes 0 and 1; E4M3 scales, with `four`; or one in FP32
    line : In(1)
    o : Out(DecodedBlock)
    """

    enable: In(1)
    block: In(256)
    fmt: In(4)
    wide: In(1)
    four: In(1)
    place: In(2)
    lanes: In(7)
    scaling: In(2)
    scale: In(32)
    line: In(1)
    o: Out(DecodedBlock)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block = _Block(
            **{name: Signal(name=name) for name in ("is_16", "is_bf16", "is_e4m3", "is_int", "is_4")},
            **{name: Signal(8, name=name) for name in ("bias", "ones")},
            bytes=Signal(LANES * 8),
            half=Signal(LANES * 4),
        )
        present, spread = Signal(LANES), Signal(LANES)
        is_e2m1 = Signal()
        m.d.comb += [
            is_e2m1.eq(self.fmt == E2M1.code),
            block.is_bf16.eq(self.fmt == BF16.code),
            block.is_e4m3.eq((self.fmt == E4M3.code) | is_e2m1),
            block.is_int.eq((self.fmt == INT8.code) | (self.fmt == INT4.code)),
            block.is_4.eq(is_e2m1 | (self.fmt == INT4.code)),
            block.is_16.eq(block.is_bf16 | (self.fmt == FP16.code)),
            present.eq(Const((1 << LANES) - 1, LANES) >> (LANES - self.lanes)[:6]),
            spread.eq(Mux(self.wide, Cat(Cat(bit, 0) for bit in present[: LANES // 2]), present)),
            block.bias.eq(Mux(block.is_e4m3, EXP_BIAS - E4M3.bias, EXP_BIAS - FP16.bias)),
            block.ones.eq(Mux(block.is_bf16, 0xFF, Mux(block.is_e4m3, 0xF, 0x1F))),
        ]
        with m.If(block.is_bf16):
            m.d.comb += block.bias.eq(0)
        with m.Elif(is_e2m1):
            m.d.comb += block.bias.eq(EXP_BIAS - E2M1.bias)
        half = Signal(LANES * 4)
        m.d.comb += half.eq(Mux(self.place[0], self.block[LANES * 4 :], self.block[: LANES * 4]))
        with m.If(self.enable):
            m.d.comb += self.o.factor.eq(Mux(self.scaling == BlockScale.FP32, self.scale, ONE))
        with m.If(self.enable & self.four):
            self._nibbles(m, is_e2m1)
        with m.Elif(self.enable):
            with m.If(block.is_4):
                chosen, widened = Signal(LANES * 4), Signal(LANES * 8)
                quarters = [self.block.word_select(i, LANES * 2) for i in range(4)]
                upper, lower = (Mux(self.place[0], quarters[i + 1], quarters[i]) for i in (2, 0))
                m.d.comb += [
                    chosen.eq(Mux(self.wide, Mux(self.place[1], upper, lower), half)),
                    widened.eq(Cat(_widen(chosen.word_select(i, 4), is_e2m1) for i in range(LANES))),
                    block.bytes.eq(widened),
                    block.half.eq(widened),
                ]
            with m.Else():
                m.d.comb += [block.bytes.eq(self.block), block.half.eq(half)]
            lanes = [self._lane(m, lane, spread[lane], block) for lane in range(LANES)]
            scale = Signal(8)
            m.d.comb += scale.eq(EXP_BIAS)
            with m.If(self.scaling == BlockScale.MX):
                m.d.comb += scale.eq(self.scale.word_select(self.line, 8))
            m.d.comb += [
                self.o.sign.eq(Cat(lane["sign"] for lane in lanes) & spread),
                self.o.zero.eq(~(Cat(lane["nonzero"] for lane in lanes) & spread)),
                self.o.nan.eq((Cat(lane["nan"] for lane in lanes) & spread) | scale.all()),
                self.o.inf.eq(Cat(lane["inf"] for lane in lanes) & spread),
                Value.cast(self.o.exp).eq(Cat(lane["exp"] for lane in lanes)),
                Value.cast(self.o.odd).eq(Cat(lane["sig"] for lane in lanes[1::2])),
                Value.cast(self.o.even).eq(Cat(lane["sig"] for lane in lanes[0::2])),
                self.o.scale.eq(scale),
            ]
        return m

    def _lane(self, m: Module, lane: int, present: Value, block: _Block) -> dict[str, Value]:
        """One element, left-aligned in 16 bits. E5M2 is FP16 cut short, so these two share their path; odd lanes have
        no 16-bit elements, and a significand of 8 bits."""
        narrow = lane % 2 == 1
        byte = block.bytes.word_select(lane, 8)
        code = Signal(16, name=f"code{lane}")
        if narrow:
            m.d.comb += code.eq(Cat(Const(0, 8), byte))
        else:
            byte = Mux(self.wide, block.half.word_select(lane // 2, 8), byte)
            m.d.comb += code.eq(Mux(block.is_16, self.block.word_select(lane // 2, 16), Cat(Const(0, 8), byte)))
        width = SIG_ODD if narrow else SIG_EVEN
        field, mantissa = Signal(5 if narrow else 8, name=f"field{lane}"), Signal(width - 1, name=f"mantissa{lane}")
        normal, some, special = (Signal(name=f"{name}{lane}") for name in ("normal", "some", "special"))
        exp, sig = Signal(8, name=f"exp{lane}"), Signal(width, name=f"sig{lane}")
        low = 10 - (width - 1)
        half_field, half_mantissa = code[10:15], code[low:10]
        e4m3_mantissa = Cat(Const(0, width - 1 - 3), code[8:11])
        if narrow:
            m.d.comb += [
                field.eq(Mux(block.is_e4m3, code[11:15], half_field)),
                mantissa.eq(Mux(block.is_e4m3, e4m3_mantissa, half_mantissa)),
            ]
        else:
            m.d.comb += [
                field.eq(Mux(block.is_bf16, code[7:15], Mux(block.is_e4m3, code[11:15], half_field))),
                mantissa.eq(
                    Mux(block.is_bf16, Cat(Const(0, 3), code[:7]), Mux(block.is_e4m3, e4m3_mantissa, half_mantissa))
                ),
            ]
        magnitude = Mux(code[15], -code[8:], code[8:])[:8]
        m.d.comb += [
            normal.eq(field.any()),
            some.eq(mantissa.any()),
            special.eq((field == block.ones) & ~block.is_int),
            exp.eq(Mux(block.is_int, EXP_BIAS + INT8.p - 1, (field | ~normal) + block.bias)),
            sig.eq(Mux(present, Mux(block.is_int, Cat(Const(0, width - 8), magnitude), Cat(mantissa, normal)), 0)),
        ]
        return {
            "sign": code[15],
            "nonzero": normal | some | (block.is_int & code[8:].any()),
            "nan": special & Mux(block.is_e4m3, code[8:11].all(), some),
            "inf": special & ~block.is_e4m3 & ~some,
            "exp": exp,
            "sig": sig,
        }

    def _nibbles(self, m: Module, is_e2m1: Value) -> None:
        """The 64 elements and four scales of a block of two 4-bit operands."""
        present = Signal(NIBBLES)
        m.d.comb += present.eq(Const((1 << NIBBLES) - 1, NIBBLES) >> (NIBBLES - self.lanes)[:7])
        elements = []
        for i in range(NIBBLES):
            element = Signal(NIBBLE, name=f"element{i}")
            nibble = self.block.word_select(i, 4)
            with m.If(present[i]):
                m.d.comb += element.eq(Mux(is_e2m1, _doubled(nibble), Cat(Const(0, 1), nibble)))
            elements.append(element)
        exponents, significands, nan = [], [], []
        for group in range(GROUPS):
            byte = self.scale.word_select(group, 8)
            exponent, significand = Signal(8, name=f"scale_exp{group}"), Signal(4, name=f"scale_sig{group}")
            is_nan = Signal(name=f"scale_nan{group}")
            m.d.comb += [exponent.eq(EXP_BIAS), significand.eq(8)]
            with m.If(self.scaling == BlockScale.MX):
                power = self.scale.word_select(group // 2, 8)
                m.d.comb += [exponent.eq(power), is_nan.eq(power.all())]
            with m.Elif(self.scaling == BlockScale.NVFP4):
                normal = byte[3:7].any()
                m.d.comb += [
                    exponent.eq((byte[3:7] | ~normal) + (EXP_BIAS - E4M3.bias)),
                    significand.eq(Cat(byte[:3], normal)),
                    is_nan.eq(byte[:7].all()),
                ]
            exponents.append(exponent)
            significands.append(Cat(significand, Const(0, SIG_ODD - 4)))
            nan.append(is_nan & present[NIBBLES // GROUPS * group])
        high = [Cat(elements[i : i + 2], Const(0, SIG_EVEN - 2 * NIBBLE)) for i in range(LANES, NIBBLES, 2)]
        m.d.comb += [
            self.o.nan.eq(Cat(nan)),
            Value.cast(self.o.exp).eq(Cat(Cat(element, Const(0, 8 - NIBBLE)) for element in elements[:LANES])),
            Value.cast(self.o.even).eq(Cat(high)),
            Value.cast(self.o.odd).eq(Cat(exponents, significands)),
            self.o.scale.eq(EXP_BIAS),
        ]


def _widen(nibble: Value, is_e2m1: Value) -> Value:
    """A byte for a 4-bit element: INT4 as INT8, E2M1 with the fields of E4M3 (and a bias of its own)."""
    return Mux(
        is_e2m1,
        Cat(Const(0, 2), nibble[:3], Const(0, 2), nibble[3]),
        Cat(nibble, nibble[3].replicate(4)),
    )


def _doubled(nibble: Value) -> Value:
    """Twice the value of an E2M1 element: 0, 1, 2, 3, 4, 6, 8 or 12 with its sign."""
    low, e = nibble[0], nibble[1:3]
    magnitude = Cat(low & ~e[1], (e == 1) | (low & (e == 2)), (e == 2) | (low & (e == 3)), e == 3)
    return Mux(nibble[3], -magnitude, magnitude)[:NIBBLE]
