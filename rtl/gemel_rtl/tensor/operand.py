"""Operand fetch: reads one operand of a MATMUL from L1, square by square."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.isa import BlockScale
from gemel_rtl.interfaces import l1_read_port
from gemel_rtl.tensor.layouts import TILE_BITS, WORD_BITS, FetchDescriptor, StageFault

__all__ = ["OperandFetch"]

SQUARES = 2
"""Squares that an operand has: one is read while the other fills."""


class OperandFetch(wiring.Component):
    """Fills the operand's two squares in turn, two chunks a cycle, running ahead of the array and across instructions.

    A square is 32 chunks. Not transposed, chunk r is row r of one chunk column. Transposed, chunk k is row k of L1:
    32 rows of one chunk column (8-bit elements), or 16 rows of one or two (16-bit: chunk k + 16 is row k of the
    second). Only words that hold valid rows are read. An access beyond L1 is left out, and `fault` keeps the first
    one.

    Block scales come behind the square: MX the word with the scales of these 64 elements of K, NVFP4 the two words
    with theirs, FP32 one or two words with a group's last square.

    Members
    -------
    i : In(stream of FetchDescriptor), taken with the last request of an instruction
    l1 : read port
    write : Out, a pair of chunks (2 * `pair`, 2 * `pair` + 1) goes to square `square`, in a cycle with `write_en`
    scale_en, scale_slot, second, scales : Out, a word of scales comes, the second of its square or not; slots follow
        each other as squares do, four of them
    full : Out, pulse: the square that was being filled is complete with this cycle's write
    release : In, pulse: a square may be overwritten by requests of later cycles
    fault : Out(StageFault)
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(FetchDescriptor)),
                "l1": Out(l1_read_port(config)),
                "write_en": Out(1),
                "square": Out(1),
                "pair": Out(4),
                "chunks": Out(data.ArrayLayout(8 * CHUNK, 2)),
                "scale_en": Out(1),
                "scale_slot": Out(2),
                "second": Out(1),
                "scales": Out(8 * WORD),
                "full": Out(1),
                "release": In(1),
                "fault": Out(StageFault),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.i.payload

        fresh = Signal(init=1)
        square_word = Signal(WORD_BITS, reset_less=True)
        scaling, second = Signal(), Signal()
        k_left = Signal(17, reset_less=True)
        odd_square = Signal()
        column = Signal()
        pair = Signal(4)
        tile = Signal(TILE_BITS)
        room = Signal(range(SQUARES + 1), init=SQUARES)

        here = Signal(WORD_BITS)
        left = Signal(17)
        m.d.comb += [
            here.eq(Mux(fresh, d.base >> 1, square_word)),
            left.eq(Mux(fresh, d.k, k_left)),
        ]
        word = Signal(WORD_BITS)
        outside = Signal()
        parity = Signal()
        at = Signal(17)
        m.d.comb += [
            at.eq(d.k - left),
            outside.eq(word >= self.config.l1_words),
            parity.eq(d.base[0] ^ Mux(d.transposed, column, odd_square & ~fresh)),
        ]

        with m.If(~scaling):
            m.d.comb += word.eq(here + Mux(column, d.pitch, 0) + pair)
        with m.Elif(d.scaling == BlockScale.MX):
            m.d.comb += word.eq(d.scales + at[6:])
        with m.Elif(d.scaling == BlockScale.NVFP4):
            m.d.comb += word.eq(d.scales + Cat(second, at[6:]))
        with m.Elif(d.one_scale):
            m.d.comb += word.eq(d.scales + at[8:])
        with m.Else():
            m.d.comb += word.eq(d.scales + Cat(second, at[7:]))

        per_square = Signal(7)
        last_square = Signal()
        rows_here = Signal(6)
        last_pair = Signal(4)
        two_columns, column_done, chunks_done, square_done = Signal(), Signal(), Signal(), Signal()
        group_done, scaled, two_scales = Signal(), Signal(), Signal()
        missing, skip = Signal(), Signal()
        m.d.comb += [
            per_square.eq(Mux(d.wide, 16, Mux(d.four, 64, 32))),
            last_square.eq(left <= per_square),
            rows_here.eq(Mux(d.transposed, Mux(last_square, left, per_square), d.rows)),
            last_pair.eq((rows_here - 1) >> 1),
            two_columns.eq(d.transposed & d.wide & (d.rows > 16)),
            # The second column's pairs begin at 8. Squares are filled in order and not faster than a pair a cycle,
            # which their early release counts on: so the first column's missing pairs take their time.
            missing.eq(two_columns & ~column & (pair > last_pair)),
            column_done.eq(~scaling & Mux(two_columns & ~column, pair == 7, pair == last_pair)),
            chunks_done.eq(column_done & (column | ~two_columns)),
            group_done.eq(last_square | ((at + per_square)[:7] == 0)),
            scaled.eq(Mux(d.scaling == BlockScale.FP32, group_done, d.scaling != BlockScale.NONE)),
            two_scales.eq((d.scaling == BlockScale.NVFP4) | ((d.scaling == BlockScale.FP32) & ~d.one_scale)),
            square_done.eq(Mux(scaling, second | ~two_scales, chunks_done & ~scaled)),
            skip.eq(outside | missing),
        ]

        active = Signal()
        step = Signal()
        m.d.comb += [
            active.eq(self.i.valid & room.any()),
            self.l1.req.valid.eq(active & ~skip),
            self.l1.req.payload.addr0.eq(word),
            self.l1.req.payload.addr1.eq(word),
            self.l1.req.payload.en0.eq(1),
            self.l1.req.payload.en1.eq(1),
            step.eq(active & (skip | self.l1.req.ready)),
            self.i.ready.eq(step & square_done & last_square),
        ]
        with m.If(step):
            m.d.sync += [scaling.eq(~square_done & (scaling | chunks_done)), second.eq(~square_done & scaling)]
            with m.If(~scaling):
                m.d.sync += pair.eq(pair + 1)
            with m.If(column_done):
                m.d.sync += [pair.eq(0), column.eq(~chunks_done)]
            with m.If(square_done):
                m.d.sync += [
                    fresh.eq(last_square),
                    square_word.eq(here + Mux(d.transposed, per_square >> 1, d.pitch)),
                    k_left.eq(left - per_square),
                    odd_square.eq(fresh | ~odd_square),
                ]
                with m.If(last_square):
                    m.d.sync += tile.eq(tile + 1)
            with m.If(outside & ~missing & ~self.fault.valid):
                m.d.sync += [self.fault.valid.eq(1), self.fault.tile.eq(tile), self.fault.word.eq(word)]
        m.d.sync += room.eq(room + self.release - (step & square_done))

        # What comes back belongs to the oldest request; one that was left out has a place in the order too.
        m.submodules.order = order = fifo.SyncFIFO(width=9, depth=8)
        entry = data.StructLayout({"pair": 4, "swap": 1, "last": 1, "none": 1, "scale": 1, "second": 1})
        arrival = data.View(entry, order.r_data)
        landed = Signal()
        m.d.comb += [
            order.w_data.eq(Cat(pair[:3], pair[3] | column, parity, square_done, skip, scaling, second)),
            order.w_en.eq(step),
            landed.eq(order.r_rdy & (self.l1.valid | arrival.none)),
            order.r_en.eq(landed),
            self.write_en.eq(self.l1.valid & ~arrival.scale),
            self.scale_en.eq(self.l1.valid & arrival.scale),
            self.second.eq(arrival.second),
            self.pair.eq(arrival.pair),
            self.full.eq(landed & arrival.last),
        ]
        with m.If(self.scale_en):
            m.d.comb += self.scales.eq(self.l1.data.as_value())
        with m.If(self.write_en):
            m.d.comb += [
                self.chunks[0].eq(Mux(arrival.swap, self.l1.data[1], self.l1.data[0])),
                self.chunks[1].eq(Mux(arrival.swap, self.l1.data[0], self.l1.data[1])),
            ]
        with m.If(self.full):
            m.d.sync += [self.square.eq(~self.square), self.scale_slot.eq(self.scale_slot + 1)]
        return m
