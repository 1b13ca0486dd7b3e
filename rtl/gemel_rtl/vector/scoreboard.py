"""Which registers of the vector core still wait for a result, and whether a bundle may go."""

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import (
    COMPARISONS,
    IOTA,
    NOP,
    PHILOX,
    PREDICATES,
    TWO_OPERANDS,
    VECTORS,
    Control,
)
from gemel_rtl.sequencer.legality import any_of
from gemel_rtl.vector.layouts import BUNDLE_BITS, fields_of

__all__ = ["WRITERS", "Scoreboard"]

WRITERS = ("alu", "function", "random", "load")
"""Who writes vector registers."""
REGISTER = VECTORS.bit_length() - 1


class Scoreboard(wiring.Component):
    """A register is busy from the issue of what writes it to its last write; a bundle goes when all it names are free.

    Members
    -------
    bits : In, the bundle; ready : Out, none of its registers is busy; issue : In, it goes in this cycle
    <writer>_done, <writer>_rd : In, a register has its result in this cycle; predicate_done, predicate : In, likewise
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "bits": In(BUNDLE_BITS),
                "ready": Out(1),
                "issue": In(1),
                **{f"{name}_done": In(1) for name in WRITERS},
                **{f"{name}_rd": In(REGISTER) for name in WRITERS},
                "predicate_done": In(1),
                "predicate": In(range(PREDICATES)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        f = fields_of(self.bits)
        busy = Signal(VECTORS)
        predicates = Signal(PREDICATES)
        op = f["op"]

        def has(codes: Any) -> Value:
            return any_of(op == int(code) for code in codes)

        used, compares = Signal(), Signal()
        m.d.comb += [used.eq(op != NOP), compares.eq(has(COMPARISONS))]
        reads_a = used & ~has((PHILOX, IOTA))
        held = [
            reads_a & ~f["a"][5] & busy.bit_select(f["a"][:5], 1),
            has(TWO_OPERANDS) & ~f["b"][5] & busy.bit_select(f["b"][:5], 1),
            (op == LaneOp.FMA) & ~f["c"][5] & busy.bit_select(f["c"][:5], 1),
            used & ~compares & busy.bit_select(f["rd"], 1),
            f["ld_en"] & busy.bit_select(f["ld_reg"], 1),
            f["st_en"] & busy.bit_select(f["st_reg"], 1),
            f["st_en"] & f["st_stochastic"] & busy.bit_select(f["st_random"], 1),
            (f["control"] == Control.READ) & busy.bit_select(f["vector"], 1),
            used & predicates.bit_select(f["pred"], 1),
            compares & predicates.bit_select(f["pd"], 1),
            f["ld_en"] & predicates.bit_select(f["ld_pred"], 1),
            f["st_en"] & predicates.bit_select(f["st_pred"], 1),
            (f["control"] == Control.PSET) & predicates.bit_select(f["d"][:2], 1),
        ]
        m.d.comb += self.ready.eq(~any_of(held))

        for name in WRITERS:
            with m.If(getattr(self, f"{name}_done")):
                m.d.sync += busy.bit_select(getattr(self, f"{name}_rd"), 1).eq(0)
        with m.If(self.predicate_done):
            m.d.sync += predicates.bit_select(self.predicate, 1).eq(0)
        with m.If(self.issue):
            with m.If(used & ~compares):
                m.d.sync += busy.bit_select(f["rd"], 1).eq(1)
            with m.If(compares):
                m.d.sync += predicates.bit_select(f["pd"], 1).eq(1)
            with m.If(f["ld_en"]):
                m.d.sync += busy.bit_select(f["ld_reg"], 1).eq(1)
        return m
