"""One lane of a converting copy: a code to FP32, times a factor, to another format."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.convert import Converter
from gemel_rtl.numeric.fp32_mul import Fp32Multiplier
from gemel_rtl.numeric.widen import Widener

__all__ = ["RecodeLane"]

SATURATING = [fmt.code for fmt in FORMATS.values() if fmt.saturates]


class RecodeLane(wiring.Component):
    """`gemel_golden.dma.convert.convert` of one element; one a cycle.

    Attributes
    ----------
    latency : cycles from `valid` to `o`

    Members
    -------
    enable : In(1), `i` is looked at in this cycle
    i, source : In, a code and its format
    wide : Out(32), the code in FP32; combinational
    valid : In(1), `product` is to be multiplied
    product, factor, target : In, FP32 numbers and the result's format
    o : Out(32), the code in the low bits
    """

    latency = Fp32Multiplier.latency + Converter.latency

    enable: In(1)
    i: In(32)
    source: In(4)
    wide: Out(32)
    valid: In(1)
    product: In(32)
    factor: In(32)
    target: In(4)
    o: Out(32)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.widen = widen = Widener()
        m.submodules.multiply = multiply = Fp32Multiplier()
        m.submodules.convert = convert = Converter()
        targets = [Signal(4, name=f"target{stage}", reset_less=True) for stage in range(Fp32Multiplier.latency)]
        m.d.sync += Cat(targets).eq(Cat(self.target, *targets[:-1]))
        m.d.comb += [
            widen.enable.eq(self.enable),
            widen.i.eq(self.i),
            widen.fmt.eq(self.source),
            self.wide.eq(widen.o),
            multiply.valid.eq(self.valid),
            multiply.a.eq(self.product),
            multiply.b.eq(self.factor),
            convert.valid.eq(multiply.o_valid),
            convert.i.eq(multiply.o),
            convert.fmt.eq(targets[-1]),
            convert.saturate.eq(Cat(targets[-1] == code for code in SATURATING).any()),
            self.o.eq(convert.o),
        ]
        return m
