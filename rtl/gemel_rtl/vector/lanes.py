"""The 32 lanes of the vector core, what is exchanged between them, and the predicates."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import (
    COMPARISONS,
    FUNCTION_BASE,
    IOTA,
    LANES,
    NOP,
    PHILOX,
    PREDICATES,
    VECTORS,
    Control,
    Permute,
)
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.sequencer.legality import any_of
from gemel_rtl.shared import Shared
from gemel_rtl.vector.functions import FunctionBank
from gemel_rtl.vector.lane import Lane, Modifiers
from gemel_rtl.vector.layouts import BUNDLE_BITS, fields_of

__all__ = ["Lanes"]

REGISTER = VECTORS.bit_length() - 1
Vector = data.ArrayLayout(32, LANES)
SOURCES: dict[Permute, list[int | None]] = {
    Permute.NONE: list(range(LANES)),
    **{Permute(1 + s): [lane ^ (1 << s) for lane in range(LANES)] for s in range(5)},
    **{Permute(6 + s): [lane - (1 << s) if lane >= 1 << s else None for lane in range(LANES)] for s in range(5)},
    Permute.FIRST: [0] * LANES,
    Permute.LAST: [LANES - 1] * LANES,
}
"""The lane whose register each lane takes, by permutation; `None` is a zero."""


class _Tag(data.Struct):
    """What travels beside an operation of the lanes."""

    rd: REGISTER
    pd: range(PREDICATES)
    compares: 1
    mask: LANES


class Lanes(wiring.Component):
    """Reads its registers in the cycle of `issue`, exchanges and modifies operands in the next, and then computes.

    Parameters: units, the number of function units.

    Attributes
    ----------
    latency : cycles from `issue` to the cycle of an arithmetic result's write; one later it can be read
    interval : least cycles from one function to the next

    Members
    -------
    bits, issue : In, the bundle's arithmetic slot and its store's reads begin
    scalar_a, scalar_b, scalar_c, philox : In, scalar operands of this bundle
    count : In(32), for PSET
    element : Out(32), element 0 of the register that READ names
    load_mask, store_mask : Out, lanes of this bundle's accesses
    values, random : Out, a store's registers, from the next cycle on
    load_write, load_rd, load_format, load_keep, load : In, what a load brings
    alu_done, alu_rd, function_done, random_done, function_rd, random_rd, predicate_done, predicate : Out, for the
        scoreboard
    random_busy : Out, a random vector isn't written yet
    idle : Out, nothing is under way
    """

    def __init__(self, units: int):
        self.units = units
        self.latency = 1 + Lane.latency
        self.interval = LANES // units
        super().__init__(
            {
                "bits": In(BUNDLE_BITS),
                "issue": In(1),
                **{f"scalar_{name}": In(32) for name in "abc"},
                "philox": In(128),
                "count": In(32),
                "element": Out(32),
                "load_mask": Out(LANES),
                "store_mask": Out(LANES),
                "values": Out(Vector),
                "random": Out(Vector),
                "load_write": In(LANES),
                "load_rd": In(REGISTER),
                "load_format": In(4),
                "load_keep": In(LANES),
                "load": In(Vector),
                "alu_done": Out(1),
                "alu_rd": Out(REGISTER),
                "function_done": Out(1),
                "function_rd": Out(REGISTER),
                "random_done": Out(1),
                "random_rd": Out(REGISTER),
                "random_busy": Out(1),
                "predicate_done": Out(1),
                "predicate": Out(range(PREDICATES)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        f = fields_of(self.bits)
        op = f["op"]
        lanes = []
        for i in range(LANES):
            m.submodules[f"lane{i}"] = lane = Shared(Lane(), name="gemel_vector_lane")
            lanes.append(lane)

        predicates = [Signal(LANES, name=f"p{i}") for i in range(1, PREDICATES)]
        readable = Array([Const((1 << LANES) - 1, LANES), *predicates])
        mask = Signal(LANES)
        m.d.comb += [
            mask.eq(readable[f["pred"]] ^ f["pred_not"].replicate(LANES)),
            self.load_mask.eq(readable[f["ld_pred"]] ^ f["ld_not"].replicate(LANES)),
            self.store_mask.eq(readable[f["st_pred"]] ^ f["st_not"].replicate(LANES)),
        ]

        # Issue: read.
        arithmetic, function, random, compares = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            arithmetic.eq(self.issue & ((op < FUNCTION_BASE) | (op == IOTA))),
            function.eq(self.issue & (op >= FUNCTION_BASE) & (op < PHILOX)),
            random.eq(self.issue & (op == PHILOX)),
            compares.eq(any_of(op == int(code) for code in COMPARISONS)),
        ]
        begins, applies, draws = Signal(), Signal(), Signal()
        m.d.sync += [begins.eq(arithmetic), applies.eq(function), draws.eq(random)]
        held = {
            name: Signal.like(Value.cast(value), name=f"held_{name}", reset_less=True)
            for name, value in (
                ("op", op[:6]),
                ("permute", f["permute"]),
                ("philox", self.philox),
                ("a", self.scalar_a),
            )
        }
        scalar_a, iota = Signal(reset_less=True), Signal(reset_less=True)
        modifiers = Signal(Modifiers, reset_less=True)
        tag = Signal(_Tag, reset_less=True)
        scalar_b, scalar_c = Signal(32, reset_less=True), Signal(32, reset_less=True)
        with m.If(self.issue & (op != NOP)):
            m.d.sync += [
                held["op"].eq(op),
                held["permute"].eq(f["permute"]),
                held["a"].eq(self.scalar_a),
                scalar_a.eq(f["a"][5]),
                iota.eq(op == IOTA),
                scalar_b.eq(self.scalar_b),
                scalar_c.eq(self.scalar_c),
                modifiers.abs_a.eq(f["abs_a"]),
                modifiers.neg_a.eq(f["neg_a"]),
                modifiers.abs_b.eq(f["abs_b"]),
                modifiers.neg_b.eq(f["neg_b"]),
                modifiers.neg_c.eq(f["neg_c"]),
                modifiers.scalar_b.eq(f["b"][5]),
                modifiers.scalar_c.eq(f["c"][5]),
                tag.rd.eq(f["rd"]),
                tag.pd.eq(f["pd"]),
                tag.compares.eq(compares),
                tag.mask.eq(mask),
            ]
        with m.If(random):
            m.d.sync += held["philox"].eq(self.philox)

        # One cycle later: exchange between lanes, then compute.
        exchanged = Signal(32 * LANES)
        with m.If(begins | applies):
            self._exchange(m, exchanged, held, scalar_a, iota, [lane.raw_a for lane in lanes])
        pipe = Pipeline(m, begins)
        carried: Any = tag
        for _ in range(Lane.latency):
            pipe.next()
            carried = pipe.carry(carried, name="tag")
        flying = Signal(range(Lane.latency + 2))
        m.d.sync += flying.eq(flying + begins - pipe.valid)
        m.d.comb += [
            self.alu_done.eq(pipe.valid & ~carried.compares),
            self.alu_rd.eq(carried.rd),
            self.predicate_done.eq(pipe.valid & carried.compares),
            self.predicate.eq(carried.pd),
        ]
        at_store = Mux(f["control"] == Control.READ, f["vector"], f["st_reg"])
        for i, lane in enumerate(lanes):
            m.d.comb += [
                lane.read.eq(arithmetic | function),
                lane.at_a.eq(f["a"]),
                lane.at_b.eq(f["b"]),
                lane.at_c.eq(f["c"]),
                lane.read_store.eq(self.issue & f["st_en"]),
                lane.at_store.eq(at_store),
                lane.at_random.eq(f["st_random"]),
                self.values[i].eq(lane.value),
                self.random[i].eq(lane.random),
                lane.valid.eq(begins),
                lane.op.eq(Mux(iota, LaneOp.MOV, held["op"])),
                Value.cast(lane.modifiers).eq(Mux(iota, 0, modifiers.as_value())),
                lane.a.eq(exchanged.word_select(i, 32)),
                lane.scalar_b.eq(scalar_b),
                lane.scalar_c.eq(scalar_c),
                lane.write.eq(self.alu_done & carried.mask[i]),
                lane.rd.eq(carried.rd),
                lane.load_write.eq(self.load_write[i]),
                lane.load_rd.eq(self.load_rd),
                lane.load_keep.eq(self.load_keep[i]),
                lane.load_format.eq(self.load_format),
                lane.load.eq(self.load[i]),
            ]
        m.d.comb += self.element.eq(lanes[0].peek)

        # Predicates: by a comparison, or by a count.
        with m.If(self.predicate_done):
            flags = Cat(lane.flag for lane in lanes) & carried.mask
            for i, predicate in enumerate(predicates, 1):
                with m.If(carried.pd == i):
                    m.d.sync += predicate.eq(flags)
        with m.If(self.issue & (f["control"] == Control.PSET)):
            # A count of 32 or more gives all lanes, a negative one none.
            below = Mux(self.count[31], 0, Mux(self.count[5:31].any(), LANES, self.count[:5]))
            for i, predicate in enumerate(predicates, 1):
                with m.If(f["d"] == i):
                    m.d.sync += predicate.eq(((1 << below[:6]) - 1)[:LANES])

        m.submodules.functions = functions = FunctionBank(self.units)
        m.d.comb += [
            functions.start.eq(applies),
            functions.function.eq(held["op"]),
            functions.rd.eq(tag.rd),
            functions.mask.eq(tag.mask),
            functions.operands.eq(Cat(lane.operand for lane in lanes)),
            functions.random.eq(draws),
            functions.random_rd.eq(tag.rd),
            functions.random_mask.eq(tag.mask),
            functions.scalars.eq(held["philox"]),
            self.function_done.eq(functions.done),
            self.function_rd.eq(functions.rd_out),
            self.random_done.eq(functions.random_done),
            self.random_rd.eq(functions.rd_out),
            self.random_busy.eq(functions.random_busy | draws),
            self.idle.eq(functions.idle & (flying == 0) & ~applies & ~draws & ~begins),
        ]
        for i, lane in enumerate(lanes):
            m.d.comb += [
                lane.function_write.eq(functions.write[i]),
                lane.function_rd.eq(functions.rd_out),
                lane.function.eq(functions.data[i]),
            ]
        return m

    def _exchange(
        self, m: Module, out: Value, held: dict[str, Signal], scalar: Value, iota: Value, raw: list[Value]
    ) -> None:
        """Operand a of every lane: the permuted registers, a scalar, or the lane's number."""
        with m.If(iota):
            m.d.comb += out.eq(Cat(Const(i, 32) for i in range(LANES)))
        with m.Else(), m.Switch(held["permute"]):
            for code, sources in SOURCES.items():
                with m.Case(code):
                    lanes = [Const(0, 32) if source is None else raw[source] for source in sources]
                    m.d.comb += out.eq(Cat(lanes))
        with m.If(scalar & ~iota):
            m.d.comb += out.eq(Cat(held["a"] for _ in range(LANES)))
