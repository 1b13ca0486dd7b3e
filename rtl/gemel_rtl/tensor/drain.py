"""Drain: reads finished tiles out of the accumulators and takes them through the epilogue."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import DRAIN_LANES, WORD, ChipConfig
from gemel_golden.isa import ScaleMode
from gemel_rtl.numeric.convert import RANDOM_BITS
from gemel_rtl.numeric.epilogue import EpilogueLane
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.layouts import TILE_BITS, DrainDescriptor, RoundingKey, StageFault
from gemel_rtl.tensor.randoms import Randoms

__all__ = ["Drain"]


class Control(data.Struct):
    """How the lanes treat a row."""

    integer: 1
    fmt: 4
    saturate: 1
    scale_en: 1
    bias_en: 1
    relu: 1
    stochastic: 1


class Drain(wiring.Component):
    """16 columns of a row per cycle, rows in order and columns 16-31 after 0-15, while `advance`. With stochastic
    rounding it is 16 columns per `Randoms.latency` cycles.

    A tile is drained once it is computed and its vectors are there, unless one of its addresses isn't aligned or one
    of its reads lay beyond L1: then the drain stops at it for good, with `poison` saying so.

    Attributes
    ----------
    latency : cycles from an accumulator's reading to `valid`

    Members
    -------
    i : In(stream of DrainDescriptor)
    advance : In, the pipeline moves
    computed : In, pulse, one more tile is in the accumulators
    vector_tile : In, number of the first tile whose vectors aren't there yet
    faults : In(3 x StageFault), those of the reading stages, in order of rank
    drain_en, drain_bank, drain_ig, drain_jq, drain_data : the array's drain
    vector : Out, {jq, bank}; scale, bias : In(512), that vector
    key_bank : Out; key : In(RoundingKey), that bank's
    drained : Out, pulse, a bank and its vectors are free
    poison : Out(StageFault)
    valid : Out; codes : Out(16 x 32), saturated : Out(16), invalid : Out(16), overflow : Out(16), of one row's 16
        columns
    """

    latency = 2 + EpilogueLane.latency

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(DrainDescriptor)),
                "advance": In(1),
                "computed": In(1),
                "vector_tile": In(TILE_BITS),
                "faults": In(StageFault).array(3),
                "drain_en": Out(config.rows),
                "drain_bank": Out(1),
                "drain_ig": Out(ceil_log2(config.groups_m)),
                "drain_jq": Out(1),
                "drain_data": In(data.ArrayLayout(8 * WORD, config.rows)),
                "vector": Out(2),
                "scale": In(8 * WORD),
                "bias": In(8 * WORD),
                "key_bank": Out(1),
                "key": In(RoundingKey),
                "drained": Out(1),
                "poison": Out(StageFault),
                "valid": Out(1),
                "codes": Out(data.ArrayLayout(32, DRAIN_LANES)),
                "saturated": Out(DRAIN_LANES),
                "invalid": Out(DRAIN_LANES),
                "overflow": Out(DRAIN_LANES),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.i.payload
        row_shift = ceil_log2(self.config.rows)
        tile, row, jq = Signal(TILE_BITS), Signal(5), Signal()
        tiles = Signal(2)
        ahead = Signal(TILE_BITS)
        ready, issue, last = Signal(), Signal(), Signal()

        poisoned = Signal(3)
        m.d.comb += [
            ahead.eq(self.vector_tile - tile),
            ready.eq(self.i.valid & tiles.any() & (ahead != 0) & ~ahead[-1]),
            poisoned.eq(Cat(fault.valid & (fault.tile == tile) for fault in self.faults)),
            self.poison.valid.eq(ready & (poisoned.any() | d.misaligned)),
            self.poison.tile.eq(tile),
        ]
        for fault, bit in reversed(list(zip(self.faults, poisoned, strict=True))):
            with m.If(bit):
                m.d.comb += self.poison.word.eq(fault.word)

        two = d.n > DRAIN_LANES
        wanted, under_way, drawn = Signal(), Signal(), Signal()
        randoms = self._randoms(m, wanted, under_way, issue, last, jq, two)
        m.d.comb += [
            wanted.eq(ready & ~self.poison.valid & d.stochastic),
            drawn.eq(~d.stochastic | (under_way & randoms.valid)),
            issue.eq(ready & ~self.poison.valid & self.advance & drawn),
            last.eq((row == d.m - 1) & (jq == two)),
            self.i.ready.eq(issue & last),
            self.drain_bank.eq(tile[0]),
            self.drain_ig.eq(row[row_shift:]),
            self.drain_jq.eq(jq),
        ]
        with m.If(issue):
            m.d.comb += self.drain_en.eq(Const(1, self.config.rows) << row[:row_shift])
            m.d.sync += jq.eq(~jq)
            with m.If(jq == two):
                m.d.sync += [jq.eq(0), row.eq(row + 1)]
            with m.If(last):
                m.d.sync += [row.eq(0), tile.eq(tile + 1)]
        m.d.sync += tiles.eq(tiles + self.computed - (issue & last))

        # Accumulators are at the cells' outputs: choose the row, add the vectors.
        read = Signal()
        drawn_bits = Signal(DRAIN_LANES * RANDOM_BITS, reset_less=True)
        read_row = Signal(row_shift, reset_less=True)
        read_last = Signal()
        by_column = Signal(reset_less=True)
        scalar = Signal(32, reset_less=True)
        control = data.View(Control, Signal(Control, reset_less=True, name="control"))
        with m.If(self.advance):
            m.d.sync += [read.eq(issue), read_last.eq(issue & last)]
        with m.If(issue):
            m.d.sync += [
                read_row.eq(row[:row_shift]),
                self.vector.eq(Cat(jq, tile[0])),
                by_column.eq(d.scale_mode == ScaleMode.COLUMN),
                scalar.eq(d.scale),
                control.integer.eq(d.integer),
                control.fmt.eq(d.fmt),
                control.saturate.eq(d.saturate),
                control.scale_en.eq(d.scale_mode != ScaleMode.NONE),
                control.bias_en.eq(d.bias),
                control.relu.eq(d.relu),
                control.stochastic.eq(d.stochastic),
            ]
            with m.If(d.stochastic):
                m.d.sync += drawn_bits.eq(randoms.o.as_value())

        chosen = Signal()
        lane_bits = Signal.like(drawn_bits)
        accumulators, scales, biases = (Signal(8 * WORD, name=name, reset_less=True) for name in ("acc", "sc", "bi"))
        lane_control = data.View(Control, Signal(Control, reset_less=True, name="lane_control"))
        with m.If(self.advance):
            m.d.sync += chosen.eq(read)
            with m.If(read):
                with m.Switch(read_row):
                    for r in range(self.config.rows):
                        with m.Case(r):
                            m.d.sync += accumulators.eq(self.drain_data[r])
                m.d.sync += lane_control.eq(control)
                with m.If(control.scale_en):
                    m.d.sync += scales.eq(Mux(by_column, self.scale, scalar.replicate(DRAIN_LANES)))
                with m.If(control.bias_en):
                    m.d.sync += biases.eq(self.bias)
                with m.If(control.stochastic):
                    m.d.sync += lane_bits.eq(drawn_bits)
        m.d.comb += self.drained.eq(read_last & self.advance)
        self._lanes(m, chosen, accumulators, scales, biases, lane_bits, lane_control)
        return m

    def _randoms(
        self, m: Module, wanted: Value, under_way: Signal, issue: Value, last: Value, jq: Value, two: Value
    ) -> Randoms:
        """The random bits of the columns that are issued next, which are drawn from the issue before on."""
        d = self.i.payload
        m.submodules.randoms = randoms = Randoms()
        row_index, next_row = Signal(64, reset_less=True), Signal(64)
        m.d.comb += [
            self.key_bank.eq(self.drain_bank),
            Value.cast(randoms.key).eq(Value.cast(self.key)),
            randoms.fmt.eq(d.fmt),
            randoms.start.eq(wanted & (~under_way | (issue & ~last))),
        ]
        with m.If(randoms.start):
            m.d.comb += next_row.eq(row_index + self.key.stride)
            with m.If(~under_way):
                m.d.comb += randoms.index.eq(self.key.index)
                m.d.sync += row_index.eq(self.key.index)
            with m.Elif(jq != two):
                m.d.comb += randoms.index.eq(row_index + DRAIN_LANES)
            with m.Else():
                m.d.comb += randoms.index.eq(next_row)
                m.d.sync += row_index.eq(next_row)
        with m.If(wanted):
            m.d.sync += under_way.eq(~(issue & last))
        return randoms

    def _lanes(
        self,
        m: Module,
        chosen: Signal,
        accumulators: Value,
        scales: Value,
        biases: Value,
        randoms: Value,
        control: data.View,
    ) -> None:
        for i in range(DRAIN_LANES):
            m.submodules[f"lane{i}"] = lane = Shared(EpilogueLane(), name="gemel_epilogue_lane")
            m.d.comb += [
                lane.advance.eq(self.advance),
                lane.valid.eq(chosen),
                lane.acc.eq(accumulators.word_select(i, 32)),
                lane.integer.eq(control.integer),
                lane.scale.eq(scales.word_select(i, 32)),
                lane.scale_en.eq(control.scale_en),
                lane.bias.eq(biases.word_select(i, 32)),
                lane.bias_en.eq(control.bias_en),
                lane.relu.eq(control.relu),
                lane.fmt.eq(control.fmt),
                lane.saturate.eq(control.saturate),
                lane.stochastic.eq(control.stochastic),
                lane.random.eq(randoms.word_select(i, RANDOM_BITS)),
                self.codes[i].eq(lane.o),
                self.saturated[i].eq(lane.saturated),
                self.invalid[i].eq(lane.invalid),
                self.overflow[i].eq(lane.overflow),
            ]
            if i == 0:
                m.d.comb += self.valid.eq(lane.o_valid)
