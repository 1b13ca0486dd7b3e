"""One lane of the vector core's store side: FP32 to the format in memory, or its bits as they are."""

from typing import Any

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.convert import Converter
from gemel_rtl.numeric.pipeline import Pipeline

__all__ = ["StoreLane"]

RAW = [FORMATS[name].code for name in ("fp32", "int32")]


class StoreLane(wiring.Component):
    """`gemel_golden.vector_memory`'s conversion: 32-bit formats pass, others are rounded. One value a cycle.

    Attributes
    ----------
    latency : cycles from `valid` to `o_valid`

    Members
    -------
    valid, i, fmt, saturate, stochastic : In
    random : In(32), a word whose high bits round stochastically
    o_valid, o : Out; saturated, invalid, overflow : Out, what happened
    """

    latency = Converter.latency

    valid: In(1)
    i: In(32)
    fmt: In(4)
    saturate: In(1)
    stochastic: In(1)
    random: In(32)
    o_valid: Out(1)
    o: Out(32)
    saturated: Out(1)
    invalid: Out(1)
    overflow: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.converter = converter = Converter()
        raw = (self.fmt == RAW[0]) | (self.fmt == RAW[1])
        m.d.comb += [
            converter.valid.eq(self.valid & ~raw),
            converter.i.eq(self.i),
            converter.fmt.eq(self.fmt),
            converter.saturate.eq(self.saturate),
            converter.stochastic.eq(self.stochastic),
        ]
        with m.Switch(self.fmt):
            for fmt in FORMATS.values():
                if fmt.stochastic_bits:
                    with m.Case(fmt.code):
                        m.d.comb += converter.random.eq(self.random[32 - fmt.stochastic_bits :])
        pipe = Pipeline(m, self.valid & raw)
        passed = self.i
        for _ in range(converter.latency):
            pipe.next()
            passed = pipe.register(passed, name="passed")
        m.d.comb += [
            self.o_valid.eq(pipe.valid | converter.o_valid),
            self.o.eq(Mux(pipe.valid, passed, converter.o)),
            self.saturated.eq(converter.o_valid & converter.saturated),
            self.invalid.eq(converter.o_valid & converter.invalid),
            self.overflow.eq(converter.o_valid & converter.overflow),
        ]
        return m
