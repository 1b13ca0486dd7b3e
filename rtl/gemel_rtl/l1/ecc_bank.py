"""One bank of one half-plane of L1 whose entries carry check bits."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import Out

from gemel_golden.config import CHUNK
from gemel_golden.memory.secded import CHECK_BITS, DATA_BITS
from gemel_rtl.l1.bank import bank_members
from gemel_rtl.numeric.secded import SecdedDecoder, check_bits

__all__ = ["LANES", "EccBank", "partial"]

LANES = 8 * CHUNK // DATA_BITS
"""Words of 64 bits in an entry, each with check bits of its own."""
LANE_BITS = DATA_BITS + CHECK_BITS
LANE_BYTES = DATA_BITS // 8
POISON = 0b11
"""A difference of check bits that no single error makes."""


def partial(mask: Signal) -> Cat:
    """For each lane, whether `mask` (one bit a byte) writes a part of it, which takes its other bytes from a read."""
    lanes = [mask.word_select(i, LANE_BYTES) for i in range(LANES)]
    return Cat(lane.any() & ~lane.all() for lane in lanes)


class EccBank(wiring.Component):
    """A `gemel_rtl.l1.bank.Bank` with SECDED for each 64 bits, of the same timing: stands for a two-port SRAM macro.

    A write goes into the memory one cycle after its transfer, and a read of that cycle sees it on the way. A write of a
    part of a lane reads its entry through the read port in the cycle of its transfer: `read` must be low then. Whatever
    is read comes corrected, and goes back corrected into the memory if no write needs the port. A part written into
    a lane with an uncorrectable error leaves it uncorrectable.

    Parameters: depth (entries), sources (of writes).
    Members: those of `Bank`; in the cycle of `read_data`: `corrected`, `uncorrectable` (a bit a lane, of a read or of
    the entry under a partial write), which belongs to `read_data` only if `read` was high.
    """

    def __init__(self, depth: int, sources: int):
        self.depth = depth
        self.sources = sources
        super().__init__(bank_members(depth, sources) | {"corrected": Out(LANES), "uncorrectable": Out(LANES)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = cells = memory.Memory(shape=LANE_BITS * LANES, depth=self.depth, init=[])
        m.submodules.decoder = decoder = SecdedDecoder(LANES)
        stored, write = cells.read_port(domain="comb"), cells.write_port(granularity=LANE_BITS)

        pending, fetched = Signal(), Signal()  # a write, and the result of a read, of the cycle before
        place = Signal.like(self.write_address, reset_less=True)
        mask = Signal(CHUNK, reset_less=True)
        data = Signal(8 * CHUNK, reset_less=True)
        entry = Signal(LANE_BITS * LANES)
        entry_place = Signal.like(self.read_address, reset_less=True)
        lanes = [entry.word_select(i, LANE_BITS) for i in range(LANES)]
        m.d.comb += [
            decoder.data.eq(Cat(lane[:DATA_BITS] for lane in lanes)),
            decoder.check.eq(Cat(lane[DATA_BITS:] for lane in lanes)),
            self.read_data.eq(decoder.fixed),
            self.corrected.eq(Mux(fetched, decoder.corrected, 0)),
            self.uncorrectable.eq(Mux(fetched, decoder.uncorrectable, 0)),
        ]

        # The memory's write: what is pending, or else what was corrected.
        bits, merged, poison = Signal(8 * CHUNK), Signal(8 * CHUNK), Signal(LANES)
        check = Signal(CHECK_BITS * LANES)
        m.d.comb += write.addr.eq(Mux(pending, place, entry_place))
        with m.If(pending):
            m.d.comb += [
                bits.eq(Cat(bit.replicate(8) for bit in mask)),
                poison.eq(partial(mask) & decoder.uncorrectable),
                write.en.eq(Cat(mask.word_select(i, LANE_BYTES).any() for i in range(LANES))),
            ]
        with m.Else():
            m.d.comb += write.en.eq(self.corrected)
        with m.If(write.en.any()):
            m.d.comb += [merged.eq((data & bits) | (decoder.fixed & ~bits)), check.eq(check_bits(merged))]
            for i in range(LANES):
                flips = poison[i].replicate(CHECK_BITS) & POISON
                m.d.comb += write.data.word_select(i, LANE_BITS).eq(
                    Cat(merged.word_select(i, DATA_BITS), check.word_select(i, CHECK_BITS) ^ flips)
                )

        reads = Signal()
        address = Signal.like(self.read_address)
        m.d.comb += [
            reads.eq(self.read | (self.write & partial(self.mask).any())),
            address.eq(Mux(self.read, self.read_address, self.write_address)),
            stored.addr.eq(address),
        ]
        m.d.sync += [fetched.eq(reads), pending.eq(self.write)]
        with m.If(reads):
            m.d.sync += [entry.eq(stored.data), entry_place.eq(address)]
            for i in range(LANES):
                with m.If(write.en[i] & (write.addr == address)):
                    m.d.sync += entry.word_select(i, LANE_BITS).eq(write.data.word_select(i, LANE_BITS))
        with m.If(self.write):
            m.d.sync += [place.eq(self.write_address), mask.eq(self.mask)]
            for i in range(self.sources):
                with m.If(self.source[i]):
                    m.d.sync += data.eq(getattr(self, f"data{i}"))
        return m
