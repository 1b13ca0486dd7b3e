"""Cuts rows of memory bytes into AXI bursts, and joins rows that touch."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.windows import PAGE
from gemel_rtl.dma.layouts import BURST, ROW

__all__ = ["JOINED", "BurstCutter"]

LONGEST = PAGE // WORD
"""Beats of a burst at most: none crosses 4 KB."""

PATIENCE = 15
"""Cycles that a row waits for the next one to come."""

JOINED = 16
"""Beats of a burst that is joined from rows at most: 64 of them hide 1000 cycles of latency on a 64-byte bus, and the
first beat isn't asked for much later."""


class BurstCutter(wiring.Component):
    """Gives the bursts of rows in order: 64-byte beats, cut at 4 KB boundaries; one row and one burst a cycle.

    Where a row begins at the beat at which the one before it in its instruction ends, they share a burst, which doesn't
    cross 4 KB and has at most `JOINED` beats. A burst waits `PATIENCE` cycles for such a row, but with `eager`, while
    the bus has little under way, it goes at once. After a burst that is outside of the memory's addresses nothing comes
    any more until reset. A row that isn't present has no burst, unless its index is a fault or it is the last of its
    instruction: then one that says so.

    Parameters: config, alone (rows that are accumulated don't join), longest (beats of a burst at most, a power of two:
    bursts are cut at multiples of it).
    Members: `i` (rows of at least one byte), `o` (bursts), `eager`.
    """

    def __init__(self, config: ChipConfig, *, alone: bool = False, longest: int = LONGEST):
        self.alone = alone
        self.longest = longest
        self.address_bits = config.mem_address_bits - 6
        super().__init__({"i": In(stream.Signature(ROW)), "o": Out(stream.Signature(BURST)), "eager": In(1)})

    def elaborate(self, platform) -> Module:
        m = Module()
        row, burst = self.i.payload, self.o.payload
        held, open_end, waiting, halted = Signal(), Signal(reset_less=True), Signal(), Signal()
        address, beats = Signal(58, reset_less=True), Signal(11, reset_less=True)
        last, pc = Signal(reset_less=True), Signal.like(row.pc, reset_less=True)
        fault, absent, accumulate = (Signal(reset_less=True, name=name) for name in ("fault", "absent", "accumulate"))

        # The row that comes, and whether it goes on where the held one ends.
        end, start, length, joins = Signal(18), Signal(58), Signal(11), Signal()
        m.d.comb += [
            end.eq(row.address[:6] + row.length + 63),
            start.eq(row.address[6:]),
            length.eq(end[6:]),
            joins.eq(
                (self.i.valid & held & open_end & ~last & ~waiting & ~self.eager)
                & (row.present & ~row.address[:6].any())
                & ((start == address + beats) & start[:6].any() & (beats + length <= JOINED))
            ),
        ]

        hopes, full, patience = Signal(), Signal(), Signal(range(PATIENCE + 1))
        m.d.comb += [
            full.eq((beats >= JOINED) | ~(address + beats)[:6].any()),
            hopes.eq((~self.i.valid & held & open_end & ~last) & (~waiting & ~self.eager & ~full & (patience != 0))),
        ]
        with m.If(hopes):
            m.d.sync += patience.eq(patience - 1)

        to_boundary, final, go = Signal(range(self.longest + 1)), Signal(), Signal()
        m.d.comb += [
            to_boundary.eq(self.longest - address[: exact_log2(self.longest)]),
            final.eq(beats <= to_boundary),
            burst.address.eq(address),
            burst.len.eq(Mux(final, beats, to_boundary) - 1),
            burst.outside.eq(~absent & (fault | address[self.address_bits :].any())),
            burst.fault.eq(fault),
            burst.absent.eq(absent),
            burst.accumulate.eq(accumulate),
            burst.sum.eq(final & accumulate),
            burst.last.eq(final & last),
            burst.pc.eq(pc),
            self.o.valid.eq(held & ~joins & ~hopes & ~halted),
            go.eq(self.o.valid & self.o.ready),
            self.i.ready.eq((~held | joins | (go & final)) & ~halted),
        ]
        m.d.sync += waiting.eq(self.o.valid & ~self.o.ready)
        with m.If(go):
            m.d.sync += [
                halted.eq(burst.outside),
                held.eq(~final),
                address.eq(address + to_boundary),
                beats.eq(beats - to_boundary),
            ]
        with m.If(self.i.valid & self.i.ready & (row.present | row.fault | row.last)):
            m.d.sync += [
                held.eq(1),
                open_end.eq((row.present & ~(row.accumulate & self.alone)) & ~(row.address + row.length)[:6].any()),
                patience.eq(PATIENCE),
                last.eq(row.last),
                pc.eq(row.pc),
                fault.eq(row.fault),
                absent.eq(~row.present & ~row.fault),
                accumulate.eq(row.accumulate & row.present),
                beats.eq(Mux(row.present, length, 1)),
                address.eq(start),
            ]
            with m.If(joins):
                m.d.sync += [beats.eq(beats + length), address.eq(address)]
        return m
