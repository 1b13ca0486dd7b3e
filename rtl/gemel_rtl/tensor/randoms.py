"""Random bits for the drain's stochastic rounding: 16 neighbouring elements of D at a time."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import DRAIN_LANES
from gemel_golden.formats import FORMATS
from gemel_rtl.numeric.convert import RANDOM_BITS
from gemel_rtl.numeric.philox import Philox
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.layouts import RoundingKey

__all__ = ["Randoms"]

WORDS = 4
"""Random words of one Philox block."""
UNITS = DRAIN_LANES // WORDS + 1
"""Blocks that 16 elements touch wherever they begin."""


class Randoms(wiring.Component):
    """The random bits of elements `index` and up, as `gemel_golden.philox.rounding_bits`.

    Attributes
    ----------
    latency : cycles from `start` to the first `valid`; the next `start` may come as early as that

    Members
    -------
    start : In, with key, index (64) and fmt, that of D
    key : In(RoundingKey), of which seed and tensor count
    valid : Out, the bits of the last `start` are there
    o : Out(16 x 22), right-aligned; they hold through the cycle of the next `start`
    """

    latency = Philox.latency

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "key": In(RoundingKey),
                "index": In(64),
                "fmt": In(4),
                "valid": Out(1),
                "o": Out(data.ArrayLayout(RANDOM_BITS, DRAIN_LANES)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words, arrived = [], []
        for number in range(UNITS):
            m.submodules[f"philox{number}"] = philox = Shared(Philox(), name="gemel_philox")
            with m.If(self.start):
                block = Signal(62, name=f"block{number}")
                m.d.comb += [
                    block.eq(self.index[2:] + number),
                    philox.counter[0].eq(block[:32]),
                    philox.counter[1].eq(block[32:]),
                    philox.counter[2].eq(self.key.tensor),
                    philox.key[0].eq(self.key.seed[:32]),
                    philox.key[1].eq(self.key.seed[32:]),
                ]
            m.d.comb += philox.start.eq(self.start)
            words += list(philox.o)
            arrived.append(philox.valid)
        there = Signal()
        place, fmt = Signal(2, reset_less=True), Signal(4, reset_less=True)
        m.d.comb += self.valid.eq(arrived[0] | there)
        with m.If(arrived[0]):
            m.d.sync += there.eq(1)
        with m.If(self.start):
            m.d.sync += [there.eq(0), place.eq(self.index[:2]), fmt.eq(self.fmt)]
        with m.If(self.valid):
            for lane in range(DRAIN_LANES):
                high = Signal(RANDOM_BITS, name=f"high{lane}")
                with m.Switch(place):
                    for first in range(WORDS):
                        with m.Case(first):
                            m.d.comb += high.eq(words[lane + first][32 - RANDOM_BITS :])
                with m.Switch(fmt):
                    for f in FORMATS.values():
                        if f.stochastic_bits:
                            with m.Case(f.code):
                                m.d.comb += self.o[lane].eq(high[RANDOM_BITS - f.stochastic_bits :])
        return m
