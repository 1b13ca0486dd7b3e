"""The ring: fetches the packets after the present one."""

from typing import Any

from amaranth.hdl import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.packets import PACKET_BYTES
from gemel_rtl.interfaces import DECODE_ERROR
from gemel_rtl.noc.queue import Queue

__all__ = ["Ring"]

SHIFT = PACKET_BYTES.bit_length() - 1
AHEAD = 8
"""Packets fetched ahead at most: with 100 cycles of latency one every 14 cycles."""
PACKET = data.StructLayout({"bits": 8 * PACKET_BYTES, "error": 2})


class State(enum.Enum, shape=1):
    """What the ring does."""

    REST = 0
    ASK = 1


class Ring(wiring.Component):
    """Fetches one packet while the one before is executed; with `hurry` up to `AHEAD`.

    Parameters: config.
    Members: `enable`, `base`, `size`, `written`: the registers (once disabled, what was fetched is forgotten and
    fetching begins anew with packet `read`, the next one to be taken); `hurry`; `address`: asks for 64 bytes, which
    come in `data`, `error` while `data_valid`, unless the address is `refused`; `o_valid`, `o_ready`, `o_bits`,
    `o_address`: a packet and where it lay, `o_error`: why it couldn't be read, as a bus's response; `awake`: there is
    something to do.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "enable": In(1),
                "base": In(64),
                "size": In(32),
                "written": In(32),
                "read": In(32),
                "hurry": In(1),
                "address": Out(stream.Signature(config.mem_address_bits)),
                "data_valid": In(1),
                "data": In(8 * PACKET_BYTES),
                "error": In(2),
                "refused": In(1),
                "o_valid": Out(1),
                "o_ready": In(1),
                "o_bits": Out(8 * PACKET_BYTES),
                "o_address": Out(64),
                "o_error": Out(2),
                "awake": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.packets = packets = ResetInserter(~self.enable)(Queue(PACKET, AHEAD))
        state = Signal(State)
        asked = Signal(32)  # packets
        ahead = Signal(range(AHEAD + 1))  # of them, those that haven't been taken
        owed, forgotten = Signal(range(AHEAD + 2)), Signal(range(AHEAD + 2))  # answers, and those to be dropped first
        stale = Signal()  # what is asked for is to be dropped
        word = Signal(64 - SHIFT, reset_less=True)
        wrong, asks, came, taken, put = Signal(), Signal(), Signal(), Signal(), Signal()
        still_owed = Signal.like(owed)

        def place(index: Value) -> Value:
            """In multiples of a packet."""
            return self.base[SHIFT:] + (index & Mux(self.size == 0, 0, self.size - 1))

        m.d.comb += [
            wrong.eq(word[self.config.mem_address_bits - SHIFT :].any() | self.refused),
            self.address.valid.eq((state == State.ASK) & ~wrong),
            self.address.payload.eq(word << SHIFT),
            asks.eq(self.address.valid & self.address.ready),
            came.eq(self.data_valid & (forgotten == 0)),
            put.eq((state == State.ASK) & wrong & ~stale & (owed == 0)),  # in its turn
            packets.i.valid.eq((came | put) & self.enable),
            packets.i.payload.bits.eq(self.data),
            packets.i.payload.error.eq(Mux(put, DECODE_ERROR, self.error)),
            self.o_valid.eq(packets.o.valid & self.enable),
            packets.o.ready.eq(self.o_ready & self.enable),
            taken.eq(self.o_valid & self.o_ready),
            self.o_bits.eq(packets.o.payload.bits),
            self.o_address.eq(place(self.read) << SHIFT),
            self.o_error.eq(packets.o.payload.error),
            still_owed.eq(owed + asks - self.data_valid),
            self.awake.eq(
                (state != State.REST)
                | (owed != 0)
                | packets.o.valid
                | (asked != Mux(self.enable, self.written, self.read))
            ),
        ]
        m.d.sync += [owed.eq(still_owed), ahead.eq(ahead + (put | asks) - taken)]
        with m.If(self.data_valid & (forgotten != 0)):
            m.d.sync += forgotten.eq(forgotten - 1)
        with m.Switch(state):
            with m.Case(State.REST):
                m.d.sync += [word.eq(place(asked)), stale.eq(0)]
                with m.If(self.enable & (asked != self.written) & (ahead < Mux(self.hurry, AHEAD, 1))):
                    m.d.sync += state.eq(State.ASK)
            with m.Case(State.ASK):
                with m.If(asks | put):
                    m.d.sync += asked.eq(asked + 1)
                with m.If(asks | put | (wrong & stale)):
                    m.d.sync += state.eq(State.REST)
        with m.If(~self.enable | stale):
            m.d.sync += [asked.eq(self.read), ahead.eq(0), forgotten.eq(still_owed)]
        with m.If(~self.enable):
            m.d.sync += stale.eq(1)
        return m
