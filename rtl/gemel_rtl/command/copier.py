"""The copy engine: copies of several rings, each begun while those before it are under way."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import FAULT_BITS, FaultCode
from gemel_golden.registers import COPY_COUNTS
from gemel_golden.windows import PAGE
from gemel_rtl.command.reach import Reach
from gemel_rtl.command.touch import touch
from gemel_rtl.command.turns import Turns
from gemel_rtl.dma.move_rows import MOVE
from gemel_rtl.dma.mover import MOVES, Mover
from gemel_rtl.interfaces import SLAVE_ERROR, axi_read, axi_write
from gemel_rtl.windows import Windows

__all__ = ["COPY", "COUNTS", "Copier"]

COPY = data.StructLayout({"move": MOVE, "windows": Windows})
"""A move of at least one byte, and the windows that both its ends must lie in."""


COUNTS = data.StructLayout(dict.fromkeys(COPY_COUNTS, 64))
"""Counted since reset."""


class Copier(wiring.Component):
    """Executes COPY as `gemel_golden.copier.copy` defines: windows are looked at first, then `Mover` moves.

    Rings take turns. A copy that touches what one under way writes, or writes what it reads, begins once that one is
    done; they are compared one a cycle. All are done in the order in which they were taken. A fault forgets what its
    ring has given since; copies of other rings that were under way begin again. `awake`: there is something to do, or
    else the clock may rest.

    Parameters: config, id_bits and bus_id (the constant AXI ID).
    Members: `copy` (array over rings): streams of copies; bit r of `done`: ring r's oldest one is, with its fault's
    `code` (0: none) and `address`, the first beat at fault; `read`, `write`: the buses; `awake`; `counts`: what the
    registers of these names show.
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
        taken = Signal()  # a copy of `owner` that isn't under way yet
        owner = Signal(rings, reset_less=True)
        copy = Signal(COPY, reset_less=True)

        # Under way are the moves in places from `oldest` to `newest` - 1, but those that aren't `live` any more.
        m.submodules.moves = moves = Memory(shape=MOVE, depth=MOVES, init=[])
        begin, there, first = moves.write_port(), moves.read_port(domain="comb"), moves.read_port(domain="comb")
        oldest, newest, look = (Signal(exact_log2(MOVES) + 1, name=name) for name in ("oldest", "newest", "look"))
        live = Array(Signal(name=f"live_{place}") for place in range(MOVES))
        owners = Array(Signal(rings, reset_less=True, name=f"owner_{place}") for place in range(MOVES))
        place = {pointer.name: pointer[:-1] for pointer in (oldest, newest, look)}
        held, alive, ours, empty = Signal.like(newest), Signal(), Signal(rings), Signal()
        again, able = Signal(), Signal()  # `again`: what a fault of another ring made the mover forget begins again
        m.d.comb += [
            begin.addr.eq(place["newest"]),
            begin.data.eq(copy.move),
            there.addr.eq(place["look"]),
            first.addr.eq(place["oldest"]),
            alive.eq(live[place["oldest"]]),
            ours.eq(owners[place["oldest"]]),
            held.eq(newest - oldest),
            empty.eq(held == 0),
            able.eq(~taken & ~mover.failed),
            turns.requests.eq(Cat(each.valid for each in self.copy)),
            turns.taken.eq(able),
            self.awake.eq(taken | ~empty | turns.requests.any()),
        ]
        counts = self.counts
        with m.If(taken | ~empty):
            m.d.sync += counts.copy_busy.eq(counts.copy_busy + 1)
        with m.If(mover.write.w.valid & mover.write.w.ready):
            m.d.sync += counts.copy_beats.eq(counts.copy_beats + 1)

        # A copy is taken, compared with the windows and with what is under way, and begun or refused.
        ends = (copy.move.source, Reach("read")), (copy.move.target, Reach("write"))
        for address, reach in ends:
            m.submodules[f"may_{reach.right}"] = reach
            m.d.comb += [
                reach.enable.eq(taken),
                reach.windows.eq(copy.windows),
                reach.address.eq(address),
                reach.bytes.eq(copy.move.bytes),
            ]
        (_, may_read), (_, may_write) = ends
        collides = live[place["look"]] & (
            touch(copy.move.source, copy.move.bytes, there.data.target, there.data.bytes)
            | touch(copy.move.target, copy.move.bytes, there.data.target, there.data.bytes)
            | touch(copy.move.target, copy.move.bytes, there.data.source, there.data.bytes)
        )
        allowed, known = Signal(), Signal()
        m.d.comb += [
            known.eq(may_read.done & (may_write.done | ~may_read.allowed)),
            allowed.eq(may_read.allowed & may_write.allowed),
            mover.i.payload.eq(Mux(again, there.data, copy.move)),
        ]

        def take() -> None:
            for r, each in enumerate(self.copy):
                m.d.comb += each.ready.eq(turns.chosen[r])
                with m.If(turns.chosen[r]):
                    m.d.sync += [copy.eq(each.payload), owner.eq(turns.chosen), taken.eq(1), look.eq(oldest)]

        def start() -> None:
            m.d.comb += mover.i.valid.eq(1)
            with m.If(mover.i.ready):
                m.d.comb += begin.en.eq(1)
                m.d.sync += [
                    live[place["newest"]].eq(1),
                    owners[place["newest"]].eq(owner),
                    newest.eq(newest + 1),
                    taken.eq(0),
                ]

        def refuse() -> None:
            m.d.comb += [self.done.eq(owner), self.code.eq(FaultCode.PROTECTION)]
            for address, reach in reversed(ends):
                start = Cat(address) >> WORD.bit_length() - 1 << WORD.bit_length() - 1
                page = reach.page << PAGE.bit_length() - 1
                with m.If(~reach.allowed):
                    m.d.comb += self.address.eq(Mux(start > page, start, page))
            m.d.sync += taken.eq(0)

        with m.If(again):
            m.d.comb += mover.i.valid.eq((look != newest) & live[place["look"]])
            with m.If(look == newest):
                m.d.sync += [again.eq(0), look.eq(oldest)]
            with m.Elif(~mover.i.valid | mover.i.ready):
                m.d.sync += look.eq(look + 1)
        with m.Elif(taken & (look != newest)):
            with m.If(~collides):
                m.d.sync += look.eq(look + 1)
        with m.Elif(taken & known & allowed & (held != MOVES)):
            start()
        with m.Elif(taken & known & ~allowed & empty):
            refuse()
        with m.Elif(able):
            take()

        # The end of the oldest one. The mover may be ahead by as many as have `finished`.
        finished, finishes, fails = Signal(range(MOVES + 1)), Signal(), Signal()
        m.d.comb += [
            finishes.eq(alive & (mover.done | (finished != 0))),
            fails.eq(alive & mover.failed & (finished == 0)),
            mover.resume.eq(fails),
        ]
        m.d.sync += finished.eq(finished + mover.done - finishes)
        with m.If(finishes | fails):
            m.d.comb += self.done.eq(ours)
            m.d.sync += live[place["oldest"]].eq(0)
        with m.If(finishes):
            m.d.sync += counts.copy_bytes.eq(counts.copy_bytes + first.data.bytes)
        with m.If(fails):
            m.d.comb += [
                self.code.eq(Mux(mover.wrote, FaultCode.MEMORY_WRITE, FaultCode.MEMORY_READ)),
                self.address.eq(mover.address),
            ]
            with m.If(mover.error == SLAVE_ERROR):
                m.d.comb += self.code.eq(FaultCode.ECC_MEMORY)
            m.d.sync += [again.eq(1), look.eq(oldest)]
            for alive_there, owner_there in zip(live, owners, strict=True):
                with m.If(owner_there == ours):
                    m.d.sync += alive_there.eq(0)
            with m.If(owner == ours):
                m.d.sync += taken.eq(0)
        with m.If(~empty & (~alive | finishes | fails)):
            m.d.sync += oldest.eq(oldest + 1)
        return m
