"""How the rows of each kind of instruction are walked, beside what their fields say: turned, converted, windowed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from amaranth.hdl import C, Module, Mux, Signal, Value, signed

from gemel_golden.config import WORD
from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale
from gemel_rtl.tensor.formats import has_bits

__all__ = ["RowShape", "converted_rows", "plain_rows", "present_rows", "turned_rows"]

FP32 = FORMATS["fp32"].code
Fields = Mapping[str, Value]


class RowShape(NamedTuple):
    """How an instruction's rows are walked: its fields, or what stands for them."""

    address: Callable[[Value], Value]
    """Of a row, from where the walk of the dimensions is."""
    ends: Value
    """The current row is the last of its place in the dimensions."""
    length: Value
    place_bytes: Value
    """Bytes of a row in L1."""
    counts: list[Value]
    stride2: Value


def plain_rows(given: Fields) -> RowShape:
    """The instruction's, where its fields say it."""
    counts = [given[f"count{d}"] for d in (1, 2, 3)]
    return RowShape(lambda here: here, C(1, 1), given["bytes"], given["bytes"], counts, given["stride2"])


def turned_rows(m: Module, given: Fields, row, turns: Value, start: Value) -> RowShape:
    """LOAD's rows; those of a matrix that is transposed (`turns`) are cut into columns of 64 bytes.

    row: the walker's; start: an instruction begins.
    """
    size, length, place_bytes = given["element"], Signal(17), Signal(17)
    rows, blocks, line = Signal(16), Signal(16), Signal(17)
    m.d.comb += [
        place_bytes.eq(given["bytes"]),
        length.eq(Mux(given["valid_bytes"] < given["bytes"], given["valid_bytes"], given["bytes"])),
        rows.eq(given["count1"]),
        blocks.eq(given["count2"]),
        line.eq(-(-given["bytes"] >> size) << size),
    ]
    with m.If(turns):
        most = Signal(7)
        m.d.comb += [
            most.eq(C(WORD, 7) >> size),
            rows.eq(Mux(given["count1"] < most, given["count1"], most)),
            blocks.eq((line + WORD - 1) >> 6),
            length.eq(WORD),
            place_bytes.eq(rows << size),
        ]
    with m.If(start):
        m.d.sync += [row.turn.eq(turns), row.element.eq(size), row.beside_length.eq(line[:6])]
    stride2 = Mux(turns, WORD, given["stride2"])
    return plain_rows(given)._replace(
        length=length, place_bytes=place_bytes, counts=[rows, blocks, given["count3"]], stride2=stride2
    )


def converted_rows(m: Module, given: Fields, row, converts: Value, start: Value, step: Value) -> RowShape:
    """STORE's rows, in the length that converted ones have (`converts`), and rows of scales beside them.

    row: the walker's; start: an instruction begins; step: a row goes.
    """
    address, ends = Signal(64, reset_less=True), Signal()
    length, place_bytes, elements = Signal(17), Signal(17), Signal(16)
    stride, scaled = Signal(32, reset_less=True), row.recoding.block_scale != BlockScale.NONE
    source, target, block_scale = given["source_format"], given["target_format"], given["block_scale"]
    wide, narrow = source == FP32, has_bits(source, 8)
    m.d.comb += [
        length.eq(given["bytes"]),
        place_bytes.eq(given["bytes"]),
        elements.eq(Mux(wide, (given["bytes"] + 3) >> 2, Mux(narrow, given["bytes"], (given["bytes"] + 1) >> 1))),
        ends.eq(~scaled | row.beside),
    ]
    with m.If(converts):
        m.d.comb += [length.eq(elements), place_bytes.eq(elements << Mux(wide, 2, ~narrow))]
        with m.If(target == FP32):
            m.d.comb += length.eq(elements << 2)
        with m.Elif(has_bits(target, 16)):
            m.d.comb += length.eq(elements << 1)
    with m.If(start):
        m.d.sync += [
            row.recode.eq(converts),
            row.recoding.source.eq(source),
            row.recoding.target.eq(target),
            row.recoding.block_scale.eq(block_scale),
            row.recoding.factor.eq(given["factor"]),
            row.beside.eq(0),
            row.beside_length.eq(Mux(block_scale == BlockScale.MX, (elements + 31) >> 5, ((elements + 127) >> 7) << 2)),
            address.eq(given["mem"] + given["scales"]),
            stride.eq(given["scale_stride"]),
        ]
    with m.Elif(step & scaled):
        m.d.sync += row.beside.eq(~row.beside)
        with m.If(row.beside):
            m.d.sync += address.eq(address + stride.as_signed())
    return plain_rows(given)._replace(
        address=lambda here: Mux(row.beside, address, here), ends=ends, length=length, place_bytes=place_bytes
    )


def present_rows(
    m: Module, given: Fields, row, windowed: Value, start: Value, step: Value, ends: tuple[Value, Value]
) -> None:
    """LOAD's rows that memory has: the first ones of dimension 1, or those inside of an image (`windowed`).

    row: the walker's; start: an instruction begins; step: a row goes; ends: it ends dimensions 1 and 2.
    """
    window = Signal(reset_less=True)
    valid1, left = Signal(16, reset_less=True), Signal(16, reset_less=True)
    x0, x, y0, y = (Signal(signed(22), name=name, reset_less=True) for name in ("x0", "x", "y0", "y"))
    dx, dy = (Signal(5, name=name, reset_less=True) for name in ("dx", "dy"))
    width, height = (Signal(13, name=name, reset_less=True) for name in ("width", "height"))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    m.d.comb += row.present.eq(Mux(window, inside, left != 0))
    with m.If(start):
        valid = Mux(given["valid_bytes"] != 0, given["valid1"], 0)
        m.d.sync += [window.eq(windowed), valid1.eq(valid), left.eq(valid)]
        m.d.sync += [x0.eq(given["x"]), x.eq(given["x"]), y0.eq(given["y"]), y.eq(given["y"])]
        m.d.sync += [signal.eq(given[signal.name]) for signal in (dx, dy, width, height)]
    with m.Elif(step):
        m.d.sync += x.eq(x + dx)
        with m.If(row.present):
            m.d.sync += left.eq(left - 1)
        with m.If(ends[0]):
            m.d.sync += [left.eq(valid1), x.eq(x0), y.eq(Mux(ends[1], y0, y + dy))]
