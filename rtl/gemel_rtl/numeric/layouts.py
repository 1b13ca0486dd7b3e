"""Shapes that arithmetic blocks exchange: decoded operand blocks and FP32 words."""

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["EXP_BIAS", "LANES", "SIG_EVEN", "SIG_ODD", "DecodedBlock", "Fp32"]

LANES = 32
"""Products of one dot unit: bytes in a block."""

SIG_EVEN = 11
"""Significand bits of an even lane: those of FP16."""

SIG_ODD = 8
"""Significand bits of an odd lane: those of INT8."""

EXP_BIAS = 127
"""What is added to an element's exponent."""


class DecodedBlock(data.Struct):
    """32 bytes of K of one operand as numbers: (-1)^sign * sig * 2^(exp - 127 - (width of sig) + 1) each.

    Significands are left-aligned. Missing elements are zero. `exp` and the significand mean nothing for a NaN or Inf;
    those of a zero mean nothing either, except that its significand is 0.
    """

    sign: unsigned(LANES)
    zero: unsigned(LANES)
    nan: unsigned(LANES)
    inf: unsigned(LANES)
    exp: data.ArrayLayout(unsigned(8), LANES)
    odd: data.ArrayLayout(unsigned(SIG_ODD), LANES // 2)
    even: data.ArrayLayout(unsigned(SIG_EVEN), LANES // 2)


class Fp32(data.Struct):
    """The fields of a binary32 number."""

    mantissa: unsigned(23)
    exponent: unsigned(8)
    sign: unsigned(1)
