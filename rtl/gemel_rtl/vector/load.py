"""The load side of the vector core: accesses to L1 requests, and what comes back to the lanes."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import CHUNK, ChipConfig
from gemel_golden.vector_isa import LANES, VECTORS
from gemel_rtl.interfaces import l1_read_port
from gemel_rtl.l1.l1 import READ_LATENCY
from gemel_rtl.noc.queue import Queue
from gemel_rtl.tensor.formats import has_bits
from gemel_rtl.vector.layouts import HALF, Place

__all__ = ["DEPTH", "Load", "Loading"]

DEPTH = 8
"""Loads under way."""
REGISTER = VECTORS.bit_length() - 1


class Loading(data.Struct):
    """What a load is beside its place."""

    rd: REGISTER
    fmt: 4
    element: 1
    mask: LANES


_Order = data.StructLayout({"loading": Loading, "parity": 1, "offset": 5, "beat": 1, "last": 1})


class Load(wiring.Component):
    """A load of a 32-bit format takes two cycles of L1's port, any other one.

    Attributes
    ----------
    latency : cycles from `valid` to the last write where L1 grants at once, less one for a format of one beat

    Parameters: config.

    Members
    -------
    valid, place, loading : In, an access whose place is known; at most `DEPTH` are under way
    l1 : Out, read port
    write, rd, fmt, keep, codes : Out, write to all lanes of `write` the widened `codes`, or zero where not `keep`
    done : Out, pulse: a load's last lanes are written in this cycle
    requested : Out, pulse: L1 has taken the last request of a load
    """

    latency = 2 + READ_LATENCY + 1

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "place": In(Place),
                "loading": In(Loading),
                "l1": Out(l1_read_port(config)),
                "write": Out(LANES),
                "rd": Out(REGISTER),
                "fmt": Out(4),
                "keep": Out(LANES),
                "codes": Out(data.ArrayLayout(32, LANES)),
                "done": Out(1),
                "requested": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entry = data.StructLayout({"place": Place, "loading": Loading})
        m.submodules.queue = queue = Queue(entry, DEPTH)
        m.submodules.order = order = Queue(_Order, DEPTH)
        m.d.comb += [
            queue.i.valid.eq(self.valid),
            queue.i.payload.place.eq(self.place),
            queue.i.payload.loading.eq(self.loading),
        ]

        # Requests: the chunks of a beat lie in different halves.
        head = queue.o.payload
        place, loading = head.place, head.loading
        beat, last, go = Signal(), Signal(), Signal()
        words = [Mux(beat, place.words[2 + i], place.words[i]) for i in range(2)]
        needed = Mux(beat, place.needed[2:], place.needed[:2])
        req = self.l1.req
        m.d.comb += [
            last.eq(beat | ~has_bits(loading.fmt, 32) | loading.element),
            req.valid.eq(queue.o.valid & order.i.ready),
            req.payload.addr0.eq(Mux(place.parity, words[1], words[0])),
            req.payload.addr1.eq(Mux(place.parity, words[0], words[1])),
            req.payload.en0.eq(Mux(place.parity, needed[1], needed[0])),
            req.payload.en1.eq(Mux(place.parity, needed[0], needed[1])),
            go.eq(req.valid & req.ready),
            order.i.valid.eq(go),
            order.i.payload.loading.eq(loading),
            order.i.payload.parity.eq(place.parity),
            order.i.payload.offset.eq(place.offset),
            order.i.payload.beat.eq(beat),
            order.i.payload.last.eq(last),
            queue.o.ready.eq(go & last),
            self.requested.eq(go & last),
        ]
        with m.If(go):
            m.d.sync += beat.eq(~last)

        # Answers: every lane's code, in the low bits.
        got = order.o.payload
        fmt = got.loading.fmt
        m.d.comb += order.o.ready.eq(self.l1.valid)
        bits = Signal(16 * CHUNK)
        codes = Signal(32 * LANES)
        lanes = Signal(LANES)
        with m.If(self.l1.valid):
            first, second = self.l1.data[0], self.l1.data[1]
            m.d.comb += bits.eq(Mux(got.parity, Cat(second, first), Cat(first, second)))
            chunk = bits[: 8 * CHUNK]
            half = Mux(got.offset[4], chunk[128:], chunk[:128])
            with m.If(got.loading.element):
                element = Signal(32)
                wanted = Signal(32)
                m.d.comb += [
                    element.eq(chunk.word_select(got.offset[2:], 32)),
                    wanted.eq(element >> Cat(Const(0, 3), got.offset[:2])),
                    codes.eq(Cat(wanted for _ in range(LANES))),
                ]
            with m.Elif(has_bits(fmt, 32)):
                m.d.comb += codes.eq(Cat(bits, bits))
            with m.Elif(has_bits(fmt, 16)):
                m.d.comb += codes.eq(Cat(Cat(bits.word_select(i, 16), Const(0, 16)) for i in range(LANES)))
            with m.Elif(has_bits(fmt, 4)):
                m.d.comb += codes.eq(Cat(Cat(half.word_select(i, 4), Const(0, 28)) for i in range(LANES)))
            with m.Else():
                m.d.comb += codes.eq(Cat(Cat(chunk.word_select(i, 8), Const(0, 24)) for i in range(LANES)))
            two = has_bits(fmt, 32) & ~got.loading.element
            m.d.comb += lanes.eq(Cat((~two | ~got.beat).replicate(HALF), (~two | got.beat).replicate(HALF)))
            m.d.sync += [
                self.codes.as_value().eq(codes),
                self.rd.eq(got.loading.rd),
                self.fmt.eq(fmt),
                self.keep.eq(got.loading.mask),
            ]
        m.d.sync += [self.write.eq(lanes), self.done.eq(self.l1.valid & got.last)]
        return m
