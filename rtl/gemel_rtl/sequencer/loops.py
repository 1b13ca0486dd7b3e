"""The stack of counted loops, and which instructions the window must keep for them."""

from typing import Any

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import INSTRUCTIONS, LOOP_DEPTH, Opcode
from gemel_rtl.interfaces import PC_BITS

__all__ = ["LoopStack"]

COUNT_BITS = next(f.width for f in INSTRUCTIONS[Opcode.LOOP].fields if f.name == "count")


class LoopStack(wiring.Component):
    """Nested loops: `push` enters one whose body begins at `start`, `turn` is the innermost body's end.

    In the cycle of `turn`, `again` says whether the body runs once more, from `target`; otherwise the loop is left.
    `keep` is the start of the outermost loop around `pc` of which the window can hold all up to `pc`, else `pc`; it
    is a cycle late.

    Parameters: window, instructions that the sequencer's window holds.
    Members: `push`, `start`, `count`; `turn`, `again`, `target`; `empty`, `full`; `clear`; `pc`, `keep`.
    """

    push: In(1)
    start: In(PC_BITS)
    count: In(COUNT_BITS)
    turn: In(1)
    again: Out(1)
    target: Out(PC_BITS)
    empty: Out(1)
    full: Out(1)
    clear: In(1)
    pc: In(PC_BITS)
    keep: Out(PC_BITS)

    def __init__(self, window: int):
        self.window = window
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        starts = Array(Signal(PC_BITS, name=f"start{i}", reset_less=True) for i in range(LOOP_DEPTH))
        lefts = Array(Signal(COUNT_BITS, name=f"left{i}", reset_less=True) for i in range(LOOP_DEPTH))
        depth = Signal(range(LOOP_DEPTH + 1))
        top = Signal(range(LOOP_DEPTH))
        left = Signal(COUNT_BITS)
        m.d.comb += [
            self.empty.eq(depth == 0),
            self.full.eq(depth == LOOP_DEPTH),
            top.eq(depth - 1),
            left.eq(lefts[top]),
            self.again.eq(left != 1),
            self.target.eq(starts[top]),
        ]
        with m.If(self.push):
            m.d.sync += [starts[depth].eq(self.start), lefts[depth].eq(self.count), depth.eq(depth + 1)]
        with m.If(self.turn):
            m.d.sync += lefts[top].eq(left - 1)
            with m.If(~self.again):
                m.d.sync += depth.eq(depth - 1)
        with m.If(self.clear):
            m.d.sync += depth.eq(0)

        keep = self.pc
        for i in reversed(range(LOOP_DEPTH)):
            distance = Signal(PC_BITS, name=f"distance{i}")
            fits = Signal(name=f"fits{i}")
            chosen = Signal(PC_BITS, name=f"keep{i}")
            m.d.comb += [
                distance.eq(self.pc - starts[i]),
                fits.eq((depth > i) & (distance < self.window)),
                chosen.eq(keep),
            ]
            with m.If(fits):
                m.d.comb += chosen.eq(starts[i])
            keep = chosen
        m.d.sync += self.keep.eq(keep)
        return m
