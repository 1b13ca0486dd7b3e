"""Per-bank refresh: which bank comes next, and when."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.timing import POSTPONED, Dram

__all__ = ["Refresh"]


CALM = 32
"""Clocks without a granule for any bank after which nobody is likely to miss one."""


class Refresh(wiring.Component):
    """Gives each bank its refresh once a round of refi clocks on average.

    First comes, of the banks that nobody waits for, the one that was used last, if not half of the banks were used
    since: a stream comes back to it last. If no such bank of this round is left, one of the next round goes ahead. When
    nobody wants anything, or a whole round is overdue, any bank of this round that nobody waits for will do; when two
    are, any bank. So a bank is at most four refreshes behind, where `POSTPONED` are allowed.

    Parameters: dram.
    Members, per bank: `idle` (no granule waits that should find it), `used` (has a column command in this clock),
    `precharge`, `refresh` (commands allowed now, see `Banks`), `claimed`: nothing but the refresh and its precharge may
    be given to it. `do_precharge`, `do_refresh`, `bank`: the row command wanted; it must be given in the clock in which
    it is wanted.
    """

    def __init__(self, dram: Dram):
        self.dram = dram
        banks = dram.banks
        super().__init__(
            {
                "idle": In(banks),
                "used": In(banks),
                "precharge": In(banks),
                "refresh": In(banks),
                "claimed": Out(banks),
                "do_precharge": Out(1),
                "do_refresh": Out(1),
                "bank": Out(range(banks)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        banks = self.dram.banks
        period = self.dram.clocks.refi // banks
        overdue, urgent = banks, 2 * banks
        assert urgent <= (POSTPONED - 4) * banks
        clock = Signal(range(period))
        due = Signal(range(2 * urgent))
        left = Signal(banks, init=(1 << banks) - 1)  # of this round
        ahead = Signal(banks)  # had that of the next round too
        calm = Signal(range(CALM + 1))
        claiming = self.claimed.any()
        tick = clock == period - 1
        m.d.sync += [clock.eq(clock + 1), due.eq(due + tick - self.do_refresh)]
        with m.If(tick):
            m.d.sync += clock.eq(0)

        newer = [Signal(banks, name=f"newer{b}", init=(1 << b) - 1) for b in range(banks)]  # used after bank b
        for b, others in enumerate(newer):
            with m.If(self.used[b]):
                m.d.sync += others.eq(0)
            with m.Elif(self.used.any()):
                m.d.sync += others.eq(others | self.used)
        wanted, pool, fit, first = (Signal(banks, name=name) for name in ("wanted", "pool", "fit", "first"))
        m.d.comb += [
            fit.eq(self.idle & Cat(sum(others) <= banks // 2 for others in newer)),
            first.eq(left & fit),
            pool.eq(Mux(first.any(), first, ~(left | ahead) & fit)),
            wanted.eq(Cat(pool[b] & ~(others & pool).any() for b, others in enumerate(newer))),
        ]
        with m.If((calm == CALM) | (due >= overdue)):
            m.d.comb += pool.eq(left & self.idle)
        with m.If(((left & self.idle) == 0) & (due >= urgent)):
            m.d.comb += wanted.eq(left)
        with m.If(~self.idle.all()):
            m.d.sync += calm.eq(0)
        with m.Elif(calm != CALM):
            m.d.sync += calm.eq(calm + 1)
        with m.If(~claiming & (due != 0)):
            m.d.sync += self.claimed.eq(wanted & (~wanted + 1))
        m.d.comb += [
            self.do_precharge.eq((self.claimed & self.precharge).any()),
            self.do_refresh.eq((self.claimed & self.refresh).any()),
        ]
        for b in range(banks):
            with m.If(self.claimed[b]):
                m.d.comb += self.bank.eq(b)
        with m.If(self.do_refresh):
            rest = left & ~self.claimed
            m.d.sync += [self.claimed.eq(0), left.eq(rest)]
            with m.If((self.claimed & left) == 0):
                m.d.sync += ahead.eq(ahead | self.claimed)
            with m.Elif(rest == 0):
                m.d.sync += [left.eq(~ahead), ahead.eq(0)]
        return m
