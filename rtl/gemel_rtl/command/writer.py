"""The rings' writes: a word and, if asked for, the clock beside it."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.command.turns import Turns
from gemel_rtl.interfaces import axi_write

__all__ = ["Writer", "word_write"]

OUTSTANDING = 4
"""Words under way per ring."""


def word_write(config: ChipConfig) -> data.StructLayout:
    """`value` goes to `address`, a multiple of 16; with `timestamp` the clock goes to `address` + 8."""
    return data.StructLayout({"address": config.mem_address_bits, "value": 64, "timestamp": 1})


class Writer(wiring.Component):
    """Writes words of several rings in turn, each in one beat.

    Parameters: config; id_bits, bus_id: width and value of AWID.
    Members: `word` (array over rings): streams of `word_write`s; `clock`; bit r of `done`: ring r's oldest word is
    written, or, with `error`, the bus's response, it couldn't be; `bus`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.bus_id = bus_id
        super().__init__(
            {
                "word": In(stream.Signature(word_write(config))).array(config.rings),
                "clock": In(64),
                "done": Out(config.rings),
                "error": Out(2),
                "bus": Out(axi_write(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rings = self.config.rings
        m.submodules.turns = turns = Turns(rings)
        m.submodules.origins = origins = fifo.SyncFIFO(width=rings, depth=OUTSTANDING * rings)
        aw, w, b = self.bus.aw, self.bus.w, self.bus.b
        free = Signal()
        chosen = Signal(word_write(self.config))
        m.d.comb += [
            free.eq((~aw.valid | aw.ready) & (~w.valid | w.ready) & origins.w_rdy),
            turns.requests.eq(Cat(word.valid for word in self.word)),
            turns.taken.eq(free),
            origins.w_data.eq(turns.chosen),
            origins.w_en.eq(turns.chosen.any() & free),
            b.ready.eq(1),
            origins.r_en.eq(b.valid),
            self.done.eq(origins.r_data & b.valid.replicate(rings)),
            self.error.eq(b.payload.resp),
        ]
        for i, word in enumerate(self.word):
            m.d.comb += word.ready.eq(turns.chosen[i] & free)
            with m.If(turns.chosen[i]):
                m.d.comb += chosen.eq(word.payload)
        with m.If(aw.ready):
            m.d.sync += aw.valid.eq(0)
        with m.If(w.ready):
            m.d.sync += w.valid.eq(0)
        with m.If(turns.chosen.any() & free):
            m.d.sync += [
                aw.valid.eq(1),
                aw.payload.id.eq(self.bus_id),
                aw.payload.addr.eq(chosen.address[6:] << 6),
                aw.payload.len.eq(0),
                w.valid.eq(1),
                w.payload.last.eq(1),
                w.payload.strb.eq(Mux(chosen.timestamp, 0xFFFF, 0x00FF) << Cat(C(0, 4), chosen.address[4:6])),
                w.payload.data.eq(Cat(chosen.value, self.clock).replicate(4)),
            ]
        return m
