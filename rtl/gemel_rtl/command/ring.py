"""The ring: fetches the packet after the present one."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.packets import PACKET_BYTES
from gemel_rtl.interfaces import DECODE_ERROR

__all__ = ["Ring"]

SHIFT = PACKET_BYTES.bit_length() - 1


class State(enum.Enum, shape=2):
    """What the ring does."""

    EMPTY = 0
    ASK = 1
    WAIT = 2
    FULL = 3


class Ring(wiring.Component):
    """Holds at most one packet that is fetched while the one before is executed.

    Parameters: config.
    Members: `enable`, `base`, `size`, `written`: the registers (once disabled, what was fetched is forgotten and
    fetching begins anew with packet `read`); `address`: asks for 64 bytes, which come in `data`, `error` while
    `data_valid`, unless the address is `refused`; `o_valid`, `o_ready`, `o_bits`, `o_address`: a packet and where it
    lay, `o_error`: why it couldn't be read, as a bus's response; `awake`: there is something to do.
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
        state = Signal(State)
        fetched = Signal(32)
        forget = Signal()
        index = Signal(32)
        word = Signal(59, reset_less=True)
        beyond = Signal()
        m.d.comb += [
            index.eq(fetched & Mux(self.size == 0, 0, self.size - 1)),
            beyond.eq(word[self.config.mem_address_bits - SHIFT :].any()),
            self.address.valid.eq((state == State.ASK) & ~beyond & ~self.refused),
            self.address.payload.eq(word << SHIFT),
            self.o_valid.eq((state == State.FULL) & self.enable & ~forget),
            self.o_address.eq(word << SHIFT),
            self.awake.eq((state != State.EMPTY) | (fetched != Mux(self.enable, self.written, self.read))),
        ]

        def restart() -> None:
            m.d.sync += [state.eq(State.EMPTY), fetched.eq(self.read), forget.eq(0)]

        with m.Switch(state):
            with m.Case(State.EMPTY):
                m.d.sync += word.eq(self.base[SHIFT:] + index)
                with m.If(~self.enable):
                    restart()
                with m.Elif(fetched != self.written):
                    m.d.sync += state.eq(State.ASK)
            with m.Case(State.ASK):
                with m.If(beyond | self.refused):
                    m.d.sync += [self.o_error.eq(DECODE_ERROR), state.eq(State.FULL)]
                with m.Elif(self.address.ready):
                    m.d.sync += state.eq(State.WAIT)
                with m.If(~self.enable):
                    m.d.sync += forget.eq(1)
            with m.Case(State.WAIT):
                m.d.sync += [self.o_bits.eq(self.data), self.o_error.eq(self.error)]
                with m.If(self.data_valid):
                    m.d.sync += state.eq(State.FULL)
                with m.If(~self.enable):
                    m.d.sync += forget.eq(1)
            with m.Case(State.FULL):
                with m.If(~self.enable | forget):
                    restart()
                with m.Elif(self.o_ready):
                    m.d.sync += [state.eq(State.EMPTY), fetched.eq(fetched + 1)]
        return m
