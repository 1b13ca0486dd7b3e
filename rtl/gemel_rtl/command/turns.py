"""Taking turns: of several requests the one whose turn was longest ago."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.sequencer.legality import any_of

__all__ = ["Order", "Turns"]


class Order:
    """An order of n: `before[i][j]` (i < j or i > j) says that i comes before j; at first lower numbers do.

    In a cycle of `last`, its set bits go behind all others and keep their order among themselves.
    """

    def __init__(self, m: Module, n: int, last: Signal, name: str):
        self.before: dict[int, dict[int, Any]] = {i: {} for i in range(n)}
        for i in range(n):
            for j in range(i + 1, n):
                ahead = Signal(init=1, name=f"{name}_{i}_before_{j}")
                self.before[i][j], self.before[j][i] = ahead, ~ahead
                with m.If(last[i] != last[j]):
                    m.d.sync += ahead.eq(last[j])


class Turns(wiring.Component):
    """Least recently served first: every request that stays is served after at most n - 1 others.

    Parameters: n.
    Members: `requests`; `chosen`: one of them (one-hot; 0 without requests), in the same cycle; `taken`: it is served.
    """

    def __init__(self, n: int):
        self.n = n
        super().__init__({"requests": In(n), "chosen": Out(n), "taken": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        served = Signal(self.n)
        order = Order(m, self.n, served, "turn")
        m.d.comb += [
            served.eq(Mux(self.taken, self.chosen, 0)),
            self.chosen.eq(
                Cat(
                    self.requests[i] & ~any_of(self.requests[j] & order.before[j][i] for j in order.before[i])
                    for i in range(self.n)
                )
            ),
        ]
        return m
