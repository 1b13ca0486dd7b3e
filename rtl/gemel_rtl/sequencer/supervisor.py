"""Supervision of a launch: the first fault wins, all is aborted, and the launch ends when everybody is idle."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import FAULT_BITS, FaultCode, Unit
from gemel_rtl.interfaces import Fault, Supervision
from gemel_rtl.launch import FaultRecord
from gemel_rtl.sequencer.legality import any_of

__all__ = ["Supervisor"]

LEAST_ABORT = 8
"""Cycles that an abort lasts at least."""


class Supervisor(wiring.Component):
    """Ends a launch: `done` comes in the cycle of `finished`, or once an abort has left every unit idle.

    Of faults in one cycle the first in the order of `units` wins; a fault in the cycle of `finished` wins over it.

    Parameters: units, which take part.
    Members: `unit_<i>`: unit i's supervision; `cause_<i>`: if not 0, the code to record for a fault of unit i that
    memory answered with; `semaphores`: the semaphores' fault; `watch`: a fault that is seen from
    outside of unit `watched`, after those of the units; `start`, `cancel` (abort without a
    fault), `finished`, `done`; `fault`: the record, from the fault to the next `start`.
    """

    def __init__(self, units: Sequence[Unit]):
        self.units = tuple(units)
        super().__init__(
            {
                "start": In(1),
                "cancel": In(1),
                "finished": In(1),
                "done": Out(1),
                "fault": Out(FaultRecord),
                "semaphores": In(Fault),
                "watch": In(Fault),
                "watched": In(FaultRecord.members["unit"]),
            }
            | {f"unit_{i}": In(Supervision) for i in range(len(self.units))}
            | {f"cause_{i}": In(FAULT_BITS) for i in range(len(self.units))}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running = Signal()
        abort = Signal()
        lasted = Signal(range(LEAST_ABORT))
        settled = Signal()
        found = Signal()
        supervised = [getattr(self, f"unit_{i}") for i in range(len(self.units))]
        causes = [getattr(self, f"cause_{i}") for i in range(len(self.units))]
        faults: list[tuple[Any, Any, Any]] = [
            (unit, each.fault, cause) for unit, each, cause in zip(self.units, supervised, causes, strict=True)
        ]
        faults += [(Unit.SEQUENCER, self.semaphores, 0), (self.watched, self.watch, 0)]
        m.d.comb += [
            found.eq(running & ~abort & any_of(fault.valid for _, fault, _ in faults)),
            settled.eq(abort & (lasted == LEAST_ABORT - 1) & Cat(each.idle for each in supervised).all()),
            self.done.eq(settled | (running & ~abort & self.finished & ~found)),
        ]
        m.d.comb += [each.abort.eq(abort) for each in supervised]

        with m.If(abort & (lasted != LEAST_ABORT - 1)):
            m.d.sync += lasted.eq(lasted + 1)
        with m.If(found):
            m.d.sync += [abort.eq(1), lasted.eq(0)]
            for unit, fault, cause in reversed(faults):
                answered = (fault.code == FaultCode.MEMORY_READ) | (fault.code == FaultCode.MEMORY_WRITE)
                with m.If(fault.valid):
                    m.d.sync += [
                        self.fault.code.eq(Mux(answered & (Value.cast(cause) != 0), cause, fault.code)),
                        self.fault.unit.eq(unit),
                        self.fault.pc.eq(fault.pc),
                        self.fault.address.eq(fault.address),
                    ]
        with m.Elif(running & ~abort & self.cancel):
            m.d.sync += [abort.eq(1), lasted.eq(0)]
        with m.If(self.done):
            m.d.sync += [abort.eq(0), running.eq(0)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), self.fault.eq(0)]
        return m
