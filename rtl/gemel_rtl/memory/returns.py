"""What was read: corrected, gathered by slot, and sent back in the order of the requests."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.memory.secded import DATA_BITS
from gemel_golden.memory.timing import Dram
from gemel_rtl.interfaces import DECODE_ERROR, SLAVE_ERROR, axi_read
from gemel_rtl.memory.layouts import BEATS, accesses
from gemel_rtl.numeric.secded import SecdedDecoder

__all__ = ["Returns"]


class Returns(wiring.Component):
    """The reorder buffer: data of each slot come back in any order and leave in that of the slots.

    A slot is an AXI read's, whose beats go to `r`, or a merge: its beats then go to `merge_data`, a beat a clock, for
    the write that needs them. A beat with an uncorrectable error is answered SLVERR, one beyond the memory DECERR.

    Parameters: config, dram, slots, id_bits.
    Members:
    - `push`, `slot`, and what the slot is: `beats`, `todo`, `last`, `id`, `outside`, `merge`, `target` (the write's
      slot).
    - `issue` with `issue_slot`, `issue_access`, `issue_ends`: a READ is given; `read_valid`, `read_data`, `read_check`:
      its data, in the same order.
    - `head` (the oldest slot), `occupied`; `retire`: it has left.
    - `r`: AXI4's R. `merge_valid`, `merge_target`, `merge_beat`, `merge_data`; with `merge_done`, in the clock of the
      second beat: `merge_bad`, `merge_fixed` (accesses with uncorrectable, with corrected errors).
    - `corrected`, `uncorrectable` (words of this clock), `repaired` (this access was corrected), `repaired_slot`.
    """

    def __init__(self, config: ChipConfig, dram: Dram, slots: int, *, id_bits: int):
        self.dram, self.slots, self.id_bits = dram, slots, id_bits
        slot, count = ceil_log2(slots), accesses(dram)
        words = dram.access_bytes * 8 // DATA_BITS
        super().__init__(
            {
                "push": In(1),
                "slot": In(slot),
                "beats": In(BEATS),
                "todo": In(count),
                "last": In(1),
                "id": In(id_bits),
                "outside": In(1),
                "merge": In(1),
                "target": In(slot),
                "issue": In(1),
                "issue_slot": In(slot),
                "issue_access": In(ceil_log2(count)),
                "issue_ends": In(1),
                "read_valid": In(1),
                "read_data": In(8 * dram.access_bytes),
                "read_check": In(8 * words),
                "head": In(slot),
                "occupied": In(slot + 1),
                "retire": Out(1),
                "r": Out(stream.Signature(axi_read(config, id_bits).members["r"].signature.members["payload"].shape)),
                "merge_valid": Out(1),
                "merge_target": Out(slot),
                "merge_beat": Out(1),
                "merge_data": Out(8 * WORD),
                "merge_done": Out(1),
                "merge_bad": Out(count),
                "merge_fixed": Out(count),
                "corrected": Out(range(words + 1)),
                "uncorrectable": Out(range(words + 1)),
                "repaired": Out(1),
                "repaired_slot": Out(slot),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count, half = accesses(self.dram), accesses(self.dram) // BEATS
        done = [Signal(self.slots, name=f"done{beat}") for beat in range(BEATS)]
        bad = [Signal(self.slots, name=f"bad{k}") for k in range(count)]
        fixed = [Signal(self.slots, name=f"fixed{k}") for k in range(count)]
        pushed = Signal(self.slots)
        with m.If(self.push):
            m.d.comb += pushed.eq(1 << self.slot)
        buffer_read, ends = self._arrivals(m, bad, fixed, pushed)
        for beat, vector in enumerate(done):
            ready = ~self.todo[beat * half : (beat + 1) * half].any()
            m.d.sync += vector.eq(vector & ~pushed | ends[beat] | Mux(ready, pushed, 0))

        about = Cat(self.beats, self.last, self.id, self.outside, self.merge, self.target)
        m.submodules.about = cells = memory.Memory(shape=len(about), depth=self.slots, init=[])
        write, read = cells.write_port(), cells.read_port(domain="comb")
        m.d.comb += [write.addr.eq(self.slot), write.data.eq(about), write.en.eq(self.push), read.addr.eq(self.head)]
        beats, last, identity, outside = Signal(BEATS), Signal(), Signal(self.id_bits), Signal()
        merge, target = Signal(), Signal.like(self.target)
        m.d.comb += Cat(beats, last, identity, outside, merge, target).eq(read.data)

        sent = Signal()  # the head's first beat has gone
        beat, here = Signal(), Signal()
        of_head = [vector.bit_select(self.head, 1) for vector in (*done, *bad)]
        wrong = Cat(Cat(of_head[BEATS + at : BEATS + at + half]).any() for at in (0, half))
        m.d.comb += [
            beat.eq(Mux(merge, sent, sent | ~beats[0])),
            here.eq((self.occupied != 0) & Mux(beat, of_head[1], of_head[0])),
            buffer_read.addr.eq(Cat(beat, self.head)),
            self.r.payload.data.eq(buffer_read.data),
            self.r.payload.id.eq(identity),
            self.r.payload.resp.eq(Mux(outside, DECODE_ERROR, Mux(wrong.bit_select(beat, 1), SLAVE_ERROR, 0))),
            self.r.valid.eq(here & ~merge),
            self.merge_valid.eq(here & merge),
            self.merge_beat.eq(beat),
            self.merge_target.eq(target),
            self.merge_data.eq(buffer_read.data),
            self.merge_done.eq(self.merge_valid & beat),
            self.merge_bad.eq(Cat(of_head[BEATS:])),
            self.merge_fixed.eq(Cat(vector.bit_select(self.head, 1) for vector in fixed)),
        ]
        final = Mux(merge, beat, beat | ~beats[1])
        m.d.comb += [
            self.r.payload.last.eq(last & final),
            self.retire.eq(final & (self.merge_valid | self.r.valid & self.r.ready)),
        ]
        with m.If(self.merge_valid | self.r.valid & self.r.ready):
            m.d.sync += sent.eq(~final)
        return m

    def _arrivals(
        self, m: Module, bad: list[Signal], fixed: list[Signal], pushed: Signal
    ) -> tuple[memory.ReadPort, list[Value]]:
        """Put what comes into the buffer, corrected; its port, and per beat the slot (one-hot) completed."""
        slots, words = self.slots, len(self.read_check) // 8
        order = Cat(self.issue_slot, self.issue_access, self.issue_ends)
        depth = (self.dram.clocks.cl + self.dram.clocks.burst) // self.dram.clocks.ccd_s + 4
        m.submodules.flying = flying = fifo.SyncFIFO(width=len(order), depth=depth)
        m.submodules.decoder = decoder = SecdedDecoder(words)
        slot, access, ends = Signal.like(self.issue_slot), Signal.like(self.issue_access), Signal()
        got = Signal()
        m.d.sync += got.eq(self.read_valid)
        with m.If(self.read_valid):
            m.d.sync += [decoder.data.eq(self.read_data), decoder.check.eq(self.read_check)]
        m.d.comb += [
            flying.w_data.eq(order),
            flying.w_en.eq(self.issue),
            flying.r_en.eq(got),
            Cat(slot, access, ends).eq(flying.r_data),
        ]
        m.submodules.buffer = cells = memory.Memory(shape=8 * WORD, depth=BEATS * slots, init=[])
        lanes = WORD // self.dram.access_bytes
        write = cells.write_port(granularity=8 * self.dram.access_bytes) if lanes > 1 else cells.write_port()
        buffer_read = cells.read_port(domain="comb")
        lane, beat = (access[:-1], access[-1]) if lanes > 1 else (None, access[-1])
        m.d.comb += [
            write.addr.eq(Cat(beat, slot)),
            write.data.eq(decoder.fixed.replicate(lanes)),
            write.en.eq(Mux(got, 1 << lane if lane is not None else 1, 0)),
        ]
        here = Signal(slots)
        errors, repairs = Signal(), Signal()
        with m.If(got):
            m.d.comb += [
                here.eq(1 << slot),
                errors.eq(decoder.uncorrectable.any()),
                repairs.eq(decoder.corrected.any()),
                self.corrected.eq(sum(decoder.corrected[1:], decoder.corrected[0])),
                self.uncorrectable.eq(sum(decoder.uncorrectable[1:], decoder.uncorrectable[0])),
            ]
        m.d.comb += [self.repaired.eq(repairs), self.repaired_slot.eq(slot)]
        for flags, flag in ((bad, errors), (fixed, repairs)):
            for k, vector in enumerate(flags):
                with m.If(self.push | flag):
                    set_here = Mux(flag & (access == k), here, 0)
                    m.d.sync += vector.eq(vector & ~pushed | set_here)
        return buffer_read, [Mux(ends & (beat == b), here, 0) for b in range(BEATS)]
