"""Takes DMA instructions, waits for their semaphores and walks their rows."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import Opcode
from gemel_rtl.dma.layouts import INDEXING, RETIRING, ROW, fields
from gemel_rtl.dma.row_shapes import converted_rows, present_rows, turned_rows
from gemel_rtl.interfaces import SEMAPHORE_PAIR, Issue

__all__ = ["RowWalker"]

INDEXED = (Opcode.GATHER, Opcode.SCATTER, Opcode.SCATTER_ADD)


class RowWalker(wiring.Component):
    """Gives the rows of each instruction in order (`gemel_golden.dma.row_addresses`), one a cycle without a gap.

    An instruction is taken once its waits are granted, at the earliest in the cycle in which the last row before it
    goes; its first row comes a cycle later. As it is taken it goes to `retiring` as well, its list of indices to
    `indexing`, and `start` is high.

    Parameters: opcodes (the unit's instructions, with the fields that they don't have).
    Members: `issue`, `wait`, `retiring`, `indexing`, `o` (streams), `stop` (take nothing), `start`, `waiting`.
    """

    def __init__(self, opcodes: Mapping[Opcode, Mapping[str, int]]):
        self.opcodes = opcodes
        super().__init__(
            {
                "issue": In(Issue),
                "wait": Out(stream.Signature(SEMAPHORE_PAIR)),
                "retiring": Out(stream.Signature(RETIRING)),
                "indexing": Out(stream.Signature(INDEXING)),
                "o": Out(stream.Signature(ROW)),
                "stop": In(1),
                "start": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        given = fields(self.issue.payload.bits, self.opcodes)
        room = Signal()
        m.d.comb += room.eq(~self.o.valid | (self.o.ready & self.o.payload.last))
        self._take(m, given, room)
        self._walk(m, given)
        return m

    def _is(self, *opcodes: Opcode) -> Value:
        """The instruction issued is one of these."""
        code = self.issue.payload.bits[:8]
        return Cat(code == opcode for opcode in opcodes if opcode in self.opcodes).any()

    def _take(self, m: Module, given, room) -> None:
        waits, waited, granted = Signal(), Signal(), Signal()
        indexed, able = Signal(), Signal()
        m.d.comb += [
            waits.eq((given["wait0_count"] != 0) | (given["wait1_count"] != 0)),
            self.wait.payload.sem0.eq(given["wait0"]),
            self.wait.payload.count0.eq(given["wait0_count"]),
            self.wait.payload.sem1.eq(given["wait1"]),
            self.wait.payload.count1.eq(given["wait1_count"]),
            self.wait.valid.eq(self.issue.valid & waits & ~waited & ~self.stop),
            self.waiting.eq(self.wait.valid & ~self.wait.ready),
            granted.eq(~waits | waited | self.wait.ready),
            indexed.eq(self._is(*INDEXED)),
            able.eq(self.issue.valid & granted & room & ~self.stop),
            self.retiring.valid.eq(able & (~indexed | self.indexing.ready)),
            self.retiring.payload.pc.eq(self.issue.payload.pc),
            self.retiring.payload.signal.sem0.eq(given["signal0"]),
            self.retiring.payload.signal.count0.eq(given["signal0_count"]),
            self.retiring.payload.signal.sem1.eq(given["signal1"]),
            self.retiring.payload.signal.count1.eq(given["signal1_count"]),
            self.indexing.valid.eq(able & indexed & self.retiring.ready),
            self.indexing.payload.l1.eq(given["indices"]),
            self.indexing.payload.count.eq(given["count1"]),
            self.indexing.payload.stride.eq(given["stride"]),
            self.indexing.payload.limit.eq(given["limit"]),
            self.start.eq(self.retiring.valid & self.retiring.ready),
            self.issue.ready.eq(self.start),
        ]
        with m.If(self.start):
            m.d.sync += waited.eq(0)
        with m.Elif(self.wait.valid & self.wait.ready):
            m.d.sync += waited.eq(1)

    def _walk(self, m: Module, given) -> None:
        row = self.o.payload
        counts = [Signal(16, name=f"count{d}", reset_less=True) for d in (1, 2)]
        left = [Signal(16, name=f"left{d}", reset_less=True) for d in (1, 2, 3)]
        strides = [Signal(signed(40), name=f"stride{d}", reset_less=True) for d in (1, 2, 3)]
        base2, base3 = Signal(64, reset_less=True), Signal(64, reset_less=True)
        end1, end2 = Signal(), Signal()
        following, here = Signal(64), Signal(64, reset_less=True)
        length = Signal(17, reset_less=True)
        loads, step = Opcode.LOAD in self.opcodes, self.o.valid & self.o.ready
        if loads:
            shape = turned_rows(m, given, row, self._is(Opcode.LOAD_TRANSPOSED), self.start)
        else:
            shape = converted_rows(m, given, row, self._is(Opcode.STORE_CONVERT), self.start, step)
        m.d.comb += [
            end1.eq(left[0] == 0),
            end2.eq(left[1] == 0),
            row.last.eq(end1 & end2 & (left[2] == 0) & shape.ends),
            row.address.eq(shape.address(here)),
            row.length.eq(Mux(row.beside, row.beside_length, length)),
            following.eq(
                Mux(end1, Mux(end2, base3, base2), here) + Mux(end1, Mux(end2, strides[2], strides[1]), strides[0])
            ),
        ]
        stride, overlaps = given["stride"], Signal()
        m.d.comb += overlaps.eq(Mux(stride < 0, -stride, stride) < given["bytes"])
        with m.If(self.start):
            m.d.sync += [
                self.o.valid.eq(1),
                row.place.layout.eq(given["layout"]),
                row.place.pitch.eq(given["pitch"]),
                row.place.l1.eq(given["l1"]),
                row.place.bytes.eq(shape.place_bytes),
                length.eq(shape.length),
                row.fill.eq(given["fill"]),
                row.constant.eq(self._is(Opcode.FILL)),
                row.indexed.eq(self._is(*INDEXED)),
                row.accumulate.eq(self._is(Opcode.SCATTER_ADD)),
                row.serial.eq(overlaps),
                row.format.eq(given.get("format", 0)),
                here.eq(given["mem"]),
                row.first.eq(1),
                row.pc.eq(self.issue.payload.pc),
                base2.eq(given["mem"]),
                base3.eq(given["mem"]),
                *(count.eq(shape.counts[d] - 1) for d, count in enumerate(counts)),
                *(count.eq(shape.counts[d] - 1) for d, count in enumerate(left)),
                strides[0].eq(given["stride1"]),
                strides[1].eq(shape.stride2),
                strides[2].eq(given["stride3"]),
            ]
        with m.Elif(step):
            m.d.sync += [self.o.valid.eq(~row.last), row.first.eq(0)]
            with m.If(shape.ends):
                m.d.sync += [here.eq(following), left[0].eq(left[0] - 1)]
            with m.If(end1 & shape.ends):
                m.d.sync += [left[0].eq(counts[0]), left[1].eq(left[1] - 1), base2.eq(following)]
                with m.If(end2):
                    m.d.sync += [left[1].eq(counts[1]), left[2].eq(left[2] - 1), base3.eq(following)]
        if loads:
            present_rows(m, given, row, self._is(Opcode.IM2COL), self.start, step, (end1, end2))
            m.d.comb += [
                row.beside.eq(row.turn & end2 & (row.beside_length != 0)),
                row.block_first.eq(left[0] == counts[0]),
                row.block_last.eq(end1),
                row.block_final.eq(end2),
            ]
        else:
            m.d.comb += [row.present.eq(1), row.block_last.eq(end1 & end2 & (left[2] == 0))]
