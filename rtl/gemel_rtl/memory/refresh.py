"""Per-bank refresh: which bank comes next, and when."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.timing import POSTPONED, Dram

__all__ = ["Refresh"]


class Refresh(wiring.Component):
    """Gives each bank its refresh once a round of refi clocks. First comes the bank that nobody waits for and that was
    used last, if not half of the banks were used since: a stream comes back to it last. When a quarter of a round's
    banks are overdue, any bank that nobody waits for will do; when half of them are, any bank.

    Parameters: dram.
    Members, per bank: `idle` (no granule waits that should find it), `used` (has a column command in this clock),
    `precharge`, `refresh` (commands allowed now, see `Banks`), `claimed`: nothing but the refresh and its precharge may
    be given to it. `do_precharge`, `do_refresh`, `bank`: the row command wanted; it must be given in the clock in which
    it is wanted. A claimed bank is one of the round's banks that hadn't its turn.
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
        urgent = min(banks // 2, banks * (POSTPONED - 1))
        clock = Signal(range(period))
        due = Signal(range(2 * banks))
        left = Signal(banks, init=(1 << banks) - 1)  # of this round
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
        wanted, quiet, latest, recent = (Signal(banks, name=name) for name in ("wanted", "quiet", "latest", "recent"))
        m.d.comb += [
            quiet.eq(left & self.idle),
            latest.eq(Cat(quiet[b] & ~(others & quiet).any() for b, others in enumerate(newer))),
            recent.eq(Cat(sum(others) <= banks // 2 for others in newer)),
            wanted.eq(latest & recent),
        ]
        with m.If((quiet == 0) & (due >= urgent)):
            m.d.comb += wanted.eq(left)
        with m.Elif(due >= urgent // 2):
            m.d.comb += wanted.eq(latest)
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
            with m.If(rest == 0):
                m.d.sync += left.eq((1 << banks) - 1)
        return m
