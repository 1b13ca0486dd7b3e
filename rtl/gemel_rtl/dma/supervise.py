"""What both DMA units tell their supervisor."""

from amaranth.hdl import Module, Mux, Value
from amaranth.lib import wiring

from gemel_rtl.dma.retire import Retire
from gemel_rtl.dma.rows import RowWalker

__all__ = ["supervise"]


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
    row = walker.o
    with m.If(row.valid & row.ready & row.payload.present):
        m.d.comb += sup.moved.eq(row.payload.length)
