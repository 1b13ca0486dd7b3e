"""The scratchpads' aperture: an AXI4 subordinate through which one core reads and writes another one's L1."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.aperture import APERTURE_SHIFT
from gemel_golden.config import WORD, ChipConfig
from gemel_rtl.interfaces import (
    AXI_DATA_BITS,
    DECODE_ERROR,
    SLAVE_ERROR,
    axi_read,
    axi_write,
    l1_read_port,
    l1_write_port,
)
from gemel_rtl.noc.queue import Queue

__all__ = ["Aperture"]

AHEAD = 8
"""Reads under way or waiting for the bus: covers L1's latency and its conflicts."""
WORD_SHIFT = ceil_log2(WORD)


class _Walk:
    """A burst's beats: `core`, `word` and `outside` of the current one; `step` goes on to the next, `last` ends."""

    def __init__(self, m: Module, config: ChipConfig, address: Value, name: str):
        word_bits = config.mem_address_bits - WORD_SHIFT
        within, following = Signal(name=f"{name}_within"), Signal(word_bits, name=f"{name}_next", reset_less=True)
        whole = Signal(word_bits, name=f"{name}_beat")
        self.step, self.last = Signal(name=f"{name}_step"), Signal(name=f"{name}_last")
        m.d.comb += whole.eq(Mux(within, following, address[WORD_SHIFT:]))
        with m.If(self.step):
            m.d.sync += [within.eq(~self.last), following.eq(whole + 1)]
        inside, core = whole[: APERTURE_SHIFT - WORD_SHIFT], whole[APERTURE_SHIFT - WORD_SHIFT : -1]
        self.word = inside[: ceil_log2(config.l1_words)]
        self.core = core
        self.outside = (inside >= config.l1_words) | (core >= config.cores)


class Aperture(wiring.Component):
    """Every core's L1 in memory addresses (`gemel_golden.aperture`): a beat is a word; DECERR where there is none,
    SLVERR for data that L1's check bits can't correct.

    Reads and writes go beside each other, a beat a cycle each when L1 grants it, bursts in the order of their
    addresses. A write's answer comes after its last L1 write: whoever is told of it sees the bytes. Bits above the
    core's number are the caller's to route by.

    Parameters: config, id_bits.
    Members: `read`, `write` (subordinate ports), `l1_read`, `l1_write` (arrays over cores: ports into their L1).
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2):
        self.config = config
        self.id_bits = id_bits
        super().__init__(
            {
                "read": In(axi_read(config, id_bits)),
                "write": In(axi_write(config, id_bits)),
                "l1_read": Out(l1_read_port(config)).array(config.cores),
                "l1_write": Out(l1_write_port(config)).array(config.cores),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        self._reads(m)
        self._writes(m)
        return m

    def _reads(self, m: Module) -> None:
        ar, r = self.read.ar, self.read.r
        m.submodules.tags = tags = Queue(data.StructLayout({"id": self.id_bits, "outside": 1, "last": 1}), AHEAD)
        m.submodules.arrived = arrived = Queue(data.StructLayout({"data": AXI_DATA_BITS, "error": 1}), AHEAD)
        walk = _Walk(m, self.config, ar.payload.addr, "read")
        position, granted, go = Signal(8), Signal(), Signal()
        m.d.comb += [
            walk.last.eq(position == ar.payload.len),
            go.eq(ar.valid & tags.i.ready),
            walk.step.eq(go & (walk.outside | granted)),
            ar.ready.eq(walk.step & walk.last),
            tags.i.valid.eq(walk.step),
            tags.i.payload.id.eq(ar.payload.id),
            tags.i.payload.outside.eq(walk.outside),
            tags.i.payload.last.eq(walk.last),
        ]
        with m.If(walk.step):
            m.d.sync += position.eq(Mux(walk.last, 0, position + 1))
        for core, port in enumerate(self.l1_read):
            request = port.req
            m.d.comb += [
                request.valid.eq(go & ~walk.outside & (walk.core == core)),
                request.payload.addr0.eq(walk.word),
                request.payload.addr1.eq(walk.word),
                request.payload.en0.eq(1),
                request.payload.en1.eq(1),
            ]
            with m.If(request.valid & request.ready):
                m.d.comb += granted.eq(1)
            with m.If(port.valid):  # one at a time: requests go out one a cycle and all take equally long
                m.d.comb += [arrived.i.valid.eq(1), arrived.i.payload.data.eq(Cat(port.data))]
                if self.config.ecc:
                    m.d.comb += arrived.i.payload.error.eq(port.error)
        head = tags.o.payload
        m.d.comb += [
            r.valid.eq(tags.o.valid & (head.outside | arrived.o.valid)),
            r.payload.id.eq(head.id),
            r.payload.last.eq(head.last),
            r.payload.resp.eq(Mux(head.outside, DECODE_ERROR, Mux(arrived.o.payload.error, SLAVE_ERROR, 0))),
            r.payload.data.eq(Mux(head.outside, 0, arrived.o.payload.data)),
            tags.o.ready.eq(r.valid & r.ready),
            arrived.o.ready.eq(tags.o.ready & ~head.outside),
        ]

    def _writes(self, m: Module) -> None:
        aw, w, b = self.write.aw, self.write.w, self.write.b
        answer = data.StructLayout({"id": self.id_bits, "resp": 2})
        m.submodules.answers = answers = Queue(answer, AHEAD)
        walk = _Walk(m, self.config, aw.payload.addr, "write")
        granted, go, failed = Signal(), Signal(), Signal()
        m.d.comb += [
            walk.last.eq(w.payload.last),
            go.eq(aw.valid & w.valid & answers.i.ready),
            walk.step.eq(go & (walk.outside | granted)),
            w.ready.eq(walk.step),
            aw.ready.eq(walk.step & walk.last),
            answers.i.valid.eq(aw.ready),
            answers.i.payload.id.eq(aw.payload.id),
            answers.i.payload.resp.eq(Mux(failed | walk.outside, DECODE_ERROR, 0)),
            b.valid.eq(answers.o.valid),
            b.payload.eq(answers.o.payload),
            answers.o.ready.eq(b.ready),
        ]
        with m.If(walk.step):
            m.d.sync += failed.eq(~walk.last & (failed | walk.outside))
        for core, port in enumerate(self.l1_write):
            request = port.req
            m.d.comb += [
                request.valid.eq(go & ~walk.outside & (walk.core == core)),
                request.payload.addr0.eq(walk.word),
                request.payload.addr1.eq(walk.word),
                request.payload.en0.eq(1),
                request.payload.en1.eq(1),
                request.payload.data.eq(w.payload.data),
                request.payload.mask.eq(w.payload.strb),
            ]
            with m.If(request.valid & request.ready):
                m.d.comb += granted.eq(1)
