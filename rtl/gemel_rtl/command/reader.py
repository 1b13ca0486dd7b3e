"""The rings' reads: packets ahead of time, and words that the present packets ask for."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.command.turns import Turns
from gemel_rtl.interfaces import AXI_DATA_BITS, axi_read

__all__ = ["Reader"]

OUTSTANDING = 8
"""Reads under way per ring."""


class Reader(wiring.Component):
    """Reads single 64-byte words, `words` before `packets`, of several rings in turn; answers come in order and can't
    be held back.

    Parameters: config; id_bits, bus_id: width and value of ARID.
    Members: `packet`, `word` (arrays over rings): addresses asked for (multiples of 64 within the bus's range); `data`,
    `error` (the bus's response, 0 if there was none) are the answer to the oldest of ring r's `packet` while bit r of
    `packet_valid` is set, of its `word` while bit r of `word_valid` is, each for one cycle; `bus`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.rings = config.rings
        self.bus_id = bus_id
        address = In(stream.Signature(config.mem_address_bits)).array(self.rings)
        super().__init__(
            {
                "packet": address,
                "word": address,
                "packet_valid": Out(self.rings),
                "word_valid": Out(self.rings),
                "data": Out(AXI_DATA_BITS),
                "error": Out(2),
                "bus": Out(axi_read(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        askers = [*self.word, *self.packet]
        m.submodules.origins = origins = fifo.SyncFIFO(width=len(askers), depth=OUTSTANDING * self.rings)
        m.submodules.words = words = Turns(self.rings)
        m.submodules.packets = packets = Turns(self.rings)
        ar, r = self.bus.ar, self.bus.r
        free = Signal()
        asked = Signal(len(askers))
        m.d.comb += [
            free.eq((~ar.valid | ar.ready) & origins.w_rdy),
            words.requests.eq(Cat(asker.valid for asker in self.word)),
            packets.requests.eq(Cat(asker.valid for asker in self.packet)),
            words.taken.eq(free),
            packets.taken.eq(free & ~words.requests.any()),
            asked.eq(
                Cat(words.chosen, packets.chosen & (~words.requests.any()).replicate(self.rings))
                & free.replicate(len(askers))
            ),
            origins.w_data.eq(asked),
            origins.w_en.eq(asked.any()),
            r.ready.eq(1),
            origins.r_en.eq(r.valid),
            self.data.eq(r.payload.data),
            self.error.eq(r.payload.resp),
            Cat(self.word_valid, self.packet_valid).eq(origins.r_data & r.valid.replicate(len(askers))),
        ]
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        address: Value = Cat()
        for i, asker in enumerate(askers):
            m.d.comb += asker.ready.eq(asked[i])
            address = address | (asker.payload & asked[i].replicate(len(asker.payload)))
        with m.If(asked.any()):
            m.d.sync += [
                ar.valid.eq(1),
                ar.payload.id.eq(self.bus_id),
                ar.payload.len.eq(0),
                ar.payload.addr.eq(address),
            ]
        return m
