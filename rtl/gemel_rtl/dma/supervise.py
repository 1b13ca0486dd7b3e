"""What both DMA units tell their supervisor."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring

from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.rows import RowWalker
from gemel_rtl.l1.l1 import READ_LATENCY

__all__ = ["settle", "supervise"]


def settle(m: Module, abort: Value) -> Value:
    """Whether L1 reads that were under way when `abort` rose have come in."""
    since = Signal(READ_LATENCY + 1)
    m.d.sync += since.eq(Cat(abort, since))
    return ~abort | since[-1]


def supervise(m: Module, unit, walker: RowWalker, retire: Retire, bus_idle: Value, fault, signal) -> None:
    """Connect `unit`'s issue, semaphores and supervision; `fault` (a Fault's members) holds until it is cleared.

    `signal` takes the signals of instructions that are done.
    """
    sup = unit.sup
    wiring.connect(m, wiring.flipped(unit.issue), walker.issue)
    wiring.connect(m, walker.wait, wiring.flipped(unit.semaphores.wait))
    wiring.connect(m, retire.signal, signal)
    m.d.comb += [
        walker.stop.eq(sup.abort | sup.fault.valid),
        sup.start.eq(walker.start),
        sup.stop.eq(retire.stop),
        sup.waiting.eq(walker.waiting),
        sup.idle.eq(~retire.busy & bus_idle),
        sup.pc.eq(Mux(walker.waiting | ~retire.busy, unit.issue.payload.pc, retire.pc)),
        sup.fault.valid.eq(fault.valid),
        sup.fault.code.eq(fault.code),
        sup.fault.pc.eq(fault.pc),
        sup.fault.address.eq(fault.address),
    ]
