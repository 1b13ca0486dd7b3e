"""The store side of the vector core: lanes to codes, codes to L1 writes."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import CHUNK, ChipConfig
from gemel_golden.formats import FORMATS
from gemel_golden.vector_isa import LANES
from gemel_rtl.interfaces import l1_write, l1_write_port
from gemel_rtl.noc.queue import Queue
from gemel_rtl.numeric.bits import balanced
from gemel_rtl.numeric.pipeline import Pipeline
from gemel_rtl.shared import Shared
from gemel_rtl.tensor.formats import has_bits
from gemel_rtl.vector.layouts import HALF, Place
from gemel_rtl.vector.store_lane import StoreLane

__all__ = ["BEATS", "COUNT_BITS", "Store", "Storing"]

BEATS = 8
"""Beats under way: two of each store."""
COUNT_BITS = 6
"""Bits of a count of loads."""
E8M0 = FORMATS["e8m0"].code


class Storing(data.Struct):
    """What a store is beside its place and its data."""

    fmt: 4
    element: 1
    mask: LANES
    saturate: 1
    stochastic: 1
    loads: COUNT_BITS
    """Loads that came before it in the program, modulo 2^6."""


class Store(wiring.Component):
    """A store takes two beats of 16 lanes each; it is written once L1 has taken every load before it.

    Parameters: config.

    Members
    -------
    valid, storing, values, random : In, a store begins: its lanes' values and random words hold for two cycles; not in
        the cycle after another, and at most `BEATS` / 2 are under way
    place_valid, place : In, its place, in the same order
    loads : In, loads whose requests L1 has taken, modulo 2^6
    l1 : Out, write port
    done : Out(2), beats that ended in this cycle
    flags : Out(3), pulses: invalid, overflow, saturated; saturated : Out(5), lanes clamped in this cycle
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "valid": In(1),
                "storing": In(Storing),
                "values": In(data.ArrayLayout(32, LANES)),
                "random": In(data.ArrayLayout(32, LANES)),
                "place_valid": In(1),
                "place": In(Place),
                "loads": In(COUNT_BITS),
                "l1": Out(l1_write_port(config)),
                "done": Out(2),
                "flags": Out(3),
                "saturated": Out(5),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        second = Signal()
        kept = Signal(Storing, reset_less=True)
        m.d.sync += second.eq(self.valid)
        with m.If(self.valid):
            m.d.sync += kept.eq(self.storing)
        beat_valid = Signal()
        storing = Signal(Storing)
        m.d.comb += [
            beat_valid.eq(self.valid | second),
            storing.eq(Mux(second, kept.as_value(), self.storing.as_value())),
        ]
        lanes = []
        for i in range(HALF):
            m.submodules[f"lane{i}"] = lane = Shared(StoreLane(), name="gemel_store_lane")
            m.d.comb += [
                lane.valid.eq(beat_valid),
                lane.i.eq(Mux(second, self.values[HALF + i], self.values[i])),
                lane.random.eq(Mux(second, self.random[HALF + i], self.random[i])),
                lane.fmt.eq(storing.fmt),
                lane.saturate.eq(storing.saturate),
                lane.stochastic.eq(storing.stochastic),
            ]
            lanes.append(lane)

        pipe = Pipeline(m, beat_valid)
        half_mask = Mux(second, storing.mask[HALF:], storing.mask[:HALF])
        layout = data.StructLayout({"beat": 1, "fmt": 4, "element": 1, "mask": HALF, "loads": COUNT_BITS})
        beat = data.View(layout, Cat(second, storing.fmt, storing.element, half_mask, storing.loads))
        for _ in range(StoreLane.latency):
            pipe.next()
            beat = pipe.carry(beat, name="beat")
        m.submodules.places = places = Queue(Place, BEATS // 2)
        m.d.comb += [
            places.i.valid.eq(self.place_valid),
            places.i.payload.eq(self.place),
            places.o.ready.eq(pipe.valid & beat.beat),
        ]
        self._flags(m, pipe.valid, beat, lanes)

        request = data.StructLayout({"write": l1_write(self.config), "loads": COUNT_BITS})
        m.submodules.writes = writes = Queue(request, BEATS)
        write = writes.i.payload.write
        place = places.o.payload
        some = Signal()
        with m.If(pipe.valid):
            self._pack(m, write, place, beat, Cat(lane.o for lane in lanes))
            m.d.comb += [some.eq(beat.mask.any() & places.o.valid), writes.i.payload.loads.eq(beat.loads)]
        m.d.comb += writes.i.valid.eq(some)
        ahead = Signal(COUNT_BITS)
        head = writes.o.payload
        m.d.comb += [
            ahead.eq(self.loads - head.loads),
            self.l1.req.valid.eq(writes.o.valid & ~ahead[-1]),
            self.l1.req.payload.eq(head.write),
            writes.o.ready.eq(self.l1.req.ready & ~ahead[-1]),
            self.done.eq((pipe.valid & ~some) + (self.l1.req.valid & self.l1.req.ready)),
        ]
        return m

    def _flags(self, m: Module, valid: Value, beat: data.View, lanes: list) -> None:
        clamped = Signal(HALF)
        with m.If(valid):
            m.d.comb += clamped.eq(Cat(lane.saturated for lane in lanes) & beat.mask)
            m.d.comb += self.flags.eq(
                Cat(
                    (Cat(lane.invalid for lane in lanes) & beat.mask).any(),
                    (Cat(lane.overflow for lane in lanes) & beat.mask).any(),
                    clamped.any(),
                )
            )
            m.d.comb += self.saturated.eq(balanced([clamped[i] for i in range(HALF)], lambda x, y: x + y))

    def _pack(self, m: Module, write: data.View, place: data.View, beat: data.View, codes: Value) -> None:
        """Where the 16 codes of a beat go: `write`'s words, bytes and their enables."""
        fmt, mask = beat.fmt, beat.mask
        code = [codes.word_select(i, 32) for i in range(HALF)]
        low, high = Signal(8 * CHUNK), Signal(8 * CHUNK)  # the bytes of the beat's first chunk and of its second
        low_mask, high_mask = Signal(CHUNK), Signal(CHUNK)
        first, after = Signal(len(place.words[0])), Signal(len(place.words[0]))
        parity = Signal()
        m.d.comb += [first.eq(place.words[0]), after.eq(place.words[1]), parity.eq(place.parity)]
        with m.If(beat.element):
            for bits in (8, 16, 32):
                at = place.offset[bits.bit_length() - 4 :]
                with m.If(has_bits(fmt, bits)):
                    m.d.comb += [
                        low.word_select(at, bits).eq(code[0][:bits]),
                        low_mask.word_select(at, bits // 8).eq(mask[0].replicate(bits // 8)),
                    ]
            with m.If(fmt == E8M0):
                m.d.comb += [
                    low.word_select(place.offset, 8).eq(code[0][:8]),
                    low_mask.bit_select(place.offset, 1).eq(mask[0]),
                ]
        with m.Elif(has_bits(fmt, 32)):
            m.d.comb += [
                low.eq(codes[: 8 * CHUNK]),
                high.eq(codes[8 * CHUNK :]),
                low_mask.eq(Cat(mask[i].replicate(4) for i in range(8))),
                high_mask.eq(Cat(mask[i].replicate(4) for i in range(8, 16))),
                first.eq(Mux(beat.beat, place.words[2], place.words[0])),
                after.eq(Mux(beat.beat, place.words[3], place.words[1])),
            ]
        with m.Elif(has_bits(fmt, 16)):
            m.d.comb += [
                low.eq(Cat(c[:16] for c in code)),
                low_mask.eq(Cat(bit.replicate(2) for bit in mask)),
                first.eq(Mux(beat.beat, place.words[1], place.words[0])),
                parity.eq(place.parity ^ beat.beat),
            ]
        with m.Elif(has_bits(fmt, 4)):
            pairs = Cat(mask[2 * i : 2 * i + 2].any() for i in range(HALF // 2))
            nibbles = Cat(Mux(mask[i], code[i][:4], 0) for i in range(HALF))
            quarter = Cat(beat.beat, place.offset[4])
            m.d.comb += [low.word_select(quarter, 64).eq(nibbles), low_mask.word_select(quarter, 8).eq(pairs)]
        with m.Else():
            m.d.comb += [
                low.word_select(beat.beat, 128).eq(Cat(c[:8] for c in code)),
                low_mask.word_select(beat.beat, HALF).eq(mask),
            ]
        m.d.comb += [
            write.addr0.eq(Mux(parity, after, first)),
            write.addr1.eq(Mux(parity, first, after)),
            write.data.eq(Mux(parity, Cat(high, low), Cat(low, high))),
            write.mask.eq(Mux(parity, Cat(high_mask, low_mask), Cat(low_mask, high_mask))),
            write.en0.eq(Mux(parity, high_mask, low_mask).any()),
            write.en1.eq(Mux(parity, low_mask, high_mask).any()),
        ]
