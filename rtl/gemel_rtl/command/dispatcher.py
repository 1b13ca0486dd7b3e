"""The dispatcher: owns the cores and gives them to the rings' launches."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FaultCode, Unit
from gemel_rtl.command.turns import Order
from gemel_rtl.launch import FaultRecord, Launch, RingFault, ring_launch
from gemel_rtl.sequencer.legality import any_of

__all__ = ["PRIORITY_BITS", "Dispatcher"]

PRIORITY_BITS = 3


class Dispatcher(wiring.Component):
    """A launch begins, in the cycle in which it is asked for if possible, when all its cores are free.

    Of launches that want the same core, the one of the highest priority goes first, and among equals that of the ring
    whose last launch began longest ago. Its cores are kept for it meanwhile: nothing behind it in this order takes
    them, so that a launch on many cores isn't starved by those on few. A fault of one core cancels the launch's others;
    the first fault is recorded, in one cycle that of the lowest core.

    Parameters: config.
    Members: `ring` (array): the rings' launches; `priority` (array over rings); `core` (array): the cores; `reset`: bit
    c resets core c and ends its launch with CANCELLED.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "ring": In(ring_launch(config)).array(config.rings),
                "priority": In(PRIORITY_BITS).array(config.rings),
                "core": Out(Launch).array(config.cores),
                "reset": In(config.cores),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rings, cores = range(self.config.rings), range(self.config.cores)
        left = [Signal(len(cores), name=f"left_{r}") for r in rings]
        granted = Signal(len(rings))
        order = Order(m, len(rings), granted, "ring")
        whole = [Signal(len(cores), name=f"whole_{r}", reset_less=True) for r in rings]
        taken = Signal(len(cores))
        # A core that is done stays the launch's until all are: others of it may still signal it or write to its L1.
        resetting = Cat(core.resetting for core in self.core)
        m.d.comb += taken.eq(any_of([resetting, *(Mux(left[r].any(), whole[r], 0) for r in rings)]))

        for r in rings:
            wanted = self.ring[r].cores
            ahead = []
            for j in order.before[r]:
                equal = self.priority[j] == self.priority[r]
                goes_first = (self.priority[j] > self.priority[r]) | (equal & order.before[j][r])
                ahead.append(Mux(self.ring[j].valid & goes_first, self.ring[j].cores, 0))
            kept = any_of([taken, *ahead])
            m.d.comb += [
                granted[r].eq(self.ring[r].valid & ~(wanted & kept).any()),
                self.ring[r].ready.eq(granted[r]),
            ]

        done = Cat(core.done for core in self.core)
        stop = [Signal(name=f"stop_{r}") for r in rings]
        for r in rings:
            ring = self.ring[r]
            fault = Signal(RingFault, name=f"fault_{r}")
            remaining = Signal(len(cores), name=f"remaining_{r}")
            m.d.comb += [
                remaining.eq(left[r] & ~done),
                stop[r].eq(ring.cancel | (fault.code != 0)),
                ring.done.eq(~remaining.any()),
                ring.fault.eq(fault),
            ]
            m.d.sync += left[r].eq(remaining)
            with m.If(fault.code == 0):
                with m.If((left[r] & self.reset).any()):
                    m.d.sync += [fault.code.eq(FaultCode.CANCELLED), fault.unit.eq(Unit.COMMAND)]
                for c in reversed(cores):
                    record = self.core[c].fault
                    with m.If(left[r][c] & (record.code != 0)):
                        m.d.sync += [fault[name].eq(record[name]) for name, _ in FaultRecord]
                        m.d.sync += fault.core.eq(c)
            with m.If(granted[r]):
                m.d.sync += [left[r].eq(ring.cores), whole[r].eq(ring.cores), fault.eq(0)]

        for c in cores:
            core = self.core[c]
            owned = [left[r][c] for r in rings]
            starts = [granted[r] & self.ring[r].cores[c] for r in rings]
            m.d.comb += [core.start.eq(any_of(starts)), core.reset.eq(self.reset[c])]
            for r in rings:
                with m.If(starts[r]):
                    names = ("program", "length", "windows", "watchdog")
                    m.d.comb += [getattr(core, name).eq(getattr(self.ring[r], name)) for name in names]
                with m.If(owned[r]):
                    m.d.comb += [
                        core.argument.eq(self.ring[r].argument),
                        core.argument_valid.eq(self.ring[r].argument_cores[c]),
                        core.go.eq(self.ring[r].go),
                        core.cancel.eq(stop[r]),
                        core.team.eq(whole[r]),
                    ]
        return m
