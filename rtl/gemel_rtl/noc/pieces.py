"""Cuts bursts into pieces that each lie in one target of a crossbar."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.interleave import CHANNEL_GRANULE
from gemel_rtl.noc.route import Route

__all__ = ["PIECE_BEATS", "PieceCutter", "piece_layout"]

PIECE_BEATS = CHANNEL_GRANULE // WORD
"""Beats of the longest piece: what a channel holds in one run of addresses."""
BEAT_SHIFT = ceil_log2(WORD)


def piece_layout(config: ChipConfig, targets: int) -> data.StructLayout:
    """A piece: len + 1 beats at `addr` for `target`; `last` of its burst."""
    return data.StructLayout(
        {
            "addr": config.mem_address_bits,
            "len": ceil_log2(PIECE_BEATS),
            "target": max(1, ceil_log2(targets)),
            "last": 1,
        }
    )


class PieceCutter(wiring.Component):
    """Gives the pieces of each burst in order, one a cycle, cut where an address enters another granule.

    An unaligned burst keeps its first address; pieces that follow are aligned to beats. Addresses don't wrap.

    Parameters: config, route.
    Members: `i` (bursts: AR's or AW's payload), `o` (pieces).
    """

    def __init__(self, config: ChipConfig, route: Route):
        self.config = config
        self.route = route
        burst = data.StructLayout({"addr": config.mem_address_bits, "len": 8})
        piece = piece_layout(config, route.targets)
        super().__init__({"i": In(stream.Signature(burst)), "o": Out(stream.Signature(piece))})

    def elaborate(self, platform) -> Module:
        m = Module()
        burst, piece = self.i.payload, self.o.payload
        bits = self.config.mem_address_bits
        within, final = Signal(), Signal()
        next_beat = Signal(bits - BEAT_SHIFT, reset_less=True)
        next_left = Signal(9, reset_less=True)
        left, room = Signal(9), Signal(range(PIECE_BEATS + 1))
        m.d.comb += [
            piece.addr.eq(Mux(within, next_beat << BEAT_SHIFT, burst.addr)),
            left.eq(Mux(within, next_left, burst.len + 1)),
            room.eq(PIECE_BEATS - piece.addr[BEAT_SHIFT:][: ceil_log2(PIECE_BEATS)]),
            final.eq(left <= room),
            piece.len.eq(Mux(final, left, room) - 1),
            piece.last.eq(final),
            piece.target.eq(self.route(piece.addr)),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready & final),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [
                within.eq(~final),
                next_beat.eq(piece.addr[BEAT_SHIFT:] + room),
                next_left.eq(left - room),
            ]
        return m
