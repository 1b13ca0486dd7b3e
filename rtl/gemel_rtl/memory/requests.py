"""AXI4 bursts cut into granules of 128 bytes."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.memory.address_map import AddressMap
from gemel_rtl.memory.layouts import BEATS, place_of, places

__all__ = ["Walk", "read_request"]


def read_request(mapping: AddressMap, id_bits: int) -> data.StructLayout:
    """What `Walk` gives for each granule."""
    return data.StructLayout({"place": places(mapping.dram), "beats": BEATS, "last": 1, "id": id_bits, "outside": 1})


class Walk(wiring.Component):
    """Cuts AXI4 bursts into granules, one a clock: place, the beats of it that the burst has, whether it is the burst's
    last, its id; `outside`: the address is beyond the memory.

    Parameters: config, mapping, id_bits.
    Members: `i` (stream of AR's or AW's payload), `o` (stream of `read_request`).
    """

    def __init__(self, config: ChipConfig, mapping: AddressMap, *, id_bits: int):
        self.config, self.mapping = config, mapping
        address = data.StructLayout({"id": id_bits, "addr": config.mem_address_bits, "len": 8})
        super().__init__(
            {
                "i": In(stream.Signature(address)),
                "o": Out(stream.Signature(read_request(mapping, id_bits))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        beat_bits = WORD.bit_length() - 1
        number = Signal(self.config.mem_address_bits - beat_bits)  # of the 64-byte beat
        left = Signal(9)
        identity = Signal.like(self.i.payload.id)
        o = self.o.payload
        second = number[0]
        step = Mux(second | (left == 1), 1, 2)
        limit = self.mapping.bytes >> beat_bits
        m.d.comb += [
            Value.cast(o.place).eq(place_of(self.mapping, number << beat_bits)),
            o.beats.eq(Cat(~second, second | (left != 1))),
            o.last.eq(left == step),
            o.id.eq(identity),
            o.outside.eq(number >= limit),
            self.o.valid.eq(left != 0),
            self.i.ready.eq((left == 0) | self.o.ready & o.last),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [number.eq(number + step), left.eq(left - step)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                number.eq(self.i.payload.addr >> beat_bits),
                left.eq(self.i.payload.len + 1),
                identity.eq(self.i.payload.id),
            ]
        return m
