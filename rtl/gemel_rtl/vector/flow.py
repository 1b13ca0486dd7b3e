"""Program flow of the vector core: the bundle counter and its loops."""

from typing import Any

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.vector_isa import LOOPS

__all__ = ["PC_BITS", "Flow"]

PC_BITS = 17
"""Bits of a bundle's index: those of an index in the memory, and of what a loop's length adds."""


class _Loop(data.Struct):
    start: PC_BITS
    end: PC_BITS
    left: 32


class Flow(wiring.Component):
    """Says which bundle comes next. A loop's end costs nothing; LOOP itself costs a cycle. A bundle that has not come
    yet is read again until it has.

    Members
    -------
    start, entry : In, begin at bundle `entry`
    issue : In, the bundle on hand goes; with `loop` it is a LOOP of `length` bundles, `count` times
    read, index : Out, read this bundle from the memory; present : In, it is there
    valid : Out, there is a bundle on hand; pc : Out, its index
    illegal : Out, this LOOP can't be: too deep, empty, or not within the loop around it
    beyond : Out, the next bundle lies beyond the memory
    stop : In, no bundle is on hand any more
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "entry": In(range(VECTOR_BUNDLES)),
                "issue": In(1),
                "loop": In(1),
                "length": In(16),
                "count": In(32),
                "read": Out(1),
                "index": Out(range(VECTOR_BUNDLES)),
                "present": In(1),
                "valid": Out(1),
                "pc": Out(PC_BITS),
                "illegal": Out(1),
                "beyond": Out(1),
                "stop": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stack = [Signal(_Loop, name=f"loop{i}", reset_less=True) for i in range(LOOPS)]
        depth = Signal(range(LOOPS + 1))
        top = Signal(_Loop)
        m.d.comb += top.eq(Array([loop.as_value() for loop in stack])[(depth - 1)[:2]])
        inside, at_end, again = Signal(), Signal(), Signal()
        after, end = Signal(PC_BITS), Signal(PC_BITS)
        m.d.comb += [
            inside.eq(depth != 0),
            at_end.eq(inside & (self.pc == top.end)),
            again.eq(top.left != 1),
            after.eq(self.pc + 1),
            end.eq(self.pc + self.length),
            self.illegal.eq(self.loop & ((depth == LOOPS) | (self.length == 0) | (inside & (end >= top.end)))),
        ]

        target = Signal(PC_BITS)
        refetch = Signal()
        m.d.comb += target.eq(after)
        with m.If(refetch):
            m.d.comb += target.eq(self.pc)
        with m.Elif(at_end & again):
            m.d.comb += target.eq(top.start)
        m.d.comb += [
            self.index.eq(target),
            self.read.eq(refetch | (self.issue & ~self.loop)),
            self.beyond.eq((self.pc >= VECTOR_BUNDLES) & (self.valid | refetch)),
        ]
        with m.If(refetch):
            m.d.sync += [self.valid.eq(self.present), refetch.eq(~self.present)]
        with m.If(self.issue):
            with m.If(self.loop):
                m.d.sync += [self.valid.eq(0), refetch.eq(1), self.pc.eq(after)]
                with m.If(self.count == 0):
                    m.d.sync += self.pc.eq(end + 1)
                with m.Else():
                    m.d.sync += depth.eq(depth + 1)
                    for i, loop in enumerate(stack):
                        with m.If(depth == i):
                            m.d.sync += [loop.start.eq(after), loop.end.eq(end), loop.left.eq(self.count)]
            with m.Else():
                m.d.sync += [self.pc.eq(target), self.valid.eq(self.present), refetch.eq(~self.present)]
                with m.If(at_end):
                    with m.If(again):
                        for i, loop in enumerate(stack):
                            with m.If(depth == i + 1):
                                m.d.sync += loop.left.eq(loop.left - 1)
                    with m.Else():
                        m.d.sync += depth.eq(depth - 1)
        with m.If(self.stop):
            m.d.sync += [self.valid.eq(0), refetch.eq(0)]
        with m.If(self.start):
            m.d.sync += [self.pc.eq(self.entry), depth.eq(0), refetch.eq(1), self.valid.eq(0)]
        return m
