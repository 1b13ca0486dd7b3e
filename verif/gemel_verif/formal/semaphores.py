"""The semaphores: no counter goes below zero, none beyond 255 unnoticed, and no wait or signal waits for ever."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal

from gemel_golden.isa import SEMAPHORE_MAX
from gemel_rtl.interfaces import SEMAPHORE_PAIR
from gemel_rtl.sequencer.semaphores import Semaphores
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import bounded, held

__all__ = ["SemaphoreProperties"]

USED = 2
"""Semaphores that the units name; the others have the same logic."""


class SemaphoreProperties(Elaboratable):
    """`Semaphores` beside a sum of all that was granted, of one semaphore, of all that the solver tries.

    Parameters: ports.
    """

    def __init__(self, ports: int):
        self.semaphores = Semaphores(ports)
        self.ports = [getattr(self.semaphores, f"port_{i}") for i in range(ports)]
        self.watched = self.semaphores.select
        self.inputs = [self.watched, self.semaphores.clear]
        for port in self.ports:
            self.inputs += [port.wait.valid, port.wait.payload, port.signal.valid, port.signal.payload]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.semaphores = semaphores = self.semaphores
        begun, before = Signal(), Signal.like(self.watched)
        m.d.sync += [begun.eq(1), before.eq(self.watched)]
        m.d.comb += [assume((self.watched == before) | ~begun), assume(self.watched < USED)]

        count = Signal(SEMAPHORE_MAX.bit_length())
        over = Signal()
        amounts = []
        for kind in ("wait", "signal"):
            channels = [getattr(port, kind) for port in self.ports]
            moves, pair, amount = Signal(len(channels), name=f"{kind}s"), Signal(SEMAPHORE_PAIR, name=kind), Signal(9)
            for i, channel in enumerate(channels):
                held(m, channel, f"{kind}{i}", assume)
                m.d.comb += moves[i].eq(channel.valid & channel.ready)
                m.d.comb += assume((channel.payload.sem0 < USED) & (channel.payload.sem1 < USED))
                with m.If(moves[i]):
                    m.d.comb += pair.eq(channel.payload)
                    m.d.comb += must(moves == 1 << i)
            with m.If(moves.any()):
                first, second = (Mux(pair[f"sem{i}"] == self.watched, pair[f"count{i}"], 0) for i in (0, 1))
                m.d.comb += amount.eq(first + second)
            amounts.append(amount)
        taken, given = amounts

        for i, port in enumerate(self.ports):
            bounded(m, port.signal.valid & ~port.signal.ready, len(self.ports) - 1, f"signal{i}", must)
            wait = port.wait.payload
            enough = (wait.sem0 == self.watched) & (wait.count1 == 0) & (count >= wait.count0) & ~over
            bounded(m, port.wait.valid & ~port.wait.ready & enough, len(self.ports) - 1, f"wait{i}", must)

        following = Signal(11)
        m.d.comb += following.eq(count + given - taken)
        m.d.sync += count.eq(following)
        with m.If(following > SEMAPHORE_MAX):
            m.d.sync += over.eq(1)
        with m.If(semaphores.clear):
            m.d.sync += [count.eq(0), over.eq(0)]
        m.d.comb += [
            must(over | (semaphores.value == count)),
            must(over | (count >= taken)),
            must(~over | semaphores.fault.valid),
        ]
        return m
