"""A clock gate: the clock of a part that rests most of the time."""

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal, ValueLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.shared import Shared

__all__ = ["ClockGate", "gated"]


class ClockGate(wiring.Component):
    """Stands for an integrated clock gate: `gated` is the clock in cycles at whose end `wake` is high, and in reset.

    `wake` is taken over at the falling edge, so that the clock has no glitches (what the cell's latch does), and has
    half a cycle to settle.
    """

    wake: In(1)
    gated: Out(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        falling = ClockDomain("falling", clk_edge="neg", reset_less=True, local=True)
        m.domains += falling
        awake = Signal()
        m.d.falling += awake.eq(self.wake | ResetSignal())
        m.d.comb += [falling.clk.eq(ClockSignal()), self.gated.eq(ClockSignal() & awake)]
        return m


def gated(m: Module, name: str, wake: ValueLike, domain: str = "sync") -> None:
    """Give module `m` the clock domain `name`: `domain`, resting where `wake` is low.

    At rest it costs no power, and a simulator no time.
    """
    rests = ClockDomain(name, local=True)
    m.domains += rests
    gate = Shared(ClockGate(), name="gemel_clock_gate")
    m.submodules[f"{name}_clock"] = DomainRenamer(domain)(gate)
    m.d.comb += [gate.wake.eq(wake), rests.clk.eq(gate.gated), rests.rst.eq(ResetSignal(domain))]
