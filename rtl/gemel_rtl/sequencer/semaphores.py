"""The counting semaphores that order the units."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import SEMAPHORE_MAX, SEMAPHORES, FaultCode
from gemel_rtl.interfaces import SEMAPHORE_PAIR, Fault
from gemel_rtl.interfaces import Semaphores as Port
from gemel_rtl.sequencer.legality import any_of

__all__ = ["Semaphores"]


class Semaphores(wiring.Component):
    """32 counters, 0 to 255. In a cycle one wait whose counts are there is granted and one signal taken, in rotation.

    A wait sees a signal from the cycle after it was taken. A wait for one semaphore twice needs the sum of its
    counts. A signal that makes a counter exceed 255 raises `fault`, with the signaller's index in `overflow` beside
    it.

    Parameters: ports, how many units take part.
    Members: `port_<i>`: unit i's handshakes; `clear`: zero all, and no fault; `fault`; `source_pc_<i>`: index of the
    instruction that port i signals for; `select`, `value`: a counter for the registers.
    """

    def __init__(self, ports: int):
        self.ports = ports
        super().__init__(
            {"clear": In(1), "fault": Out(Fault), "select": In(range(SEMAPHORES)), "value": Out(8)}
            | {f"port_{i}": In(Port) for i in range(ports)}
            | {f"source_pc_{i}": In(Fault.members["pc"].shape) for i in range(ports)}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counters = [Signal(8, name=f"count{i}") for i in range(SEMAPHORES)]
        counts = Array(counters)
        ports = [getattr(self, f"port_{i}") for i in range(self.ports)]
        m.d.comb += self.value.eq(counts[self.select])

        waits = []
        for i, port in enumerate(ports):
            want = port.wait.payload
            same = Signal(name=f"same{i}")
            need = Signal(9, name=f"need{i}")
            there = Signal(name=f"there{i}")
            m.d.comb += [
                same.eq(want.sem0 == want.sem1),
                need.eq(Mux(same, want.count0 + want.count1, want.count0)),
                there.eq(port.wait.valid & (counts[want.sem0] >= need) & (same | (counts[want.sem1] >= want.count1))),
            ]
            waits.append(there)
        granted = self._rotate(m, "wait", waits)
        taken = self._rotate(m, "signal", [port.signal.valid for port in ports])
        take = Signal(SEMAPHORE_PAIR)
        give = Signal(SEMAPHORE_PAIR)
        source = Signal.like(self.fault.pc)
        for i, port in enumerate(ports):
            m.d.comb += [port.wait.ready.eq(granted[i]), port.signal.ready.eq(taken[i])]
            with m.If(granted[i]):
                m.d.comb += take.eq(port.wait.payload)
            with m.If(taken[i]):
                m.d.comb += [give.eq(port.signal.payload), source.eq(getattr(self, f"source_pc_{i}"))]

        over = Signal(SEMAPHORES)
        for i, counter in enumerate(counters):
            new = Signal(11, name=f"new{i}")
            m.d.comb += new.eq(counter)
            with m.If(any_of(granted) | any_of(taken)):
                m.d.comb += [
                    new.eq(
                        counter
                        + (Mux(give.sem0 == i, give.count0, 0) + Mux(give.sem1 == i, give.count1, 0))
                        - (Mux(take.sem0 == i, take.count0, 0) + Mux(take.sem1 == i, take.count1, 0))
                    ),
                    over[i].eq(new > SEMAPHORE_MAX),
                ]
                m.d.sync += counter.eq(new)
        m.d.comb += self.fault.code.eq(FaultCode.SEMAPHORE_OVERFLOW)
        with m.If(over.any() & ~self.fault.valid):
            m.d.sync += [self.fault.valid.eq(1), self.fault.pc.eq(source)]
        with m.If(self.clear):
            m.d.sync += [counter.eq(0) for counter in counters]
            m.d.sync += self.fault.valid.eq(0)
        return m

    def _rotate(self, m: Module, name: str, requests: list[Signal]) -> list[Signal]:
        """One grant among the requests, first come to the port after the one granted last."""
        count = len(requests)
        last = Signal(range(count), name=f"{name}_last")
        grants = [Signal(name=f"{name}_grant{i}") for i in range(count)]
        with m.Switch(last):
            for previous in range(count):
                # Numbers that no port has can only come of an upset, and must not stop the rotation.
                with m.Case(previous) if previous < count - 1 else m.Default():
                    earlier: list[Signal] = []
                    for i in ((previous + 1 + k) % count for k in range(count)):
                        m.d.comb += grants[i].eq(requests[i] & ~any_of(earlier))
                        earlier.append(requests[i])
        for i, grant in enumerate(grants):
            with m.If(grant):
                m.d.sync += last.eq(i)
        return grants
