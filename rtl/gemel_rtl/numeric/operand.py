"""An FP32 operand taken apart: significand with its hidden bit, exponent as a subnormal's, and what it is."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data

__all__ = ["Operand"]


class Operand:
    """The number (-1)^sign * sig * 2^(exponent - 150), unless `inf` or `nan`; a subnormal has exponent 1.

    Parameters
    ----------
    m : Module of the logic
    operand : View of `layouts.Fp32`
    name : of the operand, for names of signals

    Attributes
    ----------
    sign, zero, inf, nan : 1 bit
    sig : 24 bits
    exponent : 8 bits
    """

    def __init__(self, m: Module, operand: data.View, name: str):
        normal, top, fraction = (Signal(name=f"{name}_{part}") for part in ("normal", "top", "fraction"))
        m.d.comb += [
            normal.eq(operand.exponent.any()),
            top.eq(operand.exponent.all()),
            fraction.eq(operand.mantissa.any()),
        ]
        self.sign: Value = operand.sign
        self.sig = Cat(operand.mantissa, normal)
        self.exponent = Cat(operand.exponent[0] | ~normal, operand.exponent[1:])
        self.zero = ~normal & ~fraction
        self.inf = top & ~fraction
        self.nan = top & fraction
