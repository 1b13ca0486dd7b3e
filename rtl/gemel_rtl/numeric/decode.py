"""Operand decoder at the edge of the dot-unit array: 32 bytes of any format to signs, exponents, significands."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS, Format
from gemel_rtl.numeric.layouts import EXP_BIAS, LANES, SIG_EVEN, SIG_ODD, DecodedBlock

__all__ = ["EdgeDecoder"]

NARROW = tuple(FORMATS[name] for name in ("e4m3", "e5m2", "int8"))
WIDE = tuple(FORMATS[name] for name in ("bf16", "fp16"))


def lane_layout(width: int) -> data.StructLayout:
    """One decoded element with a significand of `width` bits."""
    return data.StructLayout({"sig": width, "exp": 8, "sign": 1, "zero": 1, "nan": 1, "inf": 1})


class EdgeDecoder(wiring.Component):
    """Decodes one block of one operand, as `gemel_golden.dot` defines it; combinational.

    Element j of a block of 8-bit formats comes out in lane j. When `wide` is set the block has 16 elements and element
    i comes out in lane 2i, the odd lanes being zero: a 16-bit element is bytes 2i and 2i + 1, an 8-bit one is byte
    16 * half + i. Elements from number `lanes` on are zero whatever their bytes hold.

    Members
    -------
    block : In(256), the bytes, the first lowest
    fmt : In(4), format code: BF16, FP16 (these only with `wide`), E4M3, E5M2 or INT8
    wide : In(1), one of the two operands of the product is 16 bits wide
    half : In(1), which 16 bytes hold the elements of an 8-bit operand when `wide`
    lanes : In(6), number of elements present, 0 to 32
    o : Out(DecodedBlock)
    """

    block: In(256)
    fmt: In(4)
    wide: In(1)
    half: In(1)
    lanes: In(6)
    o: Out(DecodedBlock)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        present = Signal(LANES)
        half_block = Signal(LANES * 4)
        m.d.comb += [
            present.eq(Cat(self.lanes > lane for lane in range(LANES))),
            half_block.eq(Mux(self.half, self.block[LANES * 4 :], self.block[: LANES * 4])),
        ]
        decoded = []
        for lane in range(LANES):
            even = lane % 2 == 0
            element = data.View(shape := lane_layout(SIG_EVEN if even else SIG_ODD), Signal(shape, name=f"lane{lane}"))
            enable = Signal(name=f"enable{lane}")
            byte = Signal(8, name=f"byte{lane}")
            decoded.append(element)
            if even:
                m.d.comb += enable.eq(Mux(self.wide, present[lane // 2], present[lane]))
                m.d.comb += byte.eq(
                    Mux(self.wide, half_block.word_select(lane // 2, 8), self.block.word_select(lane, 8))
                )
            else:
                m.d.comb += [enable.eq(present[lane] & ~self.wide), byte.eq(self.block.word_select(lane, 8))]
            m.d.comb += element.zero.eq(1)
            with m.If(enable), m.Switch(self.fmt):
                for fmt in NARROW:
                    with m.Case(fmt.code):
                        m.d.comb += _decode(element, byte, fmt)
                for fmt in WIDE if even else ():
                    with m.Case(fmt.code):
                        m.d.comb += _decode(element, self.block.word_select(lane // 2, 16), fmt)
        m.d.comb += [
            self.o.sign.eq(Cat(lane.sign for lane in decoded)),
            self.o.zero.eq(Cat(lane.zero for lane in decoded)),
            self.o.nan.eq(Cat(lane.nan for lane in decoded)),
            self.o.inf.eq(Cat(lane.inf for lane in decoded)),
            Value.cast(self.o.exp).eq(Cat(lane.exp for lane in decoded)),
            Value.cast(self.o.odd).eq(Cat(lane.sig for lane in decoded[1::2])),
            Value.cast(self.o.even).eq(Cat(lane.sig for lane in decoded[0::2])),
        ]
        return m


def _decode(lane: data.View, code: Value, fmt: Format) -> list:
    """The statements that fill `lane` from an element of `fmt`."""
    sign = code[fmt.bits - 1]
    pad = Const(0, len(lane.sig) - fmt.p)
    if fmt.is_int:
        magnitude = Mux(sign, -code, code)[: fmt.bits]
        return [
            lane.sign.eq(sign),
            lane.zero.eq(code == 0),
            lane.exp.eq(EXP_BIAS + fmt.p - 1),
            lane.sig.eq(Cat(pad, magnitude)),
        ]
    mantissa = code[: fmt.mantissa_bits]
    field = code[fmt.mantissa_bits : fmt.bits - 1]
    normal = field.any()
    if fmt.has_inf:
        special, nan, inf = field.all(), mantissa.any(), ~mantissa.any()
    else:
        special, nan, inf = code[: fmt.bits - 1] == fmt.nan, Const(1), Const(0)
    return [
        lane.sign.eq(sign),
        lane.zero.eq(code[: fmt.bits - 1] == 0),
        lane.nan.eq(special & nan),
        lane.inf.eq(special & inf),
        lane.exp.eq(Cat(field[0] | ~normal, field[1:]) + (EXP_BIAS - fmt.bias)),
        lane.sig.eq(Cat(pad, mantissa, normal)),
    ]
