"""Moves bytes from memory to memory."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.dma.ahead import ReadAhead
from gemel_rtl.dma.align import RowAligner
from gemel_rtl.dma.behind import WriteBehind
from gemel_rtl.dma.bursts import BurstCutter
from gemel_rtl.dma.layouts import ROW
from gemel_rtl.dma.move_rows import MOVE, MoveWalker
from gemel_rtl.dma.read_bus import ReadBus
from gemel_rtl.dma.spread import RowSpreader
from gemel_rtl.dma.write_bus import WriteBus
from gemel_rtl.interfaces import DECODE_ERROR, axi_read, axi_write
from gemel_rtl.noc.fork import fork
from gemel_rtl.noc.slice import Slice

__all__ = ["BURST_BEATS", "Mover"]

BURST_BEATS = 16
"""Beats of a burst at most: as many as of rows that LOAD and STORE join, with which these take turns."""
BEHIND = 4 * BURST_BEATS
"""Beats that wait to be written."""
LINE = data.StructLayout({"address": 6, "length": ROW["length"].shape})


class Mover(wiring.Component):
    """One move at a time, 64 bytes a cycle at any alignment of both ends; up to `config.copy_beats` beats are read
    ahead, which hides as many cycles of latency but for a burst.

    A read is asked for only once there is room for its data, and a write once its data are there, so that others on
    both buses never wait for this one. `done` comes when all writes are answered, with the response of the first
    access that failed in `error` (DECODE_ERROR for addresses wider than memory's), `wrote` if it was a write, and the
    burst's address; what is written then is any part of the target.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `i` (moves), `read`, `write` (the buses), `done` (a pulse), `error`, `wrote`, `address` (until the next
    move is taken).
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "i": In(stream.Signature(MOVE)),
                "read": Out(axi_read(config, id_bits)),
                "write": Out(axi_write(config, id_bits)),
                "done": Out(1),
                "error": Out(2),
                "wrote": Out(1),
                "address": Out(64),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moving, abort = Signal(), Signal()
        clear = ResetInserter(abort)
        m.submodules.reads = reads = ReadBus(self.config, self.id_bits, self.bus_id)
        m.submodules.writes = writes = WriteBus(self.config, self.id_bits, self.bus_id)
        m.submodules.asking = asking = clear(BurstCutter(self.config, longest=BURST_BEATS))
        m.submodules.giving = giving = clear(BurstCutter(self.config, longest=BURST_BEATS))
        m.submodules.ahead = ahead = clear(ReadAhead(self.config.copy_beats))
        m.submodules.behind = behind = clear(WriteBehind(BEHIND))
        m.submodules.sources = sources = clear(Slice(LINE))
        m.submodules.targets = targets = clear(Slice(LINE))
        m.submodules.aligner = aligner = clear(RowAligner())
        m.submodules.spreader = spreader = clear(RowSpreader())
        wiring.connect(m, wiring.flipped(self.read), reads.bus)
        wiring.connect(m, wiring.flipped(self.write), writes.bus)
        wiring.connect(m, asking.o, ahead.i)
        wiring.connect(m, ahead.asked, reads.i)
        wiring.connect(m, reads.o, ahead.beats)
        wiring.connect(m, giving.o, behind.bursts)
        wiring.connect(m, behind.sent, writes.bursts)
        wiring.connect(m, spreader.o, behind.beats)
        wiring.connect(m, behind.o, writes.beats)
        m.d.comb += [reads.abort.eq(abort), writes.abort.eq(abort)]

        m.submodules.walker = walker = clear(MoveWalker())
        m.d.comb += walker.i.payload.eq(self.i.payload)
        row = walker.o.payload
        forked = Module()
        sinks = (sources.i, asking.i, targets.i, giving.i)
        fork(forked, walker.o, [(sink, 1) for sink in sinks], "row")
        m.submodules.fork = clear(forked)
        ends = ((row.source, asking, sources, aligner), (row.target, giving, targets, spreader))
        for address, cutter, lines, block in ends:
            m.d.comb += [
                lines.i.payload.address.eq(address),
                lines.i.payload.length.eq(row.length),
                cutter.eager.eq(1),
                cutter.i.payload.address.eq(address),
                cutter.i.payload.length.eq(row.length),
                cutter.i.payload.present.eq(1),
                cutter.i.payload.last.eq(row.last),
                block.rows.payload.address.eq(lines.o.payload.address),
                block.rows.payload.length.eq(lines.o.payload.length),
                block.rows.payload.present.eq(1),
                block.rows.valid.eq(lines.o.valid),
                lines.o.ready.eq(block.rows.ready),
            ]
        m.d.comb += [
            aligner.beats.payload.data.eq(ahead.o.payload),
            aligner.beats.valid.eq(ahead.o.valid),
            ahead.o.ready.eq(aligner.beats.ready),
            spreader.words.payload.data.eq(aligner.o.payload.beat.data),
            spreader.words.valid.eq(aligner.o.valid),
            aligner.o.ready.eq(spreader.words.ready),
        ]

        # The first failure ends it: what is under way is finished, what waits is forgotten.
        r, b = self.read.r, self.write.b
        response = Signal(2)
        with m.If(b.valid & b.ready & (response == 0)):
            m.d.sync += response.eq(b.payload.resp)
        with m.If(moving & ~abort):
            with m.If(reads.o.valid & reads.o.payload.error):
                m.d.sync += [
                    abort.eq(1),
                    self.error.eq(Mux(r.valid, r.payload.resp, DECODE_ERROR)),
                    self.wrote.eq(0),
                    self.address.eq(reads.o.payload.address << 6),
                ]
            with m.Elif(writes.fault.valid):
                m.d.sync += [
                    abort.eq(1),
                    self.error.eq(Mux(response == 0, DECODE_ERROR, response)),
                    self.wrote.eq(1),
                    self.address.eq(writes.fault.address),
                ]
        m.d.comb += self.done.eq(moving & Mux(abort, reads.idle & writes.idle, writes.done & (response == 0)))
        with m.If(self.done):
            m.d.sync += [moving.eq(0), abort.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [moving.eq(1), self.error.eq(0), response.eq(0)]
        m.d.comb += [walker.i.valid.eq(self.i.valid & ~moving), self.i.ready.eq(~moving)]
        return m
