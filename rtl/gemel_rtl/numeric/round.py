"""The one rounder to FP32: nearest even, with subnormals and overflow to infinity."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.numeric.bits import shift_right_sticky

__all__ = ["CANONICAL_NAN", "RoundFp32"]

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
        # A result below the smallest normal number is shifted down to the fixed place of the subnormals.
        below = Signal(12)
        deficit = Signal(5)
        subnormal = Signal()
        m.d.comb += [
            subnormal.eq(self.exponent < 1),
            below.eq((1 - self.exponent)[:12]),
            deficit.eq(Mux(subnormal, Mux(below > 31, 31, below), 0)),
        ]
        placed = Signal(26)
        field = Signal(8)
        up = Signal()
        magnitude = Signal(31)
        m.d.comb += [
            placed.eq(shift_right_sticky(m, self.sig, deficit, name="place")),
            field.eq(Mux(placed[25] & ~subnormal, self.exponent[:8], 0)),
            up.eq(placed[1] & (placed[0] | placed[2])),
            # A carry out of the mantissa is the next exponent, up to infinity itself.
            magnitude.eq(Cat(placed[2:25], field) + up),
            self.overflow.eq(self.sig[25] & ((self.exponent > 254) | magnitude[23:].all())),
            self.o.eq(Cat(Mux(self.overflow, Const(0xFF << 23, 31), magnitude), self.sign)),
        ]
        return m
