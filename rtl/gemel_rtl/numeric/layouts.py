"""Shapes that arithmetic blocks exchange: decoded operand blocks and FP32 words."""

from amaranth.hdl import Value, unsigned
from amaranth.lib import data

__all__ = ["EXP_BIAS", "GROUPS", "LANES", "NIBBLE", "SIG_EVEN", "SIG_ODD", "DecodedBlock", "Fp32", "nibbles", "scales"]

LANES = 32
"""Products of one dot unit: bytes in a block."""

SIG_EVEN = 11
"""Significand bits of an even lane: those of FP16."""

SIG_ODD = 8
"""Significand bits of an odd lane: those of INT8."""

EXP_BIAS = 127
"""What is added to an element's exponent."""


NIBBLE = 5
"""Bits of a 4-bit element opposite another one: twice its value, in two's complement."""

GROUPS = 4
"""Groups of 16 elements in a block of two 4-bit operands."""


class DecodedBlock(data.Struct):
    """32 bytes of K of one operand as numbers: (-1)^sign * sig * 2^(exp - 127 - (width of sig) + 1) each.

    Significands are left-aligned. Missing elements are zero. `exp` and the significand mean nothing for a NaN or Inf;
    those of a zero mean nothing either, except that its significand is 0. All are multiplied by 2^(scale - 127).

    A block of two 4-bit operands has 64 elements, which `nibbles` finds in `exp` and `even`, and the scales of four
    groups, which `scales` finds in `odd`; `sign` is 0 then, `scale` 127, and `nan` says that a scale is NaN.

    `factor` is the FP32 scale of the group of K to which the block belongs, or 1.
    """

    sign: unsigned(LANES)
    zero: unsigned(LANES)
    nan: unsigned(LANES)
    inf: unsigned(LANES)
    exp: data.ArrayLayout(unsigned(8), LANES)
    odd: data.ArrayLayout(unsigned(SIG_ODD), LANES // 2)
    even: data.ArrayLayout(unsigned(SIG_EVEN), LANES // 2)
    scale: unsigned(8)
    factor: unsigned(32)


def nibbles(block: data.View) -> list[Value]:
    """The 64 elements of a block of 4-bit operands, `NIBBLE` bits each."""
    low = [block.exp[lane][:NIBBLE] for lane in range(LANES)]
    return low + [block.even[lane // 2].word_select(lane % 2, NIBBLE) for lane in range(LANES)]


def scales(block: data.View) -> list[tuple[Value, Value]]:
    """(exponent plus 127, significand of 4 bits left-aligned) of the scales of a block of 4-bit operands."""
    return [(block.odd[group], block.odd[GROUPS + group][:4]) for group in range(GROUPS)]


class Fp32(data.Struct):
    """The fields of a binary32 number."""

    mantissa: unsigned(23)
    exponent: unsigned(8)
    sign: unsigned(1)
