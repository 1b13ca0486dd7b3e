"""How long memory takes to answer LOAD."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.counters import BUCKETS
from gemel_rtl.noc.queue import Queue

__all__ = ["Latency"]


class Latency(wiring.Component):
    """Times bursts that are answered in order, from the address's transfer to the first beat's: in the beat's cycle
    `bucket` is the binary logarithm of the cycles between, rounded down. Cycles are counted modulo 65,536.

    Parameters: config.
    Members: `asked`, an address goes; `beat`, a beat comes, with `last`; `first`, it is the first of its burst;
    `bucket`.
    """

    def __init__(self, config: ChipConfig):
        self.depth = 2 * config.outstanding
        super().__init__({"asked": In(1), "beat": In(1), "last": In(1), "first": Out(1), "bucket": Out(range(BUCKETS))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.times = times = Queue(BUCKETS, self.depth)
        now, passed = Signal(BUCKETS), Signal(BUCKETS)
        fresh = Signal(init=1)
        m.d.comb += [
            times.i.payload.eq(now),
            times.i.valid.eq(self.asked),
            self.first.eq(self.beat & fresh),
            times.o.ready.eq(self.first),
        ]
        m.d.sync += now.eq(now + 1)
        with m.If(self.beat):
            m.d.sync += fresh.eq(self.last)
        with m.If(self.first):
            m.d.comb += passed.eq(now - times.o.payload)
            for bit in range(BUCKETS):
                with m.If(passed[bit]):
                    m.d.comb += self.bucket.eq(bit)
        return m
