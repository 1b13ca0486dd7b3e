"""One reader's side of the crossbar: its bursts go out in pieces to several targets, its data come back in order."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import AXI_DATA_BITS, axi_read
from gemel_rtl.noc.pieces import PIECE_BEATS, PieceCutter
from gemel_rtl.noc.queue import Queue
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.slice import Slice

__all__ = ["ReadSplitter", "check_beats"]

BEAT = data.StructLayout({"data": AXI_DATA_BITS, "resp": 2})


def check_beats(beats: int) -> None:
    """Raise ValueError unless a buffer of `beats` holds the longest piece."""
    if beats < PIECE_BEATS:
        raise ValueError(f"a buffer of {beats} beats doesn't hold a piece of {PIECE_BEATS}")


class ReadSplitter(wiring.Component):
    """A read port in, a read port to each target out.

    A piece is asked for only once there is room for all its beats in the target's buffer, so `o[t].r` is always taken
    and no target ever waits for another. Within these limits pieces of many bursts are under way in all targets. One
    piece and one beat a cycle. All go out with ID 0: targets answer in order. R's ID is zero.

    Parameters: config; route; beats (buffered for each target, at least `PIECE_BEATS`); id_bits.
    Members: `i`, `o` (array over targets).
    """

    def __init__(self, config: ChipConfig, route: Route, beats: int, *, id_bits: int = 2):
        check_beats(beats)
        self.config = config
        self.route = route
        self.beats = beats
        port = axi_read(config, id_bits)
        super().__init__({"i": In(port), "o": Out(port).array(route.targets)})

    def elaborate(self, platform) -> Module:
        m = Module()
        targets = self.route.targets
        m.submodules.ar = ar = Slice(self.i.ar.payload.shape())
        m.submodules.cutter = cutter = PieceCutter(self.config, self.route)
        order_layout = data.StructLayout(
            {"target": max(1, ceil_log2(targets)), "len": ceil_log2(PIECE_BEATS), "last": 1}
        )
        m.submodules.order = order = Queue(order_layout, self.beats)
        wiring.connect(m, wiring.flipped(self.i.ar), ar.i)
        m.d.comb += [
            cutter.i.payload.addr.eq(ar.o.payload.addr),
            cutter.i.payload.len.eq(ar.o.payload.len),
            cutter.i.valid.eq(ar.o.valid),
            ar.o.ready.eq(cutter.i.ready),
        ]

        piece = cutter.o.payload
        able = Signal()
        m.d.comb += [
            cutter.o.ready.eq(able & order.i.ready),
            order.i.valid.eq(cutter.o.valid & able),
            order.i.payload.target.eq(piece.target),
            order.i.payload.len.eq(piece.len),
            order.i.payload.last.eq(piece.last),
        ]
        head, beat = order.o.payload, self.i.r
        position = Signal(ceil_log2(PIECE_BEATS))
        ends, moved = Signal(), Signal()
        m.d.comb += [
            ends.eq(position == head.len),
            moved.eq(beat.valid & beat.ready),
            beat.payload.last.eq(ends & head.last),
            order.o.ready.eq(moved & ends),
        ]
        with m.If(moved):
            m.d.sync += position.eq(position + 1)
            with m.If(ends):
                m.d.sync += position.eq(0)

        for t, port in enumerate(self.o):
            m.submodules[f"ar{t}"] = out = Slice(port.ar.payload.shape())
            m.submodules[f"buffer{t}"] = buffer = Queue(BEAT, self.beats)
            free = Signal(range(self.beats + 1), init=self.beats, name=f"free{t}")
            asked, given = Signal(range(PIECE_BEATS + 1), name=f"asked{t}"), Signal(name=f"given{t}")
            wiring.connect(m, out.o, wiring.flipped(port.ar))
            m.d.comb += [out.i.payload.addr.eq(piece.addr), out.i.payload.len.eq(piece.len)]
            with m.If(piece.target == t):
                m.d.comb += [
                    able.eq(out.i.ready & (free > piece.len)),
                    out.i.valid.eq(cutter.o.valid & cutter.o.ready),
                ]
            m.d.comb += [
                buffer.i.valid.eq(port.r.valid),
                buffer.i.payload.data.eq(port.r.payload.data),
                buffer.i.payload.resp.eq(port.r.payload.resp),
                port.r.ready.eq(buffer.i.ready),
                given.eq(buffer.o.valid & buffer.o.ready),
            ]
            with m.If(out.i.valid):
                m.d.comb += asked.eq(piece.len + 1)
            m.d.sync += free.eq(free - asked + given)
            with m.If(head.target == t):
                m.d.comb += [
                    beat.valid.eq(order.o.valid & buffer.o.valid),
                    beat.payload.data.eq(buffer.o.payload.data),
                    beat.payload.resp.eq(buffer.o.payload.resp),
                    buffer.o.ready.eq(order.o.valid & beat.ready),
                ]
        return m
