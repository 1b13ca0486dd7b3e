"""The indices of the instructions that a unit has taken and not finished."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_rtl.interfaces import PC_BITS

__all__ = ["InFlight"]

DEPTH = 128
"""More than a unit takes."""


class InFlight(wiring.Component):
    """Units start and finish in program order, so their pulses name the instructions: combinational.

    Members: `taken` with `pc`: the unit takes an instruction; `start`, `stop`: its pulses; `start_pc`, `stop_pc`: the
    instruction that starts or stops in this cycle, or would; `clear`.
    """

    taken: In(1)
    pc: In(PC_BITS)
    start: In(1)
    stop: In(1)
    start_pc: Out(PC_BITS)
    stop_pc: Out(PC_BITS)
    clear: In(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.indices = indices = Memory(shape=PC_BITS, depth=DEPTH, init=[])
        write = indices.write_port()
        starting = indices.read_port(domain="comb")
        stopping = indices.read_port(domain="comb")
        tail = Signal(range(DEPTH))
        started = Signal(range(DEPTH))
        stopped = Signal(range(DEPTH))
        m.d.comb += [
            write.addr.eq(tail),
            write.data.eq(self.pc),
            write.en.eq(self.taken),
            starting.addr.eq(started),
            stopping.addr.eq(stopped),
            self.start_pc.eq(starting.data),
            self.stop_pc.eq(stopping.data),
        ]
        with m.If(self.taken & (started == tail)):
            m.d.comb += self.start_pc.eq(self.pc)
        m.d.sync += [tail.eq(tail + self.taken), started.eq(started + self.start), stopped.eq(stopped + self.stop)]
        with m.If(self.clear):
            m.d.sync += [tail.eq(0), started.eq(0), stopped.eq(0)]
        return m
