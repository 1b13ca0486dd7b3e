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
from gemel_rtl.noc.queue import Queue

__all__ = ["BURST_BEATS", "MOVES", "Mover"]

BURST_BEATS = 16
"""Beats of a burst at most: as many as of rows that LOAD and STORE join, with which these take turns."""
BEHIND = 4 * BURST_BEATS
"""Beats that wait to be written."""
MOVES = 8
"""Moves under way at most: of 4 KB each, with 100 cycles of latency either way, five are."""
LINE = data.StructLayout({"address": 6, "length": ROW["length"].shape, "last": 1})
TARGET = data.StructLayout({"address": 64, "length": ROW["length"].shape, "last": 1})


class Mover(wiring.Component):
    """Moves in their order, each begun while those before it are under way; 64 bytes a cycle at any alignment of both
    ends. Up to `config.copy_beats` beats are read ahead, which hides as many cycles of latency but for a burst.

    A read is asked for only once there is room for its data, and a write once its data are there, so that others on
    both buses never wait for this one. `done` says that all writes of the oldest move are answered. Where one fails,
    those before it are done first, and nothing is written from its first beat that couldn't be read on; then `failed`
    stays high until `resume`, with nothing under way any more: the oldest move has failed and the later ones, some of
    whose writes may have been done, are forgotten. `error` is the response of the first access that failed
    (DECODE_ERROR for addresses wider than memory's), `wrote` if it was a write, `address` its burst's; what is written
    then is any part of the targets.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `i` (moves, `MOVES` under way at most, none of which touches what an earlier one writes, or writes what an
    earlier one reads), `read`, `write` (the buses), `done` (a pulse), `failed`, `resume`, `error`, `wrote`, `address`.
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
                "failed": Out(1),
                "resume": In(1),
                "error": Out(2),
                "wrote": Out(1),
                "address": Out(64),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        abort = Signal()
        clear = ResetInserter(abort)
        m.submodules.reads = reads = ReadBus(self.config, self.id_bits, self.bus_id)
        m.submodules.writes = writes = WriteBus(self.config, self.id_bits, self.bus_id)
        m.submodules.asking = asking = clear(BurstCutter(self.config, longest=BURST_BEATS))
        m.submodules.giving = giving = clear(BurstCutter(self.config, longest=BURST_BEATS))
        m.submodules.ahead = ahead = clear(ReadAhead(self.config.copy_beats))
        m.submodules.behind = behind = clear(WriteBehind(BEHIND))
        m.submodules.sources = sources = clear(Queue(LINE, MOVES))
        m.submodules.targets = targets = clear(Queue(LINE, MOVES))
        m.submodules.waiting = waiting = clear(Queue(TARGET, MOVES))
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
        m.d.comb += [
            walker.i.payload.eq(self.i.payload),
            walker.i.valid.eq(self.i.valid & ~abort),
            self.i.ready.eq(walker.i.ready & ~abort),
        ]
        row, later = walker.o.payload, waiting.o
        forked = Module()
        sinks = (sources.i, asking.i, targets.i, waiting.i)
        fork(forked, walker.o, [(sink, 1) for sink in sinks], "row")
        m.submodules.fork = clear(forked)
        for address, lines, block in ((row.source, sources, aligner), (row.target, targets, spreader)):
            m.d.comb += [
                lines.i.payload.address.eq(address),
                lines.i.payload.length.eq(row.length),
                lines.i.payload.last.eq(row.last),
                block.rows.payload.address.eq(lines.o.payload.address),
                block.rows.payload.length.eq(lines.o.payload.length),
                block.rows.payload.present.eq(1),
                block.rows.valid.eq(lines.o.valid),
                lines.o.ready.eq(block.rows.ready),
            ]
        m.d.comb += [
            waiting.i.payload.address.eq(row.target),
            waiting.i.payload.length.eq(row.length),
            waiting.i.payload.last.eq(row.last),
            giving.i.valid.eq(later.valid),
            later.ready.eq(giving.i.ready),
        ]
        for cutter, address, piece in ((asking, row.source, row), (giving, later.payload.address, later.payload)):
            m.d.comb += [
                cutter.eager.eq(1),
                cutter.i.payload.address.eq(address),
                cutter.i.payload.length.eq(piece.length),
                cutter.i.payload.present.eq(1),
                cutter.i.payload.last.eq(piece.last),
            ]
        unreadable = Signal()
        m.d.comb += [
            unreadable.eq(ahead.o.valid & ahead.o.payload.error),
            aligner.beats.payload.data.eq(ahead.o.payload.data),
            aligner.beats.valid.eq(ahead.o.valid & ~unreadable),
            ahead.o.ready.eq(aligner.beats.ready & ~unreadable),
            spreader.words.payload.data.eq(aligner.o.payload.beat.data),
            spreader.words.valid.eq(aligner.o.valid),
            aligner.o.ready.eq(spreader.words.ready),
        ]

        # A beat that couldn't be read stays where it is until the moves before its own are done. A write that fails is
        # always of the oldest one. Then what is under way is finished, and what waits is forgotten.
        r, b = self.read.r, self.write.b
        past = Signal(range(MOVES + 1))  # moves whose beats have left the buffer, and that aren't done
        left = Signal()
        m.d.comb += left.eq(sources.o.valid & sources.o.ready & sources.o.payload.last)
        m.d.sync += past.eq(past + left - self.done)
        known, response, unread = Signal(), Signal(2), Signal.like(self.address, reset_less=True)
        cause = Signal(2, reset_less=True)
        with m.If(reads.o.valid & reads.o.payload.error & ~known):
            m.d.sync += [
                known.eq(1),
                cause.eq(Mux(r.valid, r.payload.resp, DECODE_ERROR)),
                unread.eq(reads.o.payload.address << 6),
            ]
        with m.If(b.valid & b.ready & (response == 0)):
            m.d.sync += response.eq(b.payload.resp)
        with m.If(~abort & unreadable & (past == 0)):
            m.d.sync += [abort.eq(1), self.error.eq(cause), self.wrote.eq(0), self.address.eq(unread)]
        with m.Elif(~abort & writes.fault.valid):
            m.d.sync += [
                abort.eq(1),
                self.error.eq(Mux(response == 0, DECODE_ERROR, response)),
                self.wrote.eq(1),
                self.address.eq(writes.fault.address),
            ]
        m.d.comb += [
            self.done.eq(~abort & writes.done & (response == 0)),
            self.failed.eq(abort & reads.idle & writes.idle),
        ]
        with m.If(self.failed & self.resume):
            m.d.sync += [abort.eq(0), known.eq(0), response.eq(0), past.eq(0)]
        return m
