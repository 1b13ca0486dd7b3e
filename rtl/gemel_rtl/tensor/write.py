"""Write: packs drained codes and writes them to L1, and ends instructions."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import CHUNK, DRAIN_LANES, ChipConfig
from gemel_golden.isa import FaultCode
from gemel_rtl.interfaces import PC_BITS, SEMAPHORE_PAIR, Fault, l1_write_port
from gemel_rtl.tensor.formats import has_bits
from gemel_rtl.tensor.layouts import TILE_BITS, WORD_BITS, StageFault, WriteDescriptor

__all__ = ["Write"]


class Write(wiring.Component):
    """One write per 16 drained columns of a row. After an instruction's last write come its signals and its `stop`.

    At a tile that is poisoned, or at a write beyond L1, it raises the fault and stops for good.

    Members
    -------
    i : In(stream of WriteDescriptor)
    valid : In, codes : In(16 x 32), from the drain, taken in a cycle with `advance`
    advance : Out, the drain's pipeline moves
    poison : In(StageFault), from the drain
    saturated, invalid, overflow : In(16), flags of the codes
    l1 : write port
    signal : Out(stream), as `Semaphores.signal`
    stop : Out, pulse; pc : Out, of the oldest instruction
    fault : Out(Fault)
    flags : Out(3), pulses: invalid, overflow, saturated; saturated_count : Out(5)
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(WriteDescriptor)),
                "valid": In(1),
                "codes": In(data.ArrayLayout(32, DRAIN_LANES)),
                "advance": Out(1),
                "poison": In(StageFault),
                "saturated": In(DRAIN_LANES),
                "invalid": In(DRAIN_LANES),
                "overflow": In(DRAIN_LANES),
                "l1": Out(l1_write_port(config)),
                "signal": Out(stream.Signature(SEMAPHORE_PAIR)),
                "stop": Out(1),
                "pc": Out(PC_BITS),
                "fault": Out(Fault),
                "flags": Out(3),
                "saturated_count": Out(5),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        d = self.i.payload
        tile, row, jq = Signal(TILE_BITS), Signal(5), Signal()
        bits32, bits16, bits8 = Signal(), Signal(), Signal()
        two, present = Signal(), Signal(DRAIN_LANES)
        m.d.comb += [
            bits32.eq(has_bits(d.fmt, 32)),
            bits16.eq(has_bits(d.fmt, 16)),
            bits8.eq(has_bits(d.fmt, 8)),
            two.eq(d.n > DRAIN_LANES),
            present.eq(Cat(Mux(jq, d.n > DRAIN_LANES + j, d.n > j) for j in range(DRAIN_LANES))),
        ]

        # The first chunk column touched, and the place in it in units of 8 bytes.
        column, place = Signal(2), Signal(2)
        with m.If(bits32):
            m.d.comb += column.eq(Cat(Const(0, 1), jq))
        with m.Elif(bits16):
            m.d.comb += column.eq(jq)
        with m.Elif(bits8):
            m.d.comb += Cat(place[1], column).eq(d.d[4] + jq)
        with m.Else():
            m.d.comb += Cat(place, column).eq(d.d[3:5] + jq)

        word, next_word = Signal(WORD_BITS), Signal(WORD_BITS)
        parity, second = Signal(), Signal()
        beyond, beyond_next, outside = Signal(), Signal(), Signal()
        m.d.comb += [
            word.eq(d.d[6:] + row[1:] + Mux(column[0], d.d_pitch, 0) + Mux(column[1], d.d_pitch << 1, 0)),
            next_word.eq(word + d.d_pitch),
            parity.eq(d.d[5] ^ row[0] ^ column[0]),
            second.eq(bits32 & present[DRAIN_LANES // 2]),
            beyond.eq(word >= self.config.l1_words),
            beyond_next.eq(second & (next_word >= self.config.l1_words)),
            outside.eq(beyond | beyond_next),
        ]

        # A request is held until L1 takes it; an instruction's end is held until its signals are given.
        pending, pending_last = Signal(), Signal()
        ending = Signal()
        end = data.View(SEMAPHORE_PAIR, Signal(SEMAPHORE_PAIR, reset_less=True, name="end"))
        end_pc = Signal(PC_BITS, reset_less=True)
        last, take = Signal(), Signal()
        taken = Signal()
        m.d.comb += [
            taken.eq(self.l1.req.valid & self.l1.req.ready),
            self.l1.req.valid.eq(pending),
            last.eq((row == d.m - 1) & (jq == two)),
            self.advance.eq((~pending | taken) & ~(self.valid & (last & ending | outside | ~self.i.valid))),
            take.eq(self.valid & self.advance),
            self.i.ready.eq(take & last),
        ]
        with m.If(taken):
            m.d.sync += pending.eq(0)
        with m.If(take):
            m.d.sync += [pending.eq(1), pending_last.eq(last), jq.eq(~jq)]
            with m.If(jq == two):
                m.d.sync += [jq.eq(0), row.eq(row + 1)]
            with m.If(last):
                m.d.sync += [row.eq(0), tile.eq(tile + 1), ending.eq(1), end.eq(d.signal), end_pc.eq(d.pc)]
            self._pack(m, present, place, word, next_word, parity, second, (bits32, bits16, bits8))

        ended, given = Signal(), Signal()
        signals = end.count0.any() | end.count1.any()
        m.d.comb += [
            ended.eq(ending & ~(pending & pending_last)),
            self.signal.valid.eq(ended & signals),
            self.signal.payload.eq(end),
            given.eq(ended & (~signals | self.signal.ready)),
            self.stop.eq(given),
            self.pc.eq(Mux(ending, end_pc, d.pc)),
        ]
        with m.If(given):
            m.d.sync += ending.eq(0)

        poisoned = Signal()
        m.d.comb += poisoned.eq(self.i.valid & self.poison.valid & (self.poison.tile == tile))
        with m.If(~self.fault.valid & ~ending & ~pending):
            with m.If(poisoned):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.pc.eq(d.pc),
                    self.fault.address.eq(Mux(d.misaligned, d.address, self.poison.word << 6)),
                ]
            with m.Elif(self.i.valid & self.valid & outside):
                m.d.sync += [
                    self.fault.valid.eq(1),
                    self.fault.pc.eq(d.pc),
                    self.fault.address.eq(Mux(beyond, word, next_word) << 6),
                ]
        m.d.comb += self.fault.code.eq(FaultCode.L1_ADDRESS)

        clamped = Signal(DRAIN_LANES)
        m.d.comb += clamped.eq(Mux(take, self.saturated & present, 0))
        m.d.sync += [
            self.saturated_count.eq(_population(m, clamped)),
            self.flags.eq(
                Cat(take & (self.invalid & present).any(), take & (self.overflow & present).any(), clamped.any())
            ),
        ]
        return m

    def _pack(
        self,
        m: Module,
        present: Value,
        place: Value,
        word: Value,
        next_word: Value,
        parity: Value,
        second: Value,
        sizes: tuple[Value, Value, Value],
    ) -> None:
        """Fill the request's registers."""
        request = self.l1.req.payload
        bits32, bits16, bits8 = sizes
        codes = [self.codes[j] for j in range(DRAIN_LANES)]
        half = DRAIN_LANES // 2
        low, high = Signal(8 * CHUNK), Signal(8 * CHUNK)
        mask, high_mask = Signal(CHUNK), Signal(CHUNK)
        with m.If(bits32):
            m.d.comb += [
                low.eq(Cat(codes[:half])),
                high.eq(Cat(codes[half:])),
                mask.eq(Cat(present[j].replicate(4) for j in range(half))),
                high_mask.eq(Cat(present[j].replicate(4) for j in range(half, DRAIN_LANES))),
            ]
        with m.Elif(bits16):
            m.d.comb += [
                low.eq(Cat(code[:16] for code in codes)),
                high.eq(low),
                mask.eq(Cat(bit.replicate(2) for bit in present)),
            ]
        with m.Elif(bits8):
            m.d.comb += [
                low.eq(Cat(code[:8] for code in codes).replicate(2)),
                high.eq(low),
                mask.eq(present << Cat(Const(0, 3), place)),
            ]
        with m.Else():
            nibbles = Cat(Mux(present[j], codes[j][:4], 0) for j in range(DRAIN_LANES))
            pairs = Cat(present[j] for j in range(0, DRAIN_LANES, 2))
            m.d.comb += [
                low.eq(nibbles.replicate(4)),
                high.eq(low),
                mask.eq(pairs << Cat(Const(0, 3), place)),
            ]
        m.d.sync += [
            request.addr0.eq(Mux(parity, next_word, word)),
            request.addr1.eq(Mux(parity, word, next_word)),
            request.en0.eq(~parity | second),
            request.en1.eq(parity | second),
            request.data.eq(Mux(parity, Cat(high, low), Cat(low, high))),
            request.mask.eq(Mux(parity, Cat(high_mask, mask), Cat(mask, high_mask))),
        ]


def _population(m: Module, bits: Signal) -> Value:
    """Number of ones, by a balanced tree."""
    terms: list[Value] = list(bits)
    while len(terms) > 1:
        sums = []
        for i in range(0, len(terms), 2):
            total = Signal(len(terms[i]) + 1)
            m.d.comb += total.eq(terms[i] + terms[i + 1])
            sums.append(total)
        terms = sums
    return terms[0]
