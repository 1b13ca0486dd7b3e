"""Writes gathered by granule, completed by what memory holds where they don't cover whole accesses, and answered."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.memory.address_map import GRANULE, AddressMap
from gemel_rtl.interfaces import DECODE_ERROR, SLAVE_ERROR, axi_write
from gemel_rtl.memory.layouts import BEATS, accesses, places
from gemel_rtl.memory.requests import read_request

__all__ = ["Writes"]

REST = 15
"""Clocks without a beat after which a granule that could still grow is given to the DRAM."""


class Writes(wiring.Component):
    """Takes W beats for the granules of AW, several bursts into one granule where they touch, a beat a clock.

    A granule has a slot of the write window from its first beat on. Once it is complete (the next beat is another
    granule's, or none comes) it may be written. The error-correcting code covers 64-bit words and the DRAM writes whole
    accesses, so where strobes cover part of an access, a merge reads it first and fills in the other bytes. B says that
    all later reads will see the write; it comes once merges are done, SLVERR when one found an uncorrectable error
    (that access isn't written then), DECERR beyond the memory (nothing is written).
    A scrub is a granule without strobes, of which all accesses are read, and those written that were corrected.

    Parameters: config, mapping, slots, id_bits.
    Members:
    - `granules` (stream of `read_request`: AW's), `w`, `b` (AXI4's); `scrub` (stream of places).
    - the window's side: `push`, `place`, `tail`, `full`, `arm`, `arm_slot`, `arm_todo`, `head`, `occupied`, `retire`.
    - `conflict`: `place` is in the window already; `asks`: it matters. `complete`: let the open granule go.
    - `merge_*` (see `Returns`); `fetch` (stream of place, todo, target): asks for a merge's read.
    - `issue`, `issue_slot`, `issue_access`, `issue_final`: a WRITE is given; cwl clocks later `write_data`, a clock
      before it must stand on the port, with `write_valid`.
    - `dirty`: something isn't in the DRAM yet.
    """

    def __init__(self, config: ChipConfig, mapping: AddressMap, slots: int, *, id_bits: int):
        self.dram, self.slots, self.id_bits = mapping.dram, slots, id_bits
        dram = mapping.dram
        slot, place, count = ceil_log2(slots), places(dram), accesses(dram)
        axi = axi_write(config, id_bits).members
        super().__init__(
            {
                "granules": In(stream.Signature(read_request(mapping, id_bits))),
                "w": In(stream.Signature(axi["w"].signature.members["payload"].shape)),
                "b": Out(stream.Signature(axi["b"].signature.members["payload"].shape)),
                "scrub": In(stream.Signature(place)),
                "push": Out(1),
                "place": Out(place),
                "tail": In(slot),
                "full": In(1),
                "arm": Out(1),
                "arm_slot": Out(slot),
                "arm_todo": Out(count),
                "head": In(slot),
                "occupied": In(slot + 1),
                "retire": Out(1),
                "asks": Out(1),
                "conflict": In(1),
                "complete": In(1),
                "merge_valid": In(1),
                "merge_target": In(slot),
                "merge_beat": In(1),
                "merge_data": In(8 * WORD),
                "merge_done": In(1),
                "merge_bad": In(count),
                "merge_fixed": In(count),
                "fetch_valid": Out(1),
                "fetch_ready": In(1),
                "fetch_place": Out(place),
                "fetch_todo": Out(count),
                "fetch_target": Out(slot),
                "issue": In(1),
                "issue_slot": In(slot),
                "issue_access": In(ceil_log2(count)),
                "issue_final": In(1),
                "write_valid": Out(1),
                "write_data": Out(8 * dram.access_bytes),
                "dirty": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = accesses(self.dram)
        g = self.granules.payload
        is_open, slot, place = Signal(), Signal.like(self.tail), Signal.like(self.place)
        strobes, continues = Signal(GRANULE), Signal()
        took_first, quiet = Signal(), Signal(range(REST + 1))
        m.submodules.answers = answers = fifo.SyncFIFO(width=self.id_bits + 1 + len(slot), depth=self.slots)

        # A beat goes to the granule that is open.
        same = Signal()
        m.d.comb += same.eq(is_open & (place.as_value() == g.place.as_value()))
        beat = took_first | ~g.beats[0]
        final = beat | ~g.beats[1]
        m.d.comb += self.w.ready.eq(self.granules.valid & (same | g.outside) & ~self.merge_valid & answers.w_rdy)
        moves = self.w.valid & self.w.ready
        takes = moves & ~g.outside
        m.d.comb += [
            self.granules.ready.eq(moves & final),
            answers.w_en.eq(moves & final & g.last),
            answers.w_data.eq(Cat(slot, g.outside, g.id)),
        ]
        with m.If(moves):
            m.d.sync += took_first.eq(~final)
        with m.If(takes):
            m.d.sync += [
                strobes.eq(strobes | self.w.payload.strb << Mux(beat, WORD, 0)),
                continues.eq(~(final & g.last)),
                quiet.eq(0),
            ]
        with m.Elif(quiet != REST):
            m.d.sync += quiet.eq(quiet + 1)

        # It closes when nothing more can come, to be written as it is or to be completed first.
        size = GRANULE // count
        parts = [strobes[k * size : (k + 1) * size] for k in range(count)]
        touched, partial = Signal(count), Signal(count)
        m.d.comb += [
            touched.eq(Cat(part.any() for part in parts)),
            partial.eq(Cat(part.any() & ~part.all() for part in parts)),
        ]
        other = self.granules.valid & ~g.outside & ~same
        closes, closing = Signal(), Signal()
        m.d.comb += [
            closes.eq(is_open & ~takes & (other | strobes.all() | (quiet == REST) | self.complete | self.scrub.valid)),
            closing.eq(closes & Mux(partial.any(), self.fetch_ready, ~self.merge_done)),
        ]
        scrubbing = Signal(self.slots)
        want = [Signal(self.slots, name=f"want{k}") for k in range(count)]
        settled, sent = Signal(self.slots), Signal(self.slots)
        self._open(m, is_open, slot, place, strobes, closes, partial, quiet)
        with m.If(closing):
            m.d.sync += is_open.eq(0)
            m.d.sync += [want[k].bit_select(slot, 1).eq(touched[k]) for k in range(count)]
        with m.If(self.push):
            m.d.sync += scrubbing.bit_select(self.tail, 1).eq(self.scrub.valid)

        wanted = Cat(vector.bit_select(self.merge_target, 1) for vector in want)
        by_scrub = scrubbing.bit_select(self.merge_target, 1)
        arms = self.merge_done | closing & ~partial.any()
        m.d.comb += [
            self.arm.eq(arms),
            self.arm_slot.eq(Mux(self.merge_done, self.merge_target, slot)),
            self.arm_todo.eq(Mux(self.merge_done, Mux(by_scrub, self.merge_fixed, wanted) & ~self.merge_bad, touched)),
        ]
        wrong, goes_on = Signal(self.slots), Signal(self.slots)
        with m.If(self.push):
            m.d.sync += wrong.bit_select(self.tail, 1).eq(0)
        with m.If(self.push & self.scrub.valid):
            m.d.sync += goes_on.bit_select(self.tail, 1).eq(0)
        with m.If(closing):
            m.d.sync += goes_on.bit_select(slot, 1).eq(continues)
        with m.If(self.merge_done):
            m.d.sync += wrong.bit_select(self.merge_target, 1).eq(self.merge_bad.any() & ~by_scrub)

        done_now, done_slot = self._data(m, strobes, slot, closing, takes, beat)
        walker = self._answer(m, answers, settled, wrong, goes_on)
        with m.If(self.retire):
            m.d.sync += [vector.bit_select(self.head, 1).eq(0) for vector in (settled, sent)]
        with m.If(arms):
            m.d.sync += settled.bit_select(self.arm_slot, 1).eq(1)
        with m.If(arms & ~self.arm_todo.any()):
            m.d.sync += sent.bit_select(self.arm_slot, 1).eq(1)
        with m.If(done_now):
            m.d.sync += sent.bit_select(done_slot, 1).eq(1)
        m.d.comb += [
            self.retire.eq((self.occupied != 0) & sent.bit_select(self.head, 1) & (walker != self.head)),
            self.dirty.eq((self.occupied != 0) | self.granules.valid),
        ]
        return m

    def _open(
        self,
        m: Module,
        is_open: Signal,
        slot: Signal,
        place: Signal,
        strobes: Signal,
        closes: Signal,
        partial: Value,
        quiet: Signal,
    ) -> None:
        """Begin a granule of W's, or a scrub, whose merge is asked for at once; one of what is written anyway ends."""
        count = accesses(self.dram)
        g = self.granules.payload
        m.d.comb += [
            self.place.eq(Mux(self.scrub.valid, self.scrub.payload.as_value(), g.place.as_value())),
            self.asks.eq(~is_open & (self.scrub.valid | self.granules.valid & ~g.outside)),
            self.fetch_todo.eq(partial),
            self.fetch_place.eq(place),
            self.fetch_target.eq(slot),
            self.fetch_valid.eq(closes & partial.any()),
        ]
        with m.If(is_open):
            pass
        with m.Elif(self.scrub.valid):
            m.d.comb += [
                self.fetch_valid.eq(~self.full & ~self.conflict),
                self.fetch_todo.eq((1 << count) - 1),
                self.fetch_place.eq(self.scrub.payload),
                self.fetch_target.eq(self.tail),
                self.push.eq(self.fetch_valid & self.fetch_ready),
                self.scrub.ready.eq(self.push | self.conflict),
            ]
        with m.Elif(self.granules.valid & ~g.outside & ~self.full & ~self.conflict):
            m.d.comb += self.push.eq(1)
            m.d.sync += [is_open.eq(1), slot.eq(self.tail), place.eq(g.place), strobes.eq(0), quiet.eq(0)]

    def _data(
        self, m: Module, strobes: Signal, slot: Signal, closing: Signal, takes: Value, beat: Value
    ) -> tuple[Value, Value]:
        """The buffer: beats and merges go in, accesses come out; (an access that ends its slot is read, the slot)."""
        m.submodules.buffer = cells = memory.Memory(shape=8 * WORD, depth=BEATS * self.slots, init=[])
        m.submodules.strobes = masks = memory.Memory(shape=GRANULE, depth=self.slots, init=[])
        write, read = cells.write_port(granularity=8), cells.read_port(domain="comb")
        put, mask = masks.write_port(), masks.read_port(domain="comb")
        m.d.comb += [
            put.addr.eq(Mux(self.push, self.tail, slot)),
            put.data.eq(Mux(self.push, 0, strobes)),
            put.en.eq(closing | self.push),
            mask.addr.eq(self.merge_target),
            write.addr.eq(Cat(beat, slot)),
            write.data.eq(self.w.payload.data),
            write.en.eq(Mux(takes, self.w.payload.strb, 0)),
        ]
        with m.If(self.merge_valid):
            m.d.comb += [
                write.addr.eq(Cat(self.merge_beat, self.merge_target)),
                write.data.eq(self.merge_data),
                write.en.eq(~mask.data.word_select(self.merge_beat, WORD)),
            ]
        order = Cat(self.issue, self.issue_slot, self.issue_access, self.issue_final)
        for stage in range(self.dram.clocks.cwl):
            later = Signal(len(order), name=f"order{stage}")
            m.d.sync += later.eq(order)
            order = later
        valid, out, access, final = Signal(), Signal.like(slot), Signal.like(self.issue_access), Signal()
        m.d.comb += [
            Cat(valid, out, access, final).eq(order),
            read.addr.eq(Cat(access[-1], out)),
            self.write_valid.eq(valid),
            self.write_data.eq(
                read.data.word_select(access[:-1], len(self.write_data)) if len(access) > 1 else read.data
            ),
        ]
        return valid & final, out

    def _answer(self, m: Module, answers: fifo.SyncFIFO, settled: Signal, wrong: Signal, goes_on: Signal) -> Signal:
        """B, by walking over the slots in their order; the walker's slot."""
        walker, before = Signal.like(self.tail), Signal()  # `before`: an earlier slot of this burst had an error
        last, outside, identity = Signal.like(self.tail), Signal(), Signal(self.id_bits)
        here = wrong.bit_select(walker, 1)
        ends = settled.bit_select(walker, 1) & (last == walker)
        m.d.comb += [
            Cat(last, outside, identity).eq(answers.r_data),
            self.b.payload.id.eq(identity),
            self.b.payload.resp.eq(Mux(outside, DECODE_ERROR, Mux(before | here, SLAVE_ERROR, 0))),
            self.b.valid.eq(answers.r_rdy & (outside | ends)),
            answers.r_en.eq(self.b.valid & self.b.ready),
        ]
        with m.If(self.b.valid):
            with m.If(self.b.ready & ~outside):
                m.d.sync += before.eq(0)
        with m.Elif(settled.bit_select(walker, 1)):
            m.d.sync += [walker.eq(walker + 1), before.eq((before | here) & goes_on.bit_select(walker, 1))]
        return walker
