"""Philox-4x32-10, one round per cycle."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.philox import MULTIPLIERS, ROUNDS, WEYL

__all__ = ["Philox"]


class Philox(wiring.Component):
    """o = `gemel_golden.philox.philox4x32(counter, key)`. One block of four words per `latency` cycles.

    `valid` comes `latency` cycles after `start`, and the next `start` may come in the cycle of `valid`. An earlier one
    abandons the words under way.

    Attributes
    ----------
    latency : cycles from `start` to `valid`

    Members
    -------
    start : In(1)
    counter : In(32) four times, used in the cycle of `start`
    key : In(32) twice, used in the cycle of `start`
    valid : Out(1), pulse: the words are there
    o : Out(32) four times; from `valid` on they hold through the cycle of the next `start`
    """

    latency = ROUNDS

    start: In(1)
    counter: In(32).array(4)
    key: In(32).array(2)
    valid: Out(1)
    o: Out(32).array(4)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(range(ROUNDS))
        busy = Signal()
        words = [Signal(32, name=f"word{i}", reset_less=True) for i in range(4)]
        keys = [Signal(32, name=f"key{i}", reset_less=True) for i in range(2)]
        before = [Signal(32, name=f"before{i}") for i in range(4)]
        key = [Signal(32, name=f"key_before{i}") for i in range(2)]
        product = [Signal(64, name=f"product{i}") for i in range(2)]
        m.d.comb += [o.eq(word) for o, word in zip(self.o, words, strict=True)]
        m.d.sync += self.valid.eq(0)
        with m.If(self.start | busy):
            m.d.comb += [
                *(
                    now.eq(Mux(self.start, new, word))
                    for now, new, word in zip(before, self.counter, words, strict=True)
                ),
                *(now.eq(Mux(self.start, new, word)) for now, new, word in zip(key, self.key, keys, strict=True)),
                product[0].eq(before[0] * MULTIPLIERS[0]),
                product[1].eq(before[2] * MULTIPLIERS[1]),
            ]
            m.d.sync += [
                words[0].eq(product[1][32:] ^ before[1] ^ key[0]),
                words[1].eq(product[1][:32]),
                words[2].eq(product[0][32:] ^ before[3] ^ key[1]),
                words[3].eq(product[0][:32]),
                *(word.eq(now + step) for word, now, step in zip(keys, key, WEYL, strict=True)),
            ]
            with m.If(self.start):
                m.d.sync += [count.eq(1), busy.eq(1)]
            with m.Elif(count == ROUNDS - 1):
                m.d.sync += [busy.eq(0), self.valid.eq(1)]
            with m.Else():
                m.d.sync += count.eq(count + 1)
        return m
