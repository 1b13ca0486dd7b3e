"""Schedule: which blocks the array multiplies in which cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK, ChipConfig
from gemel_golden.isa import BlockScale, Scaled
from gemel_rtl.tensor.formats import is_four, is_integer, is_wide
from gemel_rtl.tensor.layouts import TILE_BITS, ScheduleDescriptor

__all__ = ["EdgeStep", "Schedule"]

AHEAD = 2
"""Cycles from a square's release in which it isn't overwritten yet: a request and its data take two at least."""


class EdgeStep(data.Struct):
    """How an operand's blocks are decoded."""

    fmt: 4
    wide: 1
    four: 1
    place: 2
    lanes: 7
    scaling: 2
    line: 1


class Schedule(wiring.Component):
    """Walks an instruction's K-blocks, in each all row groups, and in each of these all column groups: one per cycle.

    A block begins once both squares are full, its accumulators are free of the block before (`distance` cycles), and,
    for the first of a tile, the bank is drained and C loaded; then it runs through. Rows of A are read with the first
    column group of a row group. A square is released as early as what is still to be read of it can't be overwritten.

    The last block of a group of K under FP32 scales begins `group_distance` cycles after another one, and a tile
    without such groups `group_delay` cycles after one with them, so that tiles are ready in order.

    Parameters: config, distance, group_distance (least cycles between two issues to one accumulator), group_delay.

    Members
    -------
    i : In(stream of ScheduleDescriptor), taken with the last step of a tile
    full_a, full_b : In, pulses, a square has been filled
    release_a, release_b : Out, pulses, a square may be refilled
    drained : In, pulse, a bank of accumulators has been drained
    c_tile : In, number of the first tile whose C isn't loaded yet
    starved : Out, it has an instruction, and operands or C are not there yet
    valid : Out, a step in this cycle, described by the members that follow
    read_a, square_a, square_b : Out, which squares are read (B's in every step)
    ig, jg, bank, first, last, integer : Out, of the step; `last` is the tile's last
    four, quarters, grouped, group_first, group_last : Out, of the step, as `DotCell`'s
    scale_slot_a, scale_slot_b, one_scale_a, one_scale_b, odd_group : Out, which block scales are read with a square
    row_mask, col_mask : Out, dot rows and columns whose output exists
    a, b : Out(EdgeStep)
    """

    def __init__(self, config: ChipConfig, distance: int, group_distance: int, group_delay: int):
        self.config = config
        self.distance = distance
        self.group_distance = group_distance
        self.group_delay = group_delay
        super().__init__(
            {
                "i": In(stream.Signature(ScheduleDescriptor)),
                "full_a": In(1),
                "full_b": In(1),
                "release_a": Out(1),
                "release_b": Out(1),
                "drained": In(1),
                "c_tile": In(TILE_BITS),
                "starved": Out(1),
                "valid": Out(1),
                "read_a": Out(1),
                "square_a": Out(1),
                "square_b": Out(1),
                "ig": Out(ceil_log2(config.groups_m)),
                "jg": Out(ceil_log2(config.groups_n)),
                "bank": Out(1),
                "first": Out(1),
                "last": Out(1),
                "integer": Out(1),
                "four": Out(1),
                "quarters": Out(1),
                "grouped": Out(1),
                "group_first": Out(1),
                "group_last": Out(1),
                "scale_slot_a": Out(2),
                "scale_slot_b": Out(2),
                "one_scale_a": Out(1),
                "one_scale_b": Out(1),
                "odd_group": Out(1),
                "row_mask": Out(config.rows),
                "col_mask": Out(config.cols),
                "a": Out(EdgeStep),
                "b": Out(EdgeStep),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        d = self.i.payload
        row_shift, col_shift = ceil_log2(config.rows), ceil_log2(config.cols)

        ig, jg = Signal.like(self.ig), Signal.like(self.jg)
        fresh = Signal(init=1)
        k_left = Signal(17, reset_less=True)
        next_at = Signal(8, reset_less=True)
        tile = Signal(TILE_BITS)
        gap, group_gap = Signal(range(self.distance + 1)), Signal(range(self.group_distance + 1))
        delay = Signal(range(self.group_delay + 1))
        later_group = Signal()
        square_a, square_b = Signal(2), Signal(2)

        last_ig, last_jg = Signal.like(ig), Signal.like(jg)
        wide_a, wide_b, wide, four_a, four_b, four = (
            Signal(name=name) for name in ("wide_a", "wide_b", "wide", "four_a", "four_b", "four")
        )
        left = Signal(17)
        at, end = Signal(8), Signal(8)
        block = Signal(7)
        last_block = Signal()
        m.d.comb += [
            last_ig.eq((d.m - 1) >> row_shift),
            last_jg.eq((d.n - 1) >> col_shift),
            wide_a.eq(is_wide(d.a_format)),
            wide_b.eq(is_wide(d.b_format)),
            wide.eq(wide_a | wide_b),
            four_a.eq(is_four(d.a_format)),
            four_b.eq(is_four(d.b_format)),
            four.eq(four_a & four_b),
            left.eq(Mux(fresh, d.k, k_left)),
            block.eq(Mux(wide, CHUNK // 2, Mux(four, 2 * CHUNK, CHUNK))),
            # Where the block begins and ends in K, modulo the elements of two FP32 scales.
            at.eq(Mux(fresh, 0, next_at)),
            end.eq(at + block),
            last_block.eq(left <= block),
        ]

        first_step, last_of_row, last_step = Signal(), Signal(), Signal()
        m.d.comb += [
            first_step.eq((ig == 0) & (jg == 0)),
            last_of_row.eq(jg == last_jg),
            last_step.eq((ig == last_ig) & last_of_row),
        ]

        squares_a, squares_b, banks = Signal(2), Signal(2), Signal(2, init=2)
        ahead = Signal(TILE_BITS)
        loaded, squares, tile_ready, block_ready, step = (
            Signal(name=name) for name in ("loaded", "squares", "tile_ready", "block_ready", "step")
        )
        closes, apart = Signal(), Signal()
        m.d.comb += [
            closes.eq(self.grouped & self.group_last),
            ahead.eq(self.c_tile - tile),
            loaded.eq(~d.accumulate | ((ahead != 0) & ~ahead[-1])),
            squares.eq(squares_a.any() & squares_b.any()),
            tile_ready.eq(banks.any() & loaded & (self.grouped | (delay == 0))),
            apart.eq((gap == 0) & ~(closes & group_gap.any())),
            block_ready.eq(squares & Mux(fresh, tile_ready, apart)),
            step.eq(self.i.valid & (~first_step | block_ready)),
            self.starved.eq(self.i.valid & first_step & ~(squares & (loaded | ~fresh))),
            self.i.ready.eq(step & last_step & last_block),
        ]
        block_end = Signal()
        used_a, used_b = Signal(), Signal()
        m.d.comb += [
            block_end.eq(step & last_step),
            # A square of a narrow operand holds several blocks that are counted on the wider one.
            used_a.eq(last_block | _ends_square(end, wide_a, four_a)),
            used_b.eq(last_block | _ends_square(end, wide_b, four_b)),
        ]
        with m.If(gap != 0):
            m.d.sync += gap.eq(gap - 1)
        with m.If(group_gap != 0):
            m.d.sync += group_gap.eq(group_gap - 1)
        with m.If(delay != 0):
            m.d.sync += delay.eq(delay - 1)
        with m.If(step):
            m.d.sync += jg.eq(jg + 1)
            with m.If(last_of_row):
                m.d.sync += [jg.eq(0), ig.eq(ig + 1)]
            with m.If(first_step):
                m.d.sync += gap.eq(self.distance - 1)
                with m.If(closes):
                    m.d.sync += group_gap.eq(self.group_distance - 1)
            with m.If(self.grouped & self.last):
                m.d.sync += delay.eq(self.group_delay)
        with m.If(block_end):
            m.d.sync += [
                ig.eq(0),
                fresh.eq(last_block),
                k_left.eq(left - block),
                next_at.eq(end),
                later_group.eq(~last_block & (later_group | closes)),
                square_a.eq(square_a + used_a),
                square_b.eq(square_b + used_b),
            ]
            with m.If(last_block):
                m.d.sync += tile.eq(tile + 1)
        m.d.sync += [
            squares_a.eq(squares_a + self.full_a - (block_end & used_a)),
            squares_b.eq(squares_b + self.full_b - (block_end & used_b)),
            banks.eq(banks + self.drained - (step & first_step & fresh)),
        ]

        # Release. Written in order from a cycle on, pair p is overwritten more than p cycles later. So an operand
        # whose rows are read for the last time in order, and at least a pair a cycle, is released as this begins.
        # Otherwise AHEAD steps before the last reading, which is in an earlier row group when these are short.
        in_order_a, in_order_b = Signal(), Signal()
        back, early_ig = Signal(range(AHEAD + 1)), Signal.like(ig)
        ig_a, ig_b, jg_b = Signal.like(ig), Signal.like(ig), Signal.like(jg)
        m.d.comb += [
            in_order_a.eq(~d.a_transposed & ((last_jg + 1) * 2 <= config.rows)),
            in_order_b.eq(~d.b_transposed & (config.cols >= 2)),
            back.eq(Mux(last_jg == 0, AHEAD, last_jg == 1)),
            early_ig.eq(Mux(last_ig <= back, 0, last_ig - back)),
            ig_a.eq(Mux(in_order_a, 0, early_ig)),
            ig_b.eq(Mux(in_order_b, last_ig, early_ig)),
            self.release_a.eq(step & used_a & (ig == ig_a) & (jg == 0)),
            self.release_b.eq(step & used_b & (ig == ig_b) & (jg == jg_b)),
        ]
        with m.If(~in_order_b):
            with m.If(last_jg >= AHEAD):
                m.d.comb += jg_b.eq(last_jg - AHEAD)
            with m.Elif(last_ig != 0):
                m.d.comb += jg_b.eq(last_jg)

        lanes = Signal(7)
        m.d.comb += lanes.eq(Mux(last_block, left, block))
        for edge, fmt, scaled in ((self.a, d.a_format, d.a_scaled), (self.b, d.b_format, d.b_scaled)):
            m.d.comb += [
                edge.fmt.eq(fmt),
                edge.wide.eq(wide),
                edge.four.eq(four),
                edge.lanes.eq(lanes),
                edge.place.eq(Mux(wide, at[4:6], at[5])),
                edge.scaling.eq(Mux(scaled == Scaled.NONE, BlockScale.NONE, d.block_scale)),
                edge.line.eq(at[5]),
            ]
        m.d.comb += [
            self.valid.eq(step),
            self.read_a.eq(step & (jg == 0)),
            self.square_a.eq(square_a[0]),
            self.square_b.eq(square_b[0]),
            self.scale_slot_a.eq(square_a),
            self.scale_slot_b.eq(square_b),
            self.one_scale_a.eq(d.a_scaled == Scaled.TILE),
            self.one_scale_b.eq(d.b_scaled == Scaled.TILE),
            self.grouped.eq(d.block_scale == BlockScale.FP32),
            self.group_first.eq(at[:7] == 0),
            self.group_last.eq(last_block | (end[:7] == 0)),
            self.odd_group.eq(at[7]),
            self.four.eq(four),
            self.quarters.eq(d.block_scale == BlockScale.NVFP4),
            self.ig.eq(ig),
            self.jg.eq(jg),
            self.bank.eq(tile[0]),
            self.first.eq(Mux(self.grouped, ~later_group, fresh) & ~d.accumulate),
            self.last.eq(last_step & last_block),
            self.integer.eq(is_integer(d.a_format) & is_integer(d.b_format)),
            self.row_mask.eq(_mask(ig, d.m, config.rows)),
            self.col_mask.eq(_mask(jg, d.n, config.cols)),
        ]
        return m


def _ends_square(end: Value, wide: Value, four: Value) -> Value:
    """Whether a block that ends there is the last of an operand's square, of 16, 32 or 64 elements."""
    return wide | (~end[4] & ~(four & end[5]))


def _mask(group: Value, count: Value, size: int) -> Value:
    """Which of `size` members of a group of rows or columns are below `count`."""
    shift = ceil_log2(size)
    whole = Cat(group < (count >> shift)).replicate(size)
    rest = Cat(count[:shift] > i for i in range(size)) if shift else Cat(group < count)
    return Mux(group < (count >> shift), whole, rest)
