"""Walks over a move from memory to memory, row by row."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.dma.layouts import ROW

__all__ = ["MOVE", "MOVE_ROW", "MoveWalker"]

ROW_BYTES = 1 << 16
"""Bytes of a row at most."""

MOVE = data.StructLayout({"source": 64, "target": 64, "bytes": 48})
"""`bytes` bytes from address `source` on go to address `target` on."""

MOVE_ROW = data.StructLayout({"source": 64, "target": 64, "length": ROW["length"].shape, "last": 1})
"""Some of them; the last of their move."""


class MoveWalker(wiring.Component):
    """Gives the rows of a move, all but the first from the start of a beat of the target on.

    Members: `i` (moves), `o` (rows).
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(MOVE)), "o": Out(stream.Signature(MOVE_ROW))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        move, row = Signal(MOVE), self.o.payload
        most, length, last = Signal(ROW["length"].shape), Signal(ROW["length"].shape), Signal()
        m.d.comb += [
            most.eq(ROW_BYTES - move.target[:6]),
            last.eq(move.bytes <= most),
            length.eq(Mux(last, move.bytes, most)),
            row.source.eq(move.source),
            row.target.eq(move.target),
            row.last.eq(last),
            row.length.eq(length),
            self.o.valid.eq(move.bytes != 0),
            self.i.ready.eq(move.bytes == 0),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                move.source.eq(move.source + length),
                move.target.eq(move.target + length),
                move.bytes.eq(move.bytes - length),
            ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += move.eq(self.i.payload)
        return m
