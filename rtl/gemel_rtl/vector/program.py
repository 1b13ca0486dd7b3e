"""The vector core's instruction memory: filled from L1, read one bundle a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_golden.config import CHUNK, ChipConfig
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.memory.secded import CHECK_BITS, DATA_BITS
from gemel_rtl.interfaces import l1_read_port
from gemel_rtl.numeric.secded import SecdedDecoder, check_bits
from gemel_rtl.vector.layouts import BUNDLE_BITS

__all__ = ["ProgramMemory"]

PAIRS = VECTOR_BUNDLES // 2
CHECKED = BUNDLE_BITS // DATA_BITS
"""Parts of a bundle that have check bits of their own."""


def with_check_bits(bundle: Value) -> Value:
    """A bundle and its check bits."""
    return Cat(bundle, check_bits(bundle))


class ProgramMemory(wiring.Component):
    """1024 bundles in pairs. A fetch copies two in each cycle in which L1 takes its request; a bundle read in one cycle
    is on `bundle` from the next.

    Parameters: config.

    Members
    -------
    start : In, pulse with `address` (L1 bytes), `count` and `at` (bundles, `at` even): copy; `busy` until it is done
    outside, outside_address : Out, in the cycle after `start`: something of what is to be fetched lies beyond L1, or
        `address` isn't aligned; nothing is fetched, and the memory is busy until it is reset
    l1 : Out, read port
    index, present : In, Out, bundle `index` isn't one that is still to come
    read : In, read bundle `index`; bundle : Out
    corrected, damaged : Out, with `config.ecc`: a single error was corrected in what was read in the cycle before;
        there are more of them in `bundle`
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "address": In(64),
                "count": In(range(VECTOR_BUNDLES + 1)),
                "at": In(range(VECTOR_BUNDLES)),
                "busy": Out(1),
                "outside": Out(1),
                "outside_address": Out(64),
                "l1": Out(l1_read_port(config)),
                "read": In(1),
                "index": In(range(VECTOR_BUNDLES)),
                "present": Out(1),
                "bundle": Out(BUNDLE_BITS),
                "corrected": Out(1),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        width = BUNDLE_BITS + (CHECK_BITS * CHECKED if self.config.ecc else 0)
        banks = []
        for half in range(2):
            m.submodules[f"bank{half}"] = bank = Memory(shape=width, depth=PAIRS, init=[])
            banks.append((bank.write_port(), bank.read_port()))
        odd = Signal(reset_less=True)
        with m.If(self.read):
            m.d.sync += odd.eq(self.index[0])
        for _, read in banks:
            m.d.comb += [read.addr.eq(self.index[1:]), read.en.eq(self.read)]
        stored = Signal(width)
        m.d.comb += stored.eq(Mux(odd, banks[1][1].data, banks[0][1].data))
        if self.config.ecc:
            m.submodules.decoder = decoder = SecdedDecoder(CHECKED)
            fresh = Signal()
            m.d.sync += fresh.eq(self.read)
            m.d.comb += [
                decoder.data.eq(stored[:BUNDLE_BITS]),
                decoder.check.eq(stored[BUNDLE_BITS:]),
                self.bundle.eq(decoder.fixed),
                self.corrected.eq(fresh & decoder.corrected.any()),
                self.damaged.eq(decoder.uncorrectable.any()),
            ]
        else:
            m.d.comb += self.bundle.eq(stored)

        # `left` bundles have not come, of which `unasked` are still to be asked for; `at` is where the next ones go.
        address = Signal(64, reset_less=True)
        unasked, left = Signal.like(self.count), Signal.like(self.count)
        at = Signal(range(PAIRS), reset_less=True)
        checking = Signal()
        word, pairs = address[6:], (left + 1)[1:]
        beyond, ahead = Signal(), Signal.like(at)
        req = self.l1.req
        m.d.comb += [
            beyond.eq((word >= self.config.l1_words) | address[:6].any()),
            self.outside.eq(checking & (beyond | (word + pairs > self.config.l1_words))),
            self.outside_address.eq(Mux(beyond, address, self.config.l1_bytes)),
            self.busy.eq(left != 0),
            ahead.eq(self.index[1:] - at),
            self.present.eq(ahead >= pairs),
            req.valid.eq(unasked != 0),
            req.payload.addr0.eq(word),
            req.payload.addr1.eq(word),
            req.payload.en0.eq(1),
            req.payload.en1.eq(1),
        ]
        with m.If(req.valid & req.ready):
            m.d.sync += [address.eq(address + 2 * CHUNK), unasked.eq(Mux(unasked == 1, 0, unasked - 2))]
        come = Signal()
        m.d.comb += come.eq(self.l1.valid & self.busy)
        for half, (write, _) in enumerate(banks):
            m.d.comb += [
                write.addr.eq(at),
                write.data.eq(with_check_bits(self.l1.data[half]) if self.config.ecc else self.l1.data[half]),
                write.en.eq(come & ((left != 1) | (half == 0))),
            ]
        with m.If(come):
            m.d.sync += [at.eq(at + 1), left.eq(Mux(left == 1, 0, left - 2))]
        m.d.sync += checking.eq(self.start)
        with m.If(checking & ~self.outside):
            m.d.sync += unasked.eq(left)
        with m.If(self.start):
            m.d.sync += [address.eq(self.address), left.eq(self.count), at.eq(self.at[1:])]
        return m
