"""The two quotients of a block under an FP32 scale, digit by digit."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.round import CANONICAL_NAN

__all__ = ["BLOCK", "QUOTIENTS", "Quotients"]

BLOCK = data.StructLayout({"amax": 31, "e4m3": 1})
"""A block's largest magnitude, FP32 bits without the sign; its elements become E4M3, else E5M2."""
QUOTIENTS = data.StructLayout({"scale": 32, "inverse": 32})
"""amax / most, and most / amax."""

DIGITS = 26
"""Bits of a quotient: 24 of the significand, one to round, and one that is zero where the quotient is small."""
AT_ONCE = 2
"""Bits a cycle."""
LEAST = (127 - 100) << 23
"""2^-100."""
SEVEN = 7
"""The largest numbers of E4M3 and E5M2 are 7 * 2^6 and 7 * 2^13."""
SHIFTS = {name: FORMATS[name].emax - 2 for name in ("e4m3", "e5m2")}


class Quotients(wiring.Component):
    """`gemel_golden.dma.convert`'s scale of an FP32 block and its reciprocal, rounded to nearest even.

    A block at a time; its quotients come `latency` cycles after it is taken. With amax = m * 2^(e - 150), m of 24 bits,
    the quotients' digits are those of 2^4 m / 7 and of 2^46 * 7 / m, of 25 or 26 bits each.

    Members: `i`, `o` (streams).
    """

    latency = DIGITS // AT_ONCE + 1

    def __init__(self):
        super().__init__({"i": In(stream.Signature(BLOCK)), "o": Out(stream.Signature(QUOTIENTS))})

    def elaborate(self, platform) -> Module:
        m = Module()
        given, left, full = self.i.payload, Signal(range(DIGITS // AT_ONCE + 1)), Signal()
        divisor, exponent = Signal(24, reset_less=True), Signal(8, reset_less=True)
        nan, infinite, e4m3 = (Signal(reset_less=True, name=name) for name in ("nan", "infinite", "e4m3"))
        dividend, by_seven = Signal(DIGITS, reset_less=True), Signal(3, reset_less=True)
        by_amax = Signal(24, reset_less=True)
        scale, inverse = Signal(DIGITS, reset_less=True), Signal(DIGITS, reset_less=True)
        bits, significand = Signal(31), Signal(24)
        m.d.comb += [
            bits.eq(Mux(given.amax < LEAST, LEAST, given.amax)),
            significand.eq(Cat(bits[:23], 1)),
            self.i.ready.eq(~full | (self.o.valid & self.o.ready)),
            self.o.valid.eq(full & (left == 0)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                full.eq(1),
                left.eq(DIGITS // AT_ONCE),
                divisor.eq(significand),
                exponent.eq(bits[23:]),
                nan.eq(bits[23:].all() & bits[:23].any()),
                infinite.eq(bits[23:].all() & ~bits[:23].any()),
                e4m3.eq(given.e4m3),
                by_seven.eq(significand[22:]),
                dividend.eq(Cat(C(0, 4), significand[:22])),
                by_amax.eq(SEVEN << 46 - DIGITS),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += full.eq(0)
        with m.If(left != 0):
            rests, digits = [by_seven, by_amax], [[], []]
            for step in range(AT_ONCE):
                incoming = [dividend[DIGITS - 1 - step], C(0, 1)]
                for i, (by, bit) in enumerate(zip((C(SEVEN, 3), divisor), incoming, strict=True)):
                    trial = Signal(len(by) + 1, name=f"trial{step}_{i}")
                    rest = Signal(len(by), name=f"rest{step}_{i}")
                    m.d.comb += [trial.eq(Cat(bit, rests[i])), rest.eq(Mux(trial < by, trial, trial - by))]
                    rests[i] = rest
                    digits[i].append(trial >= by)
            m.d.sync += [
                left.eq(left - 1),
                by_seven.eq(rests[0]),
                by_amax.eq(rests[1]),
                dividend.eq(dividend << AT_ONCE),
                scale.eq(Cat(*reversed(digits[0]), scale)),
                inverse.eq(Cat(*reversed(digits[1]), inverse)),
            ]
        shift = Mux(e4m3, SHIFTS["e4m3"], SHIFTS["e5m2"])
        found = self.o.payload
        with m.If(self.o.valid):
            m.d.comb += [
                found.scale.eq(self._rounded(m, "scale", scale, exponent - shift - 2)),
                found.inverse.eq(self._rounded(m, "inverse", inverse, shift + 256 - exponent)),
            ]
            with m.If(infinite):
                m.d.comb += [found.scale.eq(0xFF << 23), found.inverse.eq(0)]
            with m.If(nan):
                m.d.comb += [found.scale.eq(CANONICAL_NAN), found.inverse.eq(CANONICAL_NAN)]
        return m

    def _rounded(self, m: Module, name: str, digits: Value, exponent: Value) -> Value:
        """FP32 bits of a quotient; `exponent`: its exponent field, if all digits count.

        The first digit that is left out decides, since no quotient lies half way between two numbers: where the
        division by 7, or of 7, ends at all, the quotient has no more than 24 digits (tests/test_dma_convert.py).
        """
        large, field, kept = digits[-1], Signal(8, name=f"{name}_field"), Signal(24, name=f"{name}_kept")
        half = Signal(name=f"{name}_half")
        m.d.comb += [
            field.eq(exponent - ~large),
            kept.eq(Mux(large, digits[2:], digits[1:])),
            half.eq(Mux(large, digits[1], digits[0])),
        ]
        return Cat(kept[:23], field) + half
