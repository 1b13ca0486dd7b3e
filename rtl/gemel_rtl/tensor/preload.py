"""Preload: reads C into a bank of accumulators, a tile's scales and biases into the drain's vectors, and its key."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, enum, fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ACCUMULATOR_BANKS, WORD, ChipConfig
from gemel_rtl.interfaces import l1_read_port
from gemel_rtl.tensor.layouts import (
    FAULT_WORD_BITS,
    TILE_BITS,
    WORD_BITS,
    PreloadDescriptor,
    RoundingKey,
    StageFault,
)

__all__ = ["Preload"]

KEY_WORD = 2
"""The key of stochastic rounding lies so many words behind the biases."""

HALF_COLUMNS = 8
"""Columns of FP32 in a chunk."""


class Phase(enum.Enum, shape=2):
    """What is read of a tile, in this order."""

    C = 0
    SCALE = 1
    BIAS = 2
    KEY = 3


class Preload(wiring.Component):
    """Takes each tile in turn as soon as its bank is free: C first, 16 columns of a row per cycle, then the vectors.

    Members
    -------
    i : In(stream of PreloadDescriptor)
    l1 : read port
    drained : In, pulse, a bank and its vectors are free again
    load_en : Out, one bit per dot row; load_bank, load_ig, load_jq, load_data (two chunks) : Out, as `DotCell`'s load
    c_tile, vector_tile : Out, number of the first tile whose C, or whose vectors, aren't there yet
    vector : In, {jq, bank} of the vectors that are shown on `scale` and `bias` : Out(512) in the same cycle
    key_bank : In, bank of the key that is shown on `key` : Out(RoundingKey)
    fault : Out(StageFault)
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(PreloadDescriptor)),
                "l1": Out(l1_read_port(config)),
                "drained": In(1),
                "load_en": Out(config.rows),
                "load_bank": Out(1),
                "load_ig": Out(ceil_log2(config.groups_m)),
                "load_jq": Out(1),
                "load_data": Out(8 * WORD),
                "c_tile": Out(TILE_BITS),
                "vector_tile": Out(TILE_BITS),
                "vector": In(2),
                "scale": Out(8 * WORD),
                "bias": Out(8 * WORD),
                "key_bank": In(1),
                "key": Out(RoundingKey),
                "fault": Out(StageFault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.i.payload
        tile = Signal(TILE_BITS)
        banks = Signal(range(ACCUMULATOR_BANKS + 1), init=ACCUMULATOR_BANKS)
        phase = Signal(Phase)
        row = Signal(5)
        jq = Signal()

        # The words of this access: C's two chunks lie in one half each of two words, a vector's in both halves of one.
        word0, word1 = Signal(FAULT_WORD_BITS), Signal(FAULT_WORD_BITS)
        needed, second = Signal(), Signal()
        parity = Signal()
        column = Signal(WORD_BITS)
        with m.Switch(phase):
            with m.Case(Phase.C):
                m.d.comb += [
                    needed.eq(d.accumulate),
                    column.eq((d.c >> 1) + (row >> 1) + Mux(jq, d.c_pitch << 1, 0)),
                    word0.eq(column),
                    word1.eq(column + d.c_pitch),
                    second.eq(Mux(jq, d.n > 3 * HALF_COLUMNS, d.n > HALF_COLUMNS)),
                    parity.eq(d.c[0] ^ row[0]),
                ]
            with m.Case(Phase.SCALE):
                m.d.comb += [needed.eq(d.column_scale), word0.eq(d.scale_word + jq), word1.eq(word0), second.eq(1)]
            with m.Case(Phase.BIAS):
                m.d.comb += [needed.eq(d.bias), word0.eq(d.bias_word + jq), word1.eq(word0), second.eq(1)]
            with m.Case(Phase.KEY):
                m.d.comb += [needed.eq(d.stochastic), word0.eq(d.bias_word + KEY_WORD)]
        outside0, outside1, outside = Signal(), Signal(), Signal()
        m.d.comb += [
            outside0.eq(word0 >= self.config.l1_words),
            outside1.eq(second & (word1 >= self.config.l1_words)),
            outside.eq(outside0 | outside1),
        ]

        active, asks, step, phase_done, final, done = Signal(), Signal(), Signal(), Signal(), Signal(), Signal()
        wide = d.n > 2 * HALF_COLUMNS
        m.d.comb += [
            active.eq(self.i.valid & banks.any()),
            asks.eq(needed & ~outside),
            self.l1.req.valid.eq(active & asks),
            self.l1.req.payload.addr0.eq(Mux(parity, word1, word0)),
            self.l1.req.payload.addr1.eq(Mux(parity, word0, word1)),
            self.l1.req.payload.en0.eq(~parity | second),
            self.l1.req.payload.en1.eq(parity | second),
            step.eq(active & (~asks | self.l1.req.ready)),
            phase_done.eq(~needed | (phase == Phase.KEY) | ((jq == wide) & ((phase != Phase.C) | (row == d.m - 1)))),
            final.eq(phase_done & ((phase == Phase.KEY) | ((phase == Phase.BIAS) & ~d.stochastic))),
            done.eq(step & final),
            self.i.ready.eq(done),
        ]
        with m.If(step):
            m.d.sync += jq.eq(~jq)
            with m.If(jq == wide):
                m.d.sync += [jq.eq(0), row.eq(row + 1)]
            with m.If(phase_done):
                m.d.sync += [jq.eq(0), row.eq(0), phase.eq(Mux(final, Phase.C, phase.as_value() + 1))]
            with m.If(needed & outside & ~self.fault.valid):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.tile.eq(tile),
                    self.fault.word.eq(Mux(outside0, word0, word1)),
                ]
        m.d.sync += [banks.eq(banks + self.drained - done), tile.eq(tile + done)]

        entry = data.StructLayout(
            {"phase": Phase, "row": 5, "jq": 1, "bank": 1, "swap": 1, "last": 1, "final": 1, "none": 1}
        )
        m.submodules.order = order = fifo.SyncFIFO(width=entry.size, depth=8)
        arrival = data.View(entry, order.r_data)
        landed = Signal()
        m.d.comb += [
            order.w_data.eq(Cat(phase, row, jq, tile[0], parity, phase_done, final, ~asks)),
            order.w_en.eq(step),
            landed.eq(order.r_rdy & (self.l1.valid | arrival.none)),
            order.r_en.eq(landed),
        ]
        with m.If(landed & arrival.last):
            m.d.sync += [
                self.c_tile.eq(self.c_tile + (arrival.phase == Phase.C)),
                self.vector_tile.eq(self.vector_tile + arrival.final),
            ]

        halves = self.l1.data
        row_shift = ceil_log2(self.config.rows)
        with m.If(self.l1.valid & (arrival.phase == Phase.C)):
            m.d.comb += [
                self.load_en.eq(Const(1, self.config.rows) << arrival.row[:row_shift]),
                self.load_bank.eq(arrival.bank),
                self.load_ig.eq(arrival.row[row_shift:]),
                self.load_jq.eq(arrival.jq),
                self.load_data.eq(Mux(arrival.swap, Cat(halves[1], halves[0]), Cat(halves[0], halves[1]))),
            ]
        for kind, out in ((Phase.SCALE, self.scale), (Phase.BIAS, self.bias)):
            m.submodules[f"{kind.name.lower()}s"] = vectors = memory.Memory(shape=8 * WORD, depth=4, init=[])
            read, write = vectors.read_port(domain="comb"), vectors.write_port()
            m.d.comb += [
                read.addr.eq(self.vector),
                out.eq(read.data),
                write.addr.eq(Cat(arrival.jq, arrival.bank)),
                write.data.eq(halves.as_value()),
                write.en.eq(self.l1.valid & (arrival.phase == kind)),
            ]
        m.submodules.keys = keys = memory.Memory(shape=RoundingKey, depth=ACCUMULATOR_BANKS, init=[])
        read, write = keys.read_port(domain="comb"), keys.write_port()
        m.d.comb += [
            read.addr.eq(self.key_bank),
            Value.cast(self.key).eq(Value.cast(read.data)),
            write.addr.eq(arrival.bank),
            Value.cast(write.data).eq(halves[0]),
            write.en.eq(self.l1.valid & (arrival.phase == Phase.KEY)),
        ]
        return m
