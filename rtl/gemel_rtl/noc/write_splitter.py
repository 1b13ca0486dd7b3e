"""One writer's side of the crossbar: its bursts go out in pieces to several targets, their answers become one."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import axi_write
from gemel_rtl.noc.pieces import PIECE_BEATS, PieceCutter
from gemel_rtl.noc.queue import Queue
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.slice import Slice

__all__ = ["WriteSplitter"]

DATA_BEATS = 4 * PIECE_BEATS
"""Beats that wait for each target."""


class WriteSplitter(wiring.Component):
    """A write port in, a write port to each target out.

    A piece's address goes out once all its beats wait in the target's buffer: who holds a target's W then always has
    the data, and writers that use several targets can't wait for each other in a ring. Answers are always taken; a
    burst's comes once all its pieces', and those of bursts before it, are there: their responses' OR. One piece and one
    beat a cycle. W may come before its AW.

    Parameters: config; route; pieces (under way at most); id_bits.
    Members: `i`, `o` (array over targets).
    """

    def __init__(self, config: ChipConfig, route: Route, pieces: int, *, id_bits: int = 2):
        self.config = config
        self.route = route
        self.pieces = pieces
        self.beats = DATA_BEATS
        port = axi_write(config, id_bits)
        super().__init__({"i": In(port), "o": Out(port).array(route.targets)})

    def elaborate(self, platform) -> Module:
        m = Module()
        target_bits = max(1, ceil_log2(self.route.targets))
        m.submodules.aw = aw = Slice(self.i.aw.payload.shape())
        m.submodules.cutter = cutter = PieceCutter(self.config, self.route)
        filling_layout = data.StructLayout({"target": target_bits, "len": ceil_log2(PIECE_BEATS)})
        m.submodules.filling = filling = Queue(filling_layout, 4)
        m.submodules.order = order = Queue(data.StructLayout({"target": target_bits, "last": 1}), self.pieces)
        wiring.connect(m, wiring.flipped(self.i.aw), aw.i)
        m.d.comb += [
            cutter.i.payload.addr.eq(aw.o.payload.addr),
            cutter.i.payload.len.eq(aw.o.payload.len),
            cutter.i.valid.eq(aw.o.valid),
            aw.o.ready.eq(cutter.i.ready),
        ]

        piece = cutter.o.payload
        able, go = Signal(), Signal()
        m.d.comb += [
            cutter.o.ready.eq(able & filling.i.ready & order.i.ready),
            go.eq(cutter.o.valid & cutter.o.ready),
            filling.i.valid.eq(go),
            filling.i.payload.target.eq(piece.target),
            filling.i.payload.len.eq(piece.len),
            order.i.valid.eq(go),
            order.i.payload.target.eq(piece.target),
            order.i.payload.last.eq(piece.last),
        ]

        fill, w = filling.o.payload, self.i.w
        position = Signal(ceil_log2(PIECE_BEATS))
        ends, put = Signal(), Signal()
        m.d.comb += [
            ends.eq(position == fill.len),
            put.eq(w.valid & w.ready),
            filling.o.ready.eq(put & ends),
        ]
        with m.If(put):
            m.d.sync += position.eq(position + 1)
            with m.If(ends):
                m.d.sync += position.eq(0)

        head, b = order.o.payload, self.i.b
        earlier = Signal(2)
        resp, answered, taken = Signal(2), Signal(), Signal()
        m.d.comb += [
            b.payload.resp.eq(earlier | resp),
            b.valid.eq(order.o.valid & answered & head.last),
            taken.eq(order.o.valid & answered & (~head.last | b.ready)),
            order.o.ready.eq(taken),
        ]
        with m.If(taken):
            m.d.sync += earlier.eq(earlier | resp)
            with m.If(head.last):
                m.d.sync += earlier.eq(0)

        for t, port in enumerate(self.o):
            m.submodules[f"addresses{t}"] = addresses = Queue(port.aw.payload.shape(), 4)
            m.submodules[f"data{t}"] = beats = Queue(port.w.payload.shape(), self.beats)
            m.submodules[f"answers{t}"] = answers = Queue(2, self.pieces)
            whole = Signal(range(DATA_BEATS + 1), name=f"whole{t}")  # pieces of which all beats wait, addresses here
            completed, sent = Signal(name=f"completed{t}"), Signal(name=f"sent{t}")
            wiring.connect(m, beats.o, wiring.flipped(port.w))
            m.d.comb += [
                addresses.i.payload.addr.eq(piece.addr),
                addresses.i.payload.len.eq(piece.len),
                port.aw.payload.eq(addresses.o.payload),
                port.aw.valid.eq(addresses.o.valid & (whole != 0)),
                addresses.o.ready.eq(port.aw.ready & (whole != 0)),
                sent.eq(port.aw.valid & port.aw.ready),
                beats.i.payload.data.eq(w.payload.data),
                beats.i.payload.strb.eq(w.payload.strb),
                beats.i.payload.last.eq(ends),
                answers.i.payload.eq(port.b.payload.resp),
                answers.i.valid.eq(port.b.valid),
                port.b.ready.eq(answers.i.ready),
            ]
            m.d.sync += whole.eq(whole + completed - sent)
            with m.If(piece.target == t):
                m.d.comb += [able.eq(addresses.i.ready), addresses.i.valid.eq(go)]
            with m.If(fill.target == t):
                m.d.comb += [
                    beats.i.valid.eq(w.valid & filling.o.valid),
                    w.ready.eq(beats.i.ready & filling.o.valid),
                    completed.eq(put & ends),
                ]
            with m.If(head.target == t):
                m.d.comb += [resp.eq(answers.o.payload), answered.eq(answers.o.valid), answers.o.ready.eq(taken)]
        return m
