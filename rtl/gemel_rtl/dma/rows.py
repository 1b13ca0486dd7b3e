"""Takes DMA instructions, waits for their semaphores and walks their rows."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import Opcode
from gemel_rtl.dma.layouts import RETIRING, ROW, fields
from gemel_rtl.interfaces import SEMAPHORE_PAIR, Issue

__all__ = ["RowWalker"]


class RowWalker(wiring.Component):
    """Gives the rows of each instruction in order (`gemel_golden.dma.row_addresses`), one a cycle without a gap.

    An instruction is taken once its waits are granted, at the earliest in the cycle in which the last row before it
    goes; its first row comes a cycle later. As it is taken it goes to `retiring` as well, and `start` is high.

    Parameters: opcode (LOAD or STORE).
    Members: `issue`, `wait`, `retiring`, `o` (streams), `stop` (take nothing), `start`, `waiting`.
    """

    def __init__(self, opcode: Opcode):
        self.opcode = opcode
        super().__init__(
            {
                "issue": In(Issue),
                "wait": Out(stream.Signature(SEMAPHORE_PAIR)),
                "retiring": Out(stream.Signature(RETIRING)),
                "o": Out(stream.Signature(ROW)),
                "stop": In(1),
                "start": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        given = fields(self.issue.payload.bits, self.opcode)
        room = Signal()
        m.d.comb += room.eq(~self.o.valid | (self.o.ready & self.o.payload.last))
        self._take(m, given, room)
        self._walk(m, given)
        return m

    def _take(self, m: Module, given, room) -> None:
        waits, waited, granted = Signal(), Signal(), Signal()
        m.d.comb += [
            waits.eq((given["wait0_count"] != 0) | (given["wait1_count"] != 0)),
            self.wait.payload.sem0.eq(given["wait0"]),
            self.wait.payload.count0.eq(given["wait0_count"]),
            self.wait.payload.sem1.eq(given["wait1"]),
            self.wait.payload.count1.eq(given["wait1_count"]),
            self.wait.valid.eq(self.issue.valid & waits & ~waited & ~self.stop),
            self.waiting.eq(self.wait.valid & ~self.wait.ready),
            granted.eq(~waits | waited | self.wait.ready),
            self.retiring.valid.eq(self.issue.valid & granted & room & ~self.stop),
            self.retiring.payload.pc.eq(self.issue.payload.pc),
            self.retiring.payload.signal.sem0.eq(given["signal0"]),
            self.retiring.payload.signal.count0.eq(given["signal0_count"]),
            self.retiring.payload.signal.sem1.eq(given["signal1"]),
            self.retiring.payload.signal.count1.eq(given["signal1_count"]),
            self.start.eq(self.retiring.valid & self.retiring.ready),
            self.issue.ready.eq(self.start),
        ]
        with m.If(self.start):
            m.d.sync += waited.eq(0)
        with m.Elif(self.wait.valid & self.wait.ready):
            m.d.sync += waited.eq(1)

    def _walk(self, m: Module, given) -> None:
        row = self.o.payload
        count1 = Signal(16, reset_less=True)
        count2 = Signal(16, reset_less=True)
        valid1 = Signal(16, reset_less=True)
        left1, left2, left3, present1 = (
            Signal(16, name=f"{name}", reset_less=True) for name in ("left1", "left2", "left3", "present1")
        )
        strides = [Signal(signed(40), name=f"stride{d}", reset_less=True) for d in (1, 2, 3)]
        base2, base3 = Signal(64, reset_less=True), Signal(64, reset_less=True)
        end1, end2 = Signal(), Signal()
        following = Signal(64)
        m.d.comb += [
            end1.eq(left1 == 0),
            end2.eq(left2 == 0),
            row.present.eq(present1 != 0),
            row.last.eq(end1 & end2 & (left3 == 0)),
            following.eq(
                Mux(end1, Mux(end2, base3, base2), row.address)
                + Mux(end1, Mux(end2, strides[2], strides[1]), strides[0])
            ),
        ]
        loading = self.opcode == Opcode.LOAD
        with m.If(self.start):
            shorter = Signal()
            if loading:
                m.d.comb += shorter.eq(given["valid_bytes"] < given["bytes"])
                m.d.sync += [
                    row.length.eq(Mux(shorter, given["valid_bytes"], given["bytes"])),
                    row.fill.eq(given["fill"]),
                ]
            else:
                m.d.sync += row.length.eq(given["bytes"])
            present = Mux(given["valid_bytes"] != 0, given["valid1"], 0) if loading else given["count1"]
            m.d.sync += [
                self.o.valid.eq(1),
                row.place.layout.eq(given["layout"]),
                row.place.pitch.eq(given["pitch"]),
                row.place.l1.eq(given["l1"]),
                row.place.bytes.eq(given["bytes"]),
                row.address.eq(given["mem"]),
                row.first.eq(1),
                row.pc.eq(self.issue.payload.pc),
                base2.eq(given["mem"]),
                base3.eq(given["mem"]),
                count1.eq(given["count1"] - 1),
                count2.eq(given["count2"] - 1),
                left1.eq(given["count1"] - 1),
                left2.eq(given["count2"] - 1),
                left3.eq(given["count3"] - 1),
                valid1.eq(present),
                present1.eq(present),
                *(stride.eq(given[stride.name]) for stride in strides),
            ]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(~row.last), row.first.eq(0), row.address.eq(following), left1.eq(left1 - 1)]
            with m.If(row.present):
                m.d.sync += present1.eq(present1 - 1)
            with m.If(end1):
                m.d.sync += [left1.eq(count1), left2.eq(left2 - 1), base2.eq(following), present1.eq(valid1)]
                with m.If(end2):
                    m.d.sync += [left2.eq(count2), left3.eq(left3 - 1), base3.eq(following)]
