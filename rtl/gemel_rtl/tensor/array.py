"""The array: operand decoders at two edges and rows x cols dot cells between them."""

from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_rtl.numeric.accumulate import DotCell
from gemel_rtl.numeric.decode import EdgeDecoder
from gemel_rtl.numeric.layouts import DecodedBlock
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.schedule import EdgeStep

__all__ = ["STEP_FIELDS", "Array"]

DECODE_STAGES = 1
"""Registers between the blocks and the cells."""


class ArrayStep(data.Struct):
    """What all cells need to know of a step."""

    integer: 1
    four: 1
    quarters: 1
    first: 1
    bank: 1
    grouped: 1
    group_first: 1
    group_last: 1


STEP_FIELDS = tuple(str(name) for name, _ in data.Layout.cast(ArrayStep))
EDGE_FIELDS = tuple(str(name) for name, _ in data.Layout.cast(EdgeStep))


class Array(wiring.Component):
    """Multiplies blocks of `rows` rows of A by blocks of `cols` rows of B, and keeps two banks of macro tiles.

    Attributes
    ----------
    latency, group_latency : cycles from `valid` until the accumulator can be drained, as `DotCell` has them

    Members
    -------
    valid, ig, jg, step : In, a step, its groups and its ArrayStep
    row_mask, col_mask : In, cells that take part
    new_a : In, `blocks_a` differ from those of the step before
    a, b : In(EdgeStep); blocks_a, blocks_b, scales_a, scales_b : In, the operands' blocks and their scales
    drain_en : In, one bit per row of cells; drain_bank, drain_ig, drain_jq : In
    drain_data : Out(rows x 512), 16 neighbouring columns each, one cycle after `drain_en`, until the next drain
    load_en, load_bank, load_ig, load_jq, load_data : In, 16 neighbouring columns of C, likewise
    invalid, overflow : Out, pulses
    """

    latency = DECODE_STAGES + DotCell.latency
    group_latency = DECODE_STAGES + DotCell.group_latency

    def __init__(self, config: ChipConfig):
        self.config = config
        ig, jg = ceil_log2(config.groups_m), ceil_log2(config.groups_n)
        super().__init__(
            {
                "valid": In(1),
                "ig": In(ig),
                "jg": In(jg),
                "step": In(ArrayStep),
                "row_mask": In(config.rows),
                "col_mask": In(config.cols),
                "new_a": In(1),
                "a": In(EdgeStep),
                "b": In(EdgeStep),
                "blocks_a": In(data.ArrayLayout(8 * CHUNK, config.rows)),
                "blocks_b": In(data.ArrayLayout(8 * CHUNK, config.cols)),
                "scales_a": In(data.ArrayLayout(32, config.rows)),
                "scales_b": In(data.ArrayLayout(32, config.cols)),
                "drain_en": In(config.rows),
                "drain_bank": In(1),
                "drain_ig": In(ig),
                "drain_jq": In(1),
                "drain_data": Out(data.ArrayLayout(8 * WORD, config.rows)),
                "load_en": In(config.rows),
                "load_bank": In(1),
                "load_ig": In(ig),
                "load_jq": In(1),
                "load_data": In(8 * WORD),
                "invalid": Out(1),
                "overflow": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        valid = Signal()
        ig, jg = Signal.like(self.ig, reset_less=True), Signal.like(self.jg, reset_less=True)
        step = data.View(ArrayStep, Signal(ArrayStep, reset_less=True, name="step"))
        row_mask, col_mask = Signal(config.rows), Signal(config.cols)
        m.d.sync += valid.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += [
                ig.eq(self.ig),
                jg.eq(self.jg),
                step.eq(self.step),
                row_mask.eq(self.row_mask),
                col_mask.eq(self.col_mask),
            ]
        rows = self._decoders(m, "a", self.blocks_a, self.scales_a, self.a, self.valid & self.new_a)
        cols = self._decoders(m, "b", self.blocks_b, self.scales_b, self.b, self.valid)

        flags = []
        for r in range(config.rows):
            drained = []
            for c in range(config.cols):
                component = DotCell(groups_m=config.groups_m, groups_n=config.groups_n, sub=config.drain_sub)
                m.submodules[f"cell{r}_{c}"] = cell = Shared(component, name="gemel_dot_cell")
                m.d.comb += [
                    cell.valid.eq(valid & row_mask[r] & col_mask[c]),
                    [getattr(cell, field).eq(getattr(step, field)) for field in STEP_FIELDS],
                    cell.ig.eq(ig),
                    cell.jg.eq(jg),
                    Value.cast(cell.a).eq(rows[r]),
                    Value.cast(cell.b).eq(cols[c]),
                    cell.drain_en.eq(self.drain_en[r]),
                    cell.drain_bank.eq(self.drain_bank),
                    cell.drain_ig.eq(self.drain_ig),
                    cell.drain_jq.eq(self.drain_jq),
                    cell.load_en.eq(self.load_en[r]),
                    cell.load_bank.eq(self.load_bank),
                    cell.load_ig.eq(self.load_ig),
                    cell.load_jq.eq(self.load_jq),
                    cell.load_data.eq(
                        Cat(self.load_data.word_select(s * config.cols + c, 32) for s in range(config.drain_sub))
                    ),
                ]
                drained.append(cell.drain_data)
                flags.append(Cat(cell.invalid, cell.overflow))
            # Column s * cols + c is accumulator s of cell c.
            m.d.comb += self.drain_data[r].eq(
                Cat(data.word_select(s, 32) for s in range(config.drain_sub) for data in drained)
            )
        m.d.comb += [
            self.invalid.eq(Cat(flag[0] for flag in flags).any()),
            self.overflow.eq(Cat(flag[1] for flag in flags).any()),
        ]
        return m

    def _decoders(
        self, m: Module, name: str, blocks: data.View, scales: data.View, edge: data.View, load: Value
    ) -> list[Signal]:
        """Decoded blocks, registered."""
        decoded = []
        for i in range(blocks.shape().length):
            m.submodules[f"decode_{name}{i}"] = decoder = Shared(EdgeDecoder(), name="gemel_edge_decoder")
            held = Signal(Shape.cast(DecodedBlock).width, name=f"{name}{i}", reset_less=True)
            m.d.comb += [
                decoder.enable.eq(load),
                decoder.block.eq(blocks[i]),
                decoder.scale.eq(scales[i]),
                [getattr(decoder, field).eq(getattr(edge, field)) for field in EDGE_FIELDS],
            ]
            with m.If(load):
                m.d.sync += held.eq(Value.cast(decoder.o))
            decoded.append(held)
        return decoded
