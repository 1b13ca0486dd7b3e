"""Streams that neither lose, duplicate nor reorder: queues, slices and forks."""

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import data, stream

from gemel_rtl.noc.fork import fork
from gemel_verif.formal.prover import assume, must

__all__ = ["ForkProperties", "StreamProperties", "bounded", "held"]

COUNT = 3
"""Bits of the numbers that payloads carry, which tell more payloads apart than anything here holds."""


def held(m: Module, channel: Any, name: str, claim: Callable[[Value], Any]) -> None:
    """`claim` (Assert or given) the rule of streams: valid doesn't fall nor payload change while ready is low."""
    before, payload = Signal(name=f"{name}_before"), Signal.like(Value.cast(channel.payload), name=f"{name}_payload")
    m.d.sync += [before.eq(channel.valid & ~channel.ready), payload.eq(channel.payload)]
    m.d.comb += claim(~before | (channel.valid & (Value.cast(channel.payload) == payload)))


def bounded(m: Module, waits: Any, limit: int, name: str, claim: Callable[[Value], Any]) -> None:
    """`claim` that `waits` isn't high for more than `limit` cycles in a row."""
    count = Signal(range(limit + 2), name=f"{name}_waited")
    m.d.sync += count.eq(0)
    with m.If(waits):
        m.d.sync += count.eq(count + 1)
        m.d.comb += claim(count < limit)


class StreamProperties(Elaboratable):
    """`unit`, with streams `i` and `o`, numbers going in: what comes out is the next number, and nothing stays inside.

    Payloads don't steer such a unit, so numbers stand for any of them.

    Parameters: unit, capacity (payloads that it holds, and takes), patience (cycles in a row that the receiver is not
    ready at most; 0: no limit).
    """

    def __init__(self, unit: Any, capacity: int, patience: int = 0):
        self.unit = unit
        self.capacity = capacity
        self.patience = patience
        self.inputs = [unit.i.valid, unit.o.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        put, got, inside = Signal(COUNT), Signal(COUNT), Signal(COUNT)
        m.d.comb += [Value.cast(unit.i.payload).eq(put), inside.eq(put - got)]
        m.d.sync += [put.eq(put + (unit.i.valid & unit.i.ready)), got.eq(got + (unit.o.valid & unit.o.ready))]
        held(m, unit.i, "i", assume)
        held(m, unit.o, "o", must)
        if self.patience:
            bounded(m, ~unit.o.ready, self.patience, "receiver", assume)
        m.d.comb += [
            must((Value.cast(unit.o.payload) == got) | ~unit.o.valid),
            must(unit.o.valid == (inside != 0)),
            must(inside <= self.capacity),
            must(unit.i.ready | (inside == self.capacity)),
        ]
        return m


class ForkProperties(Elaboratable):
    """`fork` into two: each sink that wants a payload gets it once, the other not, before the source moves on.

    Parameters: patience (cycles in a row that any side lets the others wait at most; 0: no limit).
    """

    def __init__(self, patience: int = 0):
        self.patience = patience
        shape = data.StructLayout({"number": COUNT, "wanted": 2})
        self.source = stream.Signature(shape).create(path=("source",))
        self.sinks = [stream.Signature(COUNT).create(path=(f"sink{i}",)) for i in range(2)]
        self.inputs = [self.source.valid, self.source.payload, *(sink.ready for sink in self.sinks)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        source = self.source
        number = Signal(COUNT)
        moves = Signal()
        fork(m, source, [(sink, source.payload.wanted[i]) for i, sink in enumerate(self.sinks)], "fork")
        held(m, source, "source", assume)
        m.d.comb += [moves.eq(source.valid & source.ready), assume(source.payload.number == number)]
        m.d.sync += number.eq(number + moves)
        all_served = Signal(2)
        for i, sink in enumerate(self.sinks):
            served, goes = Signal(name=f"served{i}"), Signal(name=f"goes{i}")
            m.d.comb += [
                sink.payload.eq(source.payload.number),
                goes.eq(sink.valid & sink.ready),
                all_served[i].eq(served | goes | ~source.payload.wanted[i]),
                must(~(goes & (served | ~source.payload.wanted[i]))),
                must(all_served[i] | ~moves),
                must(sink.valid | ~(source.valid & source.payload.wanted[i] & ~served)),
            ]
            m.d.sync += served.eq((served | goes) & ~moves)
            held(m, sink, f"sink{i}", must)
        for i, rests in enumerate([~source.valid, *(~sink.ready for sink in self.sinks)] if self.patience else []):
            bounded(m, rests, self.patience, f"side{i}", assume)
        m.d.comb += must(source.ready | ~(source.valid & all_served.all()))
        return m
