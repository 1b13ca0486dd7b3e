"""The one rounder to FP32: nearest even, with subnormals and overflow to infinity."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import shift_right_sticky

__all__ = ["CANONICAL_NAN", "RoundFp32", "round_fp32"]

CANONICAL_NAN = 0x7FC00000


class RoundFp32(wiring.Component):
    """Rounds (-1)^sign * sig * 2^(exponent - 152) to FP32, nearest even; combinational.

    Members
    -------
    sign : In(1)
    exponent : In(signed(11)), exponent of the highest bit of `sig`, plus 127
    sig : In(26), 24 significand bits, the guard bit and the OR of all below; normalised, or zero
    o : Out(32), the FP32 number
    overflow : Out(1), the finite operand became infinite
    """

    sign: In(1)
    exponent: In(signed(11))
    sig: In(26)
    o: Out(32)
    overflow: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        o, overflow = round_fp32(m, self.sign, self.exponent, self.sig)
        m.d.comb += [self.o.eq(o), self.overflow.eq(overflow)]
        return m


def round_fp32(m: Module, sign: Value, exponent: Value, sig: Value) -> tuple[Value, Value]:
    """`o` and `overflow` of `RoundFp32`, inside the statement of `m` that is open: a pipeline's stage at rest, say."""
    # A result below the smallest normal number is shifted down to the fixed place of the subnormals.
    below = Signal(12)
    deficit = Signal(5)
    subnormal, overflow = Signal(), Signal()
    placed = Signal(26)
    field = Signal(8)
    up = Signal()
    magnitude = Signal(31)
    m.d.comb += [
        subnormal.eq(exponent < 1),
        below.eq((1 - exponent)[:12]),
        deficit.eq(Mux(subnormal, Mux(below > 31, 31, below), 0)),
        placed.eq(shift_right_sticky(m, sig, deficit, name="place")),
        field.eq(Mux(placed[25] & ~subnormal, exponent[:8], 0)),
        up.eq(placed[1] & (placed[0] | placed[2])),
        # A carry out of the mantissa is the next exponent, up to infinity itself.
        magnitude.eq(Cat(placed[2:25], field) + up),
        overflow.eq(sig[25] & ((exponent > 254) | magnitude[23:].all())),
    ]
    return Cat(Mux(overflow, Const(0xFF << 23, 31), magnitude), sign), overflow
