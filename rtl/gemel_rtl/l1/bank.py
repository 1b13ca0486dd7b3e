"""One bank of one half-plane of L1."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import CHUNK

__all__ = ["Bank"]


class Bank(wiring.Component):
    """A single-port memory of 32-byte entries with byte enables: stands for an SRAM macro of the technology.

    A read's `read_data` comes a cycle later and holds. A write takes the bytes in `mask` (one bit each) from the one of
    two sources that `source` names. A cycle reads or writes. The enables are written out as one merged write and the
    sources are chosen here, since a simulator then skips all of it where nothing is written.

    Parameters: depth (entries).
    Members: `address`, `read`, `write`, `source`, `mask`, `data0`, `data1`, `read_data`.
    """

    def __init__(self, depth: int):
        self.depth = depth
        super().__init__(
            {
                "address": In(max(1, ceil_log2(depth))),
                "read": In(1),
                "write": In(1),
                "mask": In(CHUNK),
                "source": In(1),
                "data0": In(8 * CHUNK),
                "data1": In(8 * CHUNK),
                "read_data": Out(8 * CHUNK),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.memory = cells = memory.Memory(shape=8 * CHUNK, depth=self.depth, init=[])
        entry, write = cells.read_port(domain="comb"), cells.write_port()
        bits, data = Signal(8 * CHUNK), Signal(8 * CHUNK)
        m.d.comb += [entry.addr.eq(self.address), write.addr.eq(self.address), write.en.eq(self.write)]
        with m.If(self.write):
            m.d.comb += [
                bits.eq(Cat(bit.replicate(8) for bit in self.mask)),
                data.eq(Mux(self.source, self.data1, self.data0)),
                write.data.eq((data & bits) | (entry.data & ~bits)),
            ]
        with m.If(self.read):
            m.d.sync += self.read_data.eq(entry.data)
        return m
