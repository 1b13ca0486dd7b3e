"""Legality of a bundle, from the table's fields and the rules between its slots."""

from typing import Any

from amaranth.hdl import Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.formats import FORMATS
from gemel_golden.vector_isa import BUNDLE, COMPARISONS, NOP, PHILOX, PREDICATES, SCALAR_OPERAND, SCALARS, Control
from gemel_rtl.sequencer.legality import any_of, illegal_field
from gemel_rtl.tensor.formats import has_bits
from gemel_rtl.vector.layouts import BUNDLE_BITS, fields_of

__all__ = ["BundleCheck"]

E8M0 = FORMATS["e8m0"].code


class BundleCheck(wiring.Component):
    """Combinational: `gemel_golden.vector_isa.check_bundle`.

    Members: `bits` : In, `illegal` : Out.
    """

    bits: In(BUNDLE_BITS)
    illegal: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        f = fields_of(self.bits)
        compares = any_of(f["op"] == int(code) for code in COMPARISONS)
        pset = f["control"] == Control.PSET
        highest = SCALAR_OPERAND + SCALARS - 4
        wrong: list[Value] = [
            illegal_field(m, self.bits, {0: Const(1)}, {0: tuple(BUNDLE.values())}),
            f["ld_en"] & (f["op"] != NOP) & ~compares & (f["ld_reg"] == f["rd"]),
            compares & ((f["pd"] == 0) | (pset & (f["d"] == f["pd"]))),
            pset & ((f["d"] == 0) | (f["d"] >= PREDICATES)),
            (f["op"] == PHILOX) & ((f["b"] < SCALAR_OPERAND) | (f["b"] > highest)),
            (f["control"] == Control.READ) & f["st_en"],
            *(f[f"{slot}_en"] & f[f"{slot}_element"] & has_bits(f[f"{slot}_format"], 4) for slot in ("ld", "st")),
        ]
        m.d.comb += self.illegal.eq(any_of(wrong))
        return m
