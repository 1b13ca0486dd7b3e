"""Operand decoder at the edge of the dot-unit array: 32 bytes of any format to signs, exponents, significands."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.layouts import EXP_BIAS, LANES, SIG_EVEN, SIG_ODD, DecodedBlock

__all__ = ["EdgeDecoder"]

BF16, FP16, E4M3, INT8 = (FORMATS[name] for name in ("bf16", "fp16", "e4m3", "int8"))


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What all lanes of a block share: what kind of format it is, and its numbers."""

    is_16: Signal
    is_bf16: Signal
    is_e4m3: Signal
    is_int: Signal
    bias: Signal
    """Added to an exponent field."""
    ones: Signal
    """The exponent field of NaN and Inf."""
    half: Signal
    """The 16 bytes of 8-bit elements when `wide`."""


class EdgeDecoder(wiring.Component):
    """Decodes one block of one operand, as `gemel_golden.dot` defines it; combinational, and at rest unless enabled.

    Element j of a block of 8-bit formats comes out in lane j. When `wide` is set the block has 16 elements and element
    i comes out in lane 2i, the odd lanes being zero: a 16-bit element is bytes 2i and 2i + 1, an 8-bit one is byte
    16 * half + i. Elements from number `lanes` on are zero whatever their bytes hold.

    Members
    -------
    enable : In(1), `o` is used in this cycle; while low nothing switches, and a simulator skips the work
    block : In(256), the bytes, the first lowest
    fmt : In(4), format code: BF16, FP16 (these only with `wide`), E4M3, E5M2 or INT8
    wide : In(1), one of the two operands of the product is 16 bits wide
    half : In(1), which 16 bytes hold the elements of an 8-bit operand when `wide`
    lanes : In(6), number of elements present, 0 to 32
    o : Out(DecodedBlock)
    """

    enable: In(1)
    block: In(256)
    fmt: In(4)
    wide: In(1)
    half: In(1)
    lanes: In(6)
    o: Out(DecodedBlock)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        block = _Block(
            **{name: Signal(name=name) for name in ("is_16", "is_bf16", "is_e4m3", "is_int")},
            **{name: Signal(8, name=name) for name in ("bias", "ones")},
            half=Signal(LANES * 4),
        )
        present, spread = Signal(LANES), Signal(LANES)
        m.d.comb += [
            block.is_bf16.eq(self.fmt == BF16.code),
            block.is_e4m3.eq(self.fmt == E4M3.code),
            block.is_int.eq(self.fmt == INT8.code),
            block.is_16.eq(block.is_bf16 | (self.fmt == FP16.code)),
            present.eq(Const((1 << LANES) - 1, LANES) >> (LANES - self.lanes)[:6]),
            spread.eq(Mux(self.wide, Cat(Cat(bit, 0) for bit in present[: LANES // 2]), present)),
            block.half.eq(Mux(self.half, self.block[LANES * 4 :], self.block[: LANES * 4])),
            block.bias.eq(Mux(block.is_bf16, 0, Mux(block.is_e4m3, EXP_BIAS - E4M3.bias, EXP_BIAS - FP16.bias))),
            block.ones.eq(Mux(block.is_bf16, 0xFF, Mux(block.is_e4m3, 0xF, 0x1F))),
        ]
        with m.If(self.enable):
            lanes = [self._lane(m, lane, spread[lane], block) for lane in range(LANES)]
            m.d.comb += [
                self.o.sign.eq(Cat(lane["sign"] for lane in lanes) & spread),
                self.o.zero.eq(~(Cat(lane["nonzero"] for lane in lanes) & spread)),
                self.o.nan.eq(Cat(lane["nan"] for lane in lanes) & spread),
                self.o.inf.eq(Cat(lane["inf"] for lane in lanes) & spread),
                Value.cast(self.o.exp).eq(Cat(lane["exp"] for lane in lanes)),
                Value.cast(self.o.odd).eq(Cat(lane["sig"] for lane in lanes[1::2])),
                Value.cast(self.o.even).eq(Cat(lane["sig"] for lane in lanes[0::2])),
            ]
        return m

    def _lane(self, m: Module, lane: int, present: Value, block: _Block) -> dict[str, Value]:
        """One element, left-aligned in 16 bits. E5M2 is FP16 cut short, so these two share their path; odd lanes have
        no 16-bit elements, and a significand of 8 bits."""
        narrow = lane % 2 == 1
        byte = self.block.word_select(lane, 8)
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
