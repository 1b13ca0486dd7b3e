"""The command processor's reads: the next packet ahead of time, and words that the present packet asks for."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import AXI_DATA_BITS, axi_read

__all__ = ["Reader"]

OUTSTANDING = 8


class Reader(wiring.Component):
    """Reads single 64-byte words for two askers, the second first; answers come in order and can't be held back.

    Parameters: config; id_bits, bus_id: width and value of ARID.
    Members: `packet`, `word`: addresses asked for (multiples of 64 within the bus's range); `data`, `error` are the
    answer to the oldest `packet` while `packet_valid`, to the oldest `word` while `word_valid`, each for one cycle;
    `bus`.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.bus_id = bus_id
        address = stream.Signature(config.mem_address_bits)
        super().__init__(
            {
                "packet": In(address),
                "word": In(address),
                "packet_valid": Out(1),
                "word_valid": Out(1),
                "data": Out(AXI_DATA_BITS),
                "error": Out(1),
                "bus": Out(axi_read(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.askers = askers = fifo.SyncFIFO(width=1, depth=OUTSTANDING)
        ar, r = self.bus.ar, self.bus.r
        free = Signal()
        m.d.comb += [
            free.eq((~ar.valid | ar.ready) & askers.w_rdy),
            self.word.ready.eq(free),
            self.packet.ready.eq(free & ~self.word.valid),
            askers.w_data.eq(self.word.valid),
            askers.w_en.eq(free & (self.word.valid | self.packet.valid)),
            r.ready.eq(1),
            askers.r_en.eq(r.valid),
            self.data.eq(r.payload.data),
            self.error.eq(r.payload.resp != 0),
            self.word_valid.eq(r.valid & askers.r_data),
            self.packet_valid.eq(r.valid & ~askers.r_data),
        ]
        with m.If(ar.ready):
            m.d.sync += ar.valid.eq(0)
        with m.If(askers.w_en):
            m.d.sync += [ar.valid.eq(1), ar.payload.id.eq(self.bus_id), ar.payload.len.eq(0)]
            m.d.sync += ar.payload.addr.eq(self.packet.payload)
            with m.If(self.word.valid):
                m.d.sync += ar.payload.addr.eq(self.word.payload)
        return m
