"""The copy engine: copies of several rings, one at a time."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import FAULT_BITS, FaultCode
from gemel_golden.registers import COPY_COUNTS
from gemel_golden.windows import PAGE
from gemel_rtl.command.reach import Reach
from gemel_rtl.command.turns import Turns
from gemel_rtl.dma.move_rows import MOVE
from gemel_rtl.dma.mover import Mover
from gemel_rtl.interfaces import SLAVE_ERROR, axi_read, axi_write
from gemel_rtl.windows import Windows

__all__ = ["COPY", "COUNTS", "Copier"]

COPY = data.StructLayout({"move": MOVE, "windows": Windows})
"""A move of at least one byte, and the windows that both its ends must lie in."""


COUNTS = data.StructLayout(dict.fromkeys(COPY_COUNTS, 64))
"""Counted since reset."""


class State(enum.Enum, shape=2):
    """What the engine does."""

    IDLE = 0
    CHECK = 1
    MOVE = 2


class Copier(wiring.Component):
    """Executes COPY as `gemel_golden.copier.copy` defines: windows are looked at first, then `Mover` moves.

    Rings take turns. `awake`: there is something to do, or else the clock may rest.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `copy` (array over rings): streams of copies, one of a ring at a time; bit r of `done`: that of ring r is,
    with its fault's `code` (0: none) and `address`, the first beat at fault; `read`, `write`: the buses; `awake`;
    `counts`: what the registers of these names show.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "copy": In(stream.Signature(COPY)).array(config.rings),
                "done": Out(config.rings),
                "code": Out(FAULT_BITS),
                "address": Out(64),
                "read": Out(axi_read(config, id_bits)),
                "write": Out(axi_write(config, id_bits)),
                "awake": Out(1),
                "counts": Out(COUNTS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rings = self.config.rings
        m.submodules.turns = turns = Turns(rings)
        m.submodules.mover = mover = Mover(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        wiring.connect(m, wiring.flipped(self.read), mover.read)
        wiring.connect(m, wiring.flipped(self.write), mover.write)
        state = Signal(State)
        owner = Signal(rings)
        copy = Signal(COPY, reset_less=True)
        m.d.comb += [
            turns.requests.eq(Cat(each.valid for each in self.copy)),
            turns.taken.eq(state == State.IDLE),
            self.awake.eq((state != State.IDLE) | turns.requests.any()),
            mover.i.payload.eq(copy.move),
        ]

        ends = (copy.move.source, Reach("read")), (copy.move.target, Reach("write"))
        for address, reach in ends:
            m.submodules[f"may_{reach.right}"] = reach
            m.d.comb += [
                reach.enable.eq(state == State.CHECK),
                reach.windows.eq(copy.windows),
                reach.address.eq(address),
                reach.bytes.eq(copy.move.bytes),
            ]
        (source, may_read), (target, may_write) = ends

        counts = self.counts
        with m.If(state != State.IDLE):
            m.d.sync += counts.copy_busy.eq(counts.copy_busy + 1)
        with m.If(mover.write.w.valid & mover.write.w.ready):
            m.d.sync += counts.copy_beats.eq(counts.copy_beats + 1)

        def finish() -> None:
            m.d.comb += self.done.eq(owner)
            m.d.sync += state.eq(State.IDLE)

        def refuse(address: Any, reach: Reach) -> None:
            start = Cat(address) >> WORD.bit_length() - 1 << WORD.bit_length() - 1
            page = reach.page << PAGE.bit_length() - 1
            m.d.comb += [self.code.eq(FaultCode.PROTECTION), self.address.eq(Mux(start > page, start, page))]
            finish()

        with m.Switch(state):
            with m.Case(State.IDLE):
                with m.If(turns.chosen.any()):
                    m.d.sync += [owner.eq(turns.chosen), state.eq(State.CHECK)]
                for r, each in enumerate(self.copy):
                    m.d.comb += each.ready.eq(turns.chosen[r])
                    with m.If(turns.chosen[r]):
                        m.d.sync += copy.eq(each.payload)
            with m.Case(State.CHECK):
                with m.If(may_read.done & ~may_read.allowed):
                    refuse(source, may_read)
                with m.Elif(may_read.done & may_write.done & ~may_write.allowed):
                    refuse(target, may_write)
                with m.Elif(may_read.done & may_write.done):
                    m.d.comb += mover.i.valid.eq(1)
                    m.d.sync += state.eq(State.MOVE)
            with m.Case(State.MOVE):
                with m.If(mover.done & (mover.error == 0)):
                    m.d.sync += counts.copy_bytes.eq(counts.copy_bytes + copy.move.bytes)
                with m.If(mover.error != 0):
                    m.d.comb += [
                        self.code.eq(Mux(mover.wrote, FaultCode.MEMORY_WRITE, FaultCode.MEMORY_READ)),
                        self.address.eq(mover.address),
                    ]
                    with m.If(mover.error == SLAVE_ERROR):
                        m.d.comb += self.code.eq(FaultCode.ECC_MEMORY)
                with m.If(mover.done):
                    finish()
        return m
