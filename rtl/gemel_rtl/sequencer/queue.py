"""The queue of instructions in front of a unit: a memory read a cycle ahead."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_rtl.interfaces import Issue, issue_payload

__all__ = ["Queue"]


class Queue(wiring.Component):
    """First in, first out; an instruction leaves at the earliest one cycle after it came. One a cycle each way.

    Parameters: depth, a power of two.
    Members: `i`, `o`: the instructions; `clear` forgets all of them; `empty`: none is held.
    """

    i: In(Issue)
    o: Out(Issue)
    clear: In(1)
    empty: Out(1)

    def __init__(self, depth: int):
        self.depth = depth
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=issue_payload(), depth=self.depth, init=[])
        write = memory.write_port()
        read = memory.read_port(transparent_for=(write,))
        level = Signal(range(self.depth + 1))
        head = Signal(range(self.depth))
        tail = Signal.like(head)
        push = Signal()
        pop = Signal()
        m.d.comb += [
            self.empty.eq(level == 0),
            self.i.ready.eq(level != self.depth),
            self.o.valid.eq(level != 0),
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            write.addr.eq(tail),
            write.data.eq(self.i.payload),
            write.en.eq(push),
            read.addr.eq(head + pop),
            read.en.eq(pop | self.empty),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += [level.eq(level + push - pop), head.eq(head + pop), tail.eq(tail + push)]
        with m.If(self.clear):
            m.d.sync += [level.eq(0), head.eq(0), tail.eq(0)]
        return m
