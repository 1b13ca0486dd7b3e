"""The vector core's function units and random-number units, each shared by four lanes or more."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.vector_isa import LANES, VECTORS
from gemel_rtl.numeric.function import FunctionUnit
from gemel_rtl.numeric.philox import Philox
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.shared import Shared

__all__ = ["GROUP", "FunctionBank"]

GROUP = 4
"""Lanes of one counter of Philox."""
REGISTER = VECTORS.bit_length() - 1


class FunctionBank(wiring.Component):
    """`units` function units take a vector in 32 / `units` cycles; eight Philox units make 32 words in ten rounds.

    Both may work at once; their results share the lanes' write port, and a finished random vector waits for a free
    cycle there.

    Parameters: units, a power of two up to 32.

    Attributes
    ----------
    interval : cycles from one `start` to the next
    latency : cycles from `start` to the cycle in which the last lane is written

    Members
    -------
    start, function, rd, mask, operands : In, a function of all lanes begins, at least `interval` cycles after another
    random, random_rd, random_mask, scalars : In, Philox begins, with seed (two words), tensor and first group; not
        while `random_busy` : Out, a random vector isn't written yet
    write, rd_out, data : Out, lanes written in this cycle
    done, random_done : Out, the last lane of a function's, or of Philox's, vector is written in this cycle
    idle : Out, nothing is under way
    """

    def __init__(self, units: int):
        self.units = units
        self.interval = LANES // units
        self.latency = self.interval + FunctionUnit.latency
        super().__init__(
            {
                "start": In(1),
                "function": In(4),
                "rd": In(REGISTER),
                "mask": In(LANES),
                "operands": In(data.ArrayLayout(32, LANES)),
                "random": In(1),
                "random_rd": In(REGISTER),
                "random_mask": In(LANES),
                "scalars": In(128),
                "random_busy": Out(1),
                "write": Out(LANES),
                "rd_out": Out(REGISTER),
                "data": Out(data.ArrayLayout(32, LANES)),
                "done": Out(1),
                "random_done": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        each = self.interval
        held = [Signal(32, name=f"held{lane}", reset_less=True) for lane in range(LANES)]
        function = Signal(4, reset_less=True)
        rd = Signal(REGISTER, reset_less=True)
        mask = Signal(LANES, reset_less=True)
        step = Signal(range(each + 1), init=each)
        feeding = Signal()
        m.d.comb += feeding.eq(step != each)
        with m.If(feeding):
            m.d.sync += step.eq(step + 1)
        with m.If(self.start):
            m.d.sync += [register.eq(self.operands[lane]) for lane, register in enumerate(held)]
            m.d.sync += [function.eq(self.function), rd.eq(self.rd), mask.eq(self.mask), step.eq(0)]

        step_bits = (each - 1).bit_length()
        # Lane u * each + s goes through unit u in step s.
        tag = data.StructLayout({"step": step_bits, "rd": REGISTER, "mask": LANES, "last": 1})
        pipe = Pipeline(m, feeding)
        carried = data.View(tag, Cat(step[:step_bits], rd, mask, step == each - 1))
        results = []
        for u in range(self.units):
            m.submodules[f"unit{u}"] = unit = Shared(FunctionUnit(), name="gemel_function_unit")
            m.d.comb += [unit.valid.eq(feeding), unit.function.eq(function)]
            with m.If(feeding):
                m.d.comb += unit.i.eq(Array(held[u * each : (u + 1) * each])[step[:step_bits]])
            results.append(unit.o)
        for _ in range(FunctionUnit.latency):
            pipe.next()
            carried = pipe.carry(carried, name="tag")

        pending = Signal()
        words, finished = [], []
        for u in range(LANES // GROUP):
            m.submodules[f"philox{u}"] = philox = Shared(Philox(), name="gemel_philox")
            group = Signal(33, name=f"group{u}")
            seed, tensor, first = self.scalars[:64], self.scalars[64:96], self.scalars[96:]
            m.d.comb += philox.start.eq(self.random)
            with m.If(self.random):
                counter = (group[:32], group[32], tensor, 0)
                m.d.comb += group.eq(first + u)
                m.d.comb += [word.eq(value) for word, value in zip(philox.counter, counter, strict=True)]
                m.d.comb += [philox.key[i].eq(seed.word_select(i, 32)) for i in range(2)]
            words += list(philox.o)
            finished.append(philox.valid)
        random_rd = Signal(REGISTER, reset_less=True)
        random_mask = Signal(LANES, reset_less=True)
        ready = Signal()
        under_way = Signal(range(FunctionUnit.latency + 2))
        m.d.comb += [
            self.random_busy.eq(pending),
            self.random_done.eq(pending & (ready | finished[0]) & ~pipe.valid),
            self.done.eq(pipe.valid & carried.last),
            self.rd_out.eq(Mux(pipe.valid, carried.rd, random_rd)),
            self.idle.eq(~pending & (under_way == 0)),
        ]
        m.d.sync += under_way.eq(under_way + self.start - self.done)
        with m.If(finished[0]):
            m.d.sync += ready.eq(1)
        with m.If(self.random_done):
            m.d.sync += [pending.eq(0), ready.eq(0)]
        with m.If(self.random):
            m.d.sync += [pending.eq(1), ready.eq(0), random_rd.eq(self.random_rd), random_mask.eq(self.random_mask)]
        with m.If(pipe.valid):
            for lane in range(LANES):
                m.d.comb += [
                    self.data[lane].eq(results[lane // each]),
                    self.write[lane].eq(carried.mask[lane] & (carried.step == lane % each)),
                ]
        with m.Elif(self.random_done):
            m.d.comb += [self.data[lane].eq(words[lane]) for lane in range(LANES)]
            m.d.comb += self.write.eq(random_mask)
        return m
