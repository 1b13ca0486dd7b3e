"""Instruction fetch: a circular window of instructions that is read ahead of the sequencer."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, ValueLike
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.isa import INSTRUCTION_BYTES
from gemel_golden.memory.secded import CHECK_BITS, DATA_BITS
from gemel_rtl.interfaces import PC_BITS, axi_read
from gemel_rtl.numeric.secded import SecdedDecoder, check_bits

__all__ = ["Fetch"]

BURST = 16
PAGE = 4096 // INSTRUCTION_BYTES
WORD_SHIFT = INSTRUCTION_BYTES.bit_length() - 1
CHECKED = 8 * INSTRUCTION_BYTES // DATA_BITS
"""Parts of an instruction that have check bits of their own."""


class Fetch(wiring.Component):
    """Window of `config.fetch_depth` instructions [base, fetched); [fetched, requested) is under way.

    Bursts of up to 16 instructions that stay within 4 KB and the program run ahead as long as nothing from `keep` on is
    overwritten. In a cycle of `read` with `available`, instruction `index` is read: `instruction` holds it from the
    next cycle to the next `read`, and `error` the bus's response, if it was an error. With `config.ecc` the window
    holds check bits: `corrected`, for a cycle after a `read` that found single errors; `damaged`, beside an
    `instruction` with more of them. While the reader waits
    (`waiting`) for `pc`: an instruction before the window (a jump back) is fetched anew; `unreachable` says that
    memory has no such address.

    Parameters: config; id_bits, bus_id: width and value of ARID.
    Members: `start` with `entry` (the address of instruction 0) and `length` begins at instruction 0; `stop` ends
    fetching; `index`, `read`, `available`, `instruction`, `error`, `corrected`, `damaged`; `waiting`, `pc`, `keep`,
    `unreachable`; `delivered`: an instruction came; `idle`: nothing is under way on the bus; `bus`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 1):
        self.config = config
        self.bus_id = bus_id
        super().__init__(
            {
                "start": In(1),
                "entry": In(64),
                "length": In(PC_BITS),
                "stop": In(1),
                "index": In(PC_BITS),
                "read": In(1),
                "available": Out(1),
                "instruction": Out(8 * INSTRUCTION_BYTES),
                "error": Out(2),
                "corrected": Out(1),
                "damaged": Out(1),
                "waiting": In(1),
                "pc": In(PC_BITS),
                "keep": In(PC_BITS),
                "unreachable": Out(1),
                "delivered": Out(1),
                "idle": Out(1),
                "bus": Out(axi_read(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self.config.fetch_depth
        fields = {"bits": 8 * INSTRUCTION_BYTES, "error": 2}
        if self.config.ecc:
            fields["check"] = CHECK_BITS * CHECKED
        m.submodules.window = window = Memory(shape=data.StructLayout(fields), depth=depth, init=[])
        write = window.write_port()
        read = window.read_port()

        active = Signal()
        drop = Signal()
        base = Signal(PC_BITS)
        requested = Signal(PC_BITS)
        fetched = Signal(PC_BITS)
        origin = Signal(58, reset_less=True)
        length = Signal(PC_BITS, reset_less=True)
        word = Signal(59, reset_less=True)  # the address of instruction `requested`, in instructions
        outstanding = Signal(range(depth + 1))

        ar, r = self.bus.ar, self.bus.r
        beat = Signal()
        m.d.comb += [
            r.ready.eq(1),
            beat.eq(r.valid & ~drop),
            self.delivered.eq(beat),
            write.addr.eq(fetched[: len(write.addr)]),
            write.data.bits.eq(r.payload.data),
            write.data.error.eq(r.payload.resp),
            write.en.eq(beat),
            read.addr.eq(self.index[: len(read.addr)]),
            read.en.eq(self.read),
            self.error.eq(read.data.error),
            self.idle.eq(outstanding == 0),
        ]

        if self.config.ecc:
            m.submodules.decoder = decoder = SecdedDecoder(CHECKED)
            fresh = Signal()
            m.d.sync += fresh.eq(self.read)
            m.d.comb += [
                write.data.check.eq(check_bits(r.payload.data)),
                decoder.data.eq(read.data.bits),
                decoder.check.eq(read.data.check),
                self.instruction.eq(decoder.fixed),
                self.corrected.eq(fresh & decoder.corrected.any()),
                self.damaged.eq(decoder.uncorrectable.any()),
            ]
        else:
            m.d.comb += self.instruction.eq(read.data.bits)

        held = Signal(PC_BITS)
        offset = Signal(PC_BITS)
        m.d.comb += [held.eq(fetched - base), offset.eq(self.index - base), self.available.eq(offset < held)]

        # How many instructions the next burst may have: what is left of burst, page and program ...
        burst = max(1, min(BURST, depth // 4))
        page_left = Signal(range(PAGE + 1))
        left = Signal(PC_BITS)
        wanted = Signal(range(burst + 1))
        m.d.comb += [
            page_left.eq(PAGE - word[: PAGE.bit_length() - 1]),
            left.eq(length - requested),
            wanted.eq(_least(m, _least(m, page_left, left), burst)),
        ]
        # ... and of the window, where a short burst is made only when the reader would starve.
        ahead = Signal(PC_BITS)
        room = Signal(range(depth + 1))
        starved = Signal()
        beats = Signal.like(wanted)
        reachable = Signal()
        issue = Signal()
        m.d.comb += [
            ahead.eq(requested - self.keep),
            room.eq(Mux(ahead < depth, depth - ahead[: len(room)], 0)),
            starved.eq(self.waiting & (self.pc == requested)),
            beats.eq(Mux(room < wanted, room, wanted)),
            reachable.eq(~word[self.config.mem_address_bits - WORD_SHIFT :].any()),
            self.unreachable.eq(active & starved & ~reachable & ~drop),
            issue.eq(
                active & ~drop & reachable & (~ar.valid | ar.ready) & (beats != 0) & ((beats == wanted) | starved)
            ),
        ]
        m.d.sync += outstanding.eq(outstanding + issue - (r.valid & r.payload.last))
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        after = Signal(PC_BITS)
        m.d.comb += after.eq(requested + beats)
        with m.If(issue):
            m.d.sync += [
                ar.valid.eq(1),
                ar.payload.id.eq(self.bus_id),
                ar.payload.addr.eq(word << WORD_SHIFT),
                ar.payload.len.eq(beats - 1),
                requested.eq(after),
                word.eq(word + beats),
            ]
            with m.If((after - base)[:PC_BITS] > depth):
                m.d.sync += base.eq(after - depth)
        with m.If(beat):
            m.d.sync += fetched.eq(fetched + 1)

        def begin(at: ValueLike, address: ValueLike) -> list[Any]:
            return [drop.eq(~self.idle | issue), base.eq(at), requested.eq(at), fetched.eq(at), word.eq(address)]

        behind = Signal(PC_BITS)
        m.d.comb += behind.eq(self.pc - base)
        with m.If(drop & self.idle):
            m.d.sync += drop.eq(0)
        with m.If(self.waiting & active & ~drop & (behind > (requested - base)[:PC_BITS])):
            m.d.sync += begin(self.pc, origin + self.pc)
        with m.If(self.stop):
            m.d.sync += [active.eq(0), drop.eq(~self.idle | issue)]
        with m.If(self.start):
            m.d.sync += [active.eq(1), origin.eq(self.entry[WORD_SHIFT:]), length.eq(self.length)]
            m.d.sync += begin(0, self.entry[WORD_SHIFT:])
        return m


def _least(m: Module, x: Value, y: Value | int) -> Signal:
    least = Signal(min(len(x), len(y)) if not isinstance(y, int) else y.bit_length())
    m.d.comb += least.eq(Mux(x < y, x, y))
    return least
