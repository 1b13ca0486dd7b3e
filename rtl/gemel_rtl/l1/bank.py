"""One bank of one half-plane of L1."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK

__all__ = ["Bank", "bank_members"]


def bank_members(depth: int, sources: int) -> dict[str, wiring.Member]:
    """The ports of a bank of `depth` entries that `sources` may write."""
    return {
        "read": In(1),
        "read_address": In(max(1, ceil_log2(depth))),
        "write": In(1),
        "write_address": In(max(1, ceil_log2(depth))),
        "mask": In(CHUNK),
        "source": In(sources),
        **{f"data{i}": In(8 * CHUNK) for i in range(sources)},
        "read_data": Out(8 * CHUNK),
    }


class Bank(wiring.Component):
    """A memory of 32-byte entries, one read and one write a cycle, with byte enables: stands for a two-port SRAM macro.

    A read's `read_data` comes a cycle later and holds; it doesn't see a write of the same cycle. A write takes the
    bytes in `mask` (one bit each) from the source whose bit in `source` is set. The enables are written out as one
    merged write and the sources are chosen here, since a simulator then skips all of it where nothing is written.

    Parameters: depth (entries), sources (of writes).
    Members: `read`, `read_address`, `read_data`, `write`, `write_address`, `source`, `mask`, `data<i>`.
    """

    def __init__(self, depth: int, sources: int):
        self.depth = depth
        self.sources = sources
        super().__init__(bank_members(depth, sources))

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = cells = memory.Memory(shape=8 * CHUNK, depth=self.depth, init=[])
        read, entry, write = cells.read_port(domain="comb"), cells.read_port(domain="comb"), cells.write_port()
        bits, data = Signal(8 * CHUNK), Signal(8 * CHUNK)
        m.d.comb += [
            read.addr.eq(self.read_address),
            entry.addr.eq(self.write_address),
            write.addr.eq(self.write_address),
            write.en.eq(self.write),
        ]
        with m.If(self.write):
            m.d.comb += [
                bits.eq(Cat(bit.replicate(8) for bit in self.mask)),
                write.data.eq((data & bits) | (entry.data & ~bits)),
            ]
            for i in range(self.sources):
                with m.If(self.source[i]):
                    m.d.comb += data.eq(getattr(self, f"data{i}"))
        with m.If(self.read):
            m.d.sync += self.read_data.eq(read.data)
        return m
