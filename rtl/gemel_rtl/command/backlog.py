"""Copies of a ring that are under way, and the signals behind them."""

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from gemel_golden.config import ChipConfig
from gemel_golden.isa import FAULT_BITS, FaultCode
from gemel_rtl.command.touch import touch
from gemel_rtl.command.writer import word_write
from gemel_rtl.dma.move_rows import MOVE
from gemel_rtl.interfaces import SLAVE_ERROR

__all__ = ["Backlog"]

PACKETS = 16
"""Packets of the backlog: those of eight copies with a signal each."""
WORD_BYTES = 16
"""Of a signal: its value and the clock."""


class Backlog(wiring.Component):
    """Ends packets in their order: COPYs as the copy engine says, SIGNALs once their words are written.

    A signal's word is written before the one before it is answered only if both lie in one beat, so that nobody sees
    them in another order. A copy must not be begun while `compared` is low: a word that it may touch isn't written yet.
    A packet that fails is the oldest at last; then `failed` stays high until `flush`, which forgets all the others, and
    nothing of theirs is under way.

    Parameters: config.
    Members: `i` (signals; with `interrupt`), `copies`: the copy engine takes a copy now; `room` for one; `move`,
    `compares`: a copy that is to begin, held until `compared`; `copy_done`, `copy_code`, `copy_address`: of `Copier`;
    `o`, `signal_done`, `signal_error`: of `Writer`; `count` (packets), `copying` (the oldest one is a copy), `ends` (it
    is done), with an `interrupt`; `failed`, `code`, `address`, `flush`.
    """

    def __init__(self, config: ChipConfig):
        self.signal = data.StructLayout({"word": word_write(config), "interrupt": 1})
        super().__init__(
            {
                "i": In(stream.Signature(self.signal)),
                "copies": In(1),
                "room": Out(1),
                "move": In(MOVE),
                "compares": In(1),
                "compared": Out(1),
                "copy_done": In(1),
                "copy_code": In(FAULT_BITS),
                "copy_address": In(64),
                "o": Out(stream.Signature(word_write(config))),
                "signal_done": In(1),
                "signal_error": In(2),
                "count": Out(range(PACKETS + 1)),
                "copying": Out(1),
                "ends": Out(1),
                "interrupt": Out(1),
                "failed": Out(1),
                "code": Out(FAULT_BITS),
                "address": Out(64),
                "flush": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Packets lie from `oldest` to `newest` - 1; those before `later` are copies that are done and signals sent.
        m.submodules.signals = signals = Memory(shape=self.signal, depth=PACKETS, init=[])
        put, sending, looked = signals.write_port(), signals.read_port(domain="comb"), signals.read_port(domain="comb")
        oldest, later, newest, look = (
            Signal(exact_log2(PACKETS) + 1, name=name) for name in ("oldest", "later", "newest", "look")
        )
        place = {pointer.name: pointer[:-1] for pointer in (oldest, later, newest, look)}
        is_copy = Array(Signal(reset_less=True, name=f"copy_{n}") for n in range(PACKETS))
        interrupts = Array(Signal(reset_less=True, name=f"interrupt_{n}") for n in range(PACKETS))
        lost, broken, cause = Signal(), Signal(), Signal(2, reset_less=True)  # a copy, a signal has failed
        pushed = Signal()
        m.d.comb += [
            self.count.eq(newest - oldest),
            self.room.eq((self.count != PACKETS) & ~lost & ~broken),
            self.i.ready.eq(self.room),
            pushed.eq((self.i.valid & self.i.ready) | self.copies),
            put.addr.eq(place["newest"]),
            put.data.eq(self.i.payload),
            put.en.eq(pushed),
        ]
        with m.If(pushed):
            m.d.sync += [
                newest.eq(newest + 1),
                is_copy[place["newest"]].eq(self.copies),
                interrupts[place["newest"]].eq(self.i.payload.interrupt),
            ]

        # Copies done go by in their turn, and signals are sent.
        counts = range(PACKETS + 1)
        engaged, finished, unanswered, answers = Signal(counts), Signal(counts), Signal(counts), Signal(counts)
        good, copy_next, ended, sent, answered = Signal(), Signal(), Signal(), Signal(), Signal()
        beat = Signal.like(self.o.payload.address[6:], name="beat", reset_less=True)
        word = sending.data.word
        m.d.comb += [
            sending.addr.eq(place["later"]),
            copy_next.eq((later != newest) & is_copy[place["later"]]),
            good.eq(self.copy_done & (self.copy_code == 0)),
            ended.eq(copy_next & (finished != 0)),
            self.o.payload.eq(word),
            self.o.valid.eq(
                (later != newest) & ~copy_next & ~broken & ((unanswered == 0) | (word.address[6:] == beat))
            ),
            sent.eq(self.o.valid & self.o.ready),
            answered.eq(self.signal_done & (unanswered != 0)),
        ]
        m.d.sync += [
            later.eq(later + (ended | sent)),
            engaged.eq(engaged + self.copies - good),
            finished.eq(finished + good - ended),
            unanswered.eq(unanswered + sent - answered),
        ]
        with m.If(sent):
            m.d.sync += beat.eq(word.address[6:])
        with m.If(self.copy_done & ~good):
            m.d.sync += [lost.eq(1), engaged.eq(0)]

        # The oldest one ends.
        well = Signal()
        m.d.comb += [
            self.copying.eq(is_copy[place["oldest"]]),
            well.eq(answered & (self.signal_error == 0) & ~broken),
            self.ends.eq((oldest != later) & (self.copying | well | (answers != 0))),
            self.interrupt.eq(self.ends & ~self.copying & interrupts[place["oldest"]]),
        ]
        m.d.sync += [oldest.eq(oldest + self.ends), answers.eq(answers + well - (self.ends & ~self.copying))]
        with m.If(answered & (self.signal_error != 0) & ~broken):
            m.d.sync += [broken.eq(1), cause.eq(self.signal_error)]

        # Or it has failed.
        copy_code, copy_address = Signal.like(self.copy_code), Signal.like(self.copy_address, reset_less=True)
        with m.If(self.copy_done & ~good):
            m.d.sync += [copy_code.eq(self.copy_code), copy_address.eq(self.copy_address)]
        with m.If(broken):
            m.d.comb += [
                self.failed.eq((answers == 0) & ~self.copying & (unanswered == 0) & (engaged == 0)),
                self.code.eq(Mux(cause == SLAVE_ERROR, FaultCode.ECC_MEMORY, FaultCode.MEMORY_WRITE)),
                self.address.eq(looked.data.word.address),
            ]
        with m.Else():
            m.d.comb += [
                self.failed.eq(lost & (oldest == later) & copy_next & (finished == 0)),
                self.code.eq(copy_code),
                self.address.eq(copy_address),
            ]
        with m.If(self.flush):
            registers = (oldest, later, newest, lost, broken, engaged, finished, answers)
            m.d.sync += [register.eq(0) for register in registers]

        # What a copy may touch: it is compared with a packet a cycle, from the oldest on.
        since, move = Signal.like(look), self.move
        may_wait = Signal()
        m.d.comb += [
            since.eq(look - oldest),
            looked.addr.eq(Mux(self.compares, place["look"], place["oldest"])),
            may_wait.eq(
                ~since[-1]
                & ~is_copy[place["look"]]
                & (
                    touch(looked.data.word.address, WORD_BYTES, move.source, move.bytes)
                    | touch(looked.data.word.address, WORD_BYTES, move.target, move.bytes)
                )
            ),
            self.compared.eq(self.compares & (look == newest)),
        ]
        with m.If(~self.compares):
            m.d.sync += look.eq(oldest)
        with m.Elif((look != newest) & ~may_wait):
            m.d.sync += look.eq(look + 1)
        return m
