"""Arbiters that bring several AXI4 managers to one port, burst by burst in turn."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_rtl.noc.slice import Slice

__all__ = ["ReadArbiter", "WriteArbiter", "check_managers"]


def check_managers(n: int, id_bits: int) -> None:
    """Raise ValueError unless `n` port numbers fit into an ID."""
    if not 1 <= n <= 1 << id_bits:
        raise ValueError(f"{n} managers don't fit into {id_bits} bits of ID")


class _Turn:
    """Round robin: `chosen` is the first of `requests` at or after the one that follows the last winner."""

    def __init__(self, m: Module, requests: list[Value], name: str):
        n = len(requests)
        self.last = Signal(range(n), name=f"{name}_last")
        self.chosen = Signal(range(n), name=f"{name}_chosen")
        with m.Switch(self.last):
            for last in range(n):
                with m.Case(last) if last < n - 1 else m.Default():
                    for p in range(last, last - n, -1):  # a later assignment overrides: the nearest after `last` wins
                        with m.If(requests[p % n]):
                            m.d.comb += self.chosen.eq(p % n)


def _manager_side(m: Module, ports, chosen: Value, sink, granted: Value):
    """Give the chosen port's address channel to `sink`, with the port's number as ID, where `granted`."""
    with m.Switch(chosen):
        for p, port in enumerate(ports):
            with m.Case(p):
                m.d.comb += [
                    sink.payload.addr.eq(port.payload.addr),
                    sink.payload.len.eq(port.payload.len),
                    sink.valid.eq(port.valid & granted),
                    port.ready.eq(sink.ready & granted),
                ]
    m.d.comb += sink.payload.id.eq(chosen)


class ReadArbiter(wiring.Component):
    """`n` managers share one read port: AR in turn, R routed by ID. Managers' own IDs aren't kept: R's ID is zero.

    One address and one beat a cycle, both a cycle later than without arbiter. No combinational path joins the
    managers' side and the bus. A manager that doesn't take its beat holds up the others': ask only for what there is
    room for.

    Parameters: config, n (managers), id_bits (of all ports; port number = ID on the bus).
    Members: `i` (array of n manager-side ports), `o` (the bus).
    """

    def __init__(self, config: ChipConfig, n: int, *, id_bits: int = 2):
        check_managers(n, id_bits)
        self.n = n
        port = axi_read(config, id_bits)
        super().__init__({"i": In(port).array(n), "o": Out(port)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.ar = ar = Slice(self.o.ar.payload.shape())
        m.submodules.r = r = Slice(self.o.r.payload.shape())
        wiring.connect(m, ar.o, wiring.flipped(self.o.ar))
        wiring.connect(m, wiring.flipped(self.o.r), r.i)

        turn = _Turn(m, [port.ar.valid for port in self.i], "ar")
        _manager_side(m, [port.ar for port in self.i], turn.chosen, ar.i, Value.cast(1))
        with m.If(ar.i.valid & ar.i.ready):
            m.d.sync += turn.last.eq(turn.chosen)

        for p, port in enumerate(self.i):
            m.d.comb += [
                port.r.valid.eq(r.o.valid & (r.o.payload.id == p)),
                port.r.payload.data.eq(r.o.payload.data),
                port.r.payload.resp.eq(r.o.payload.resp),
                port.r.payload.last.eq(r.o.payload.last),
            ]
            with m.If(r.o.payload.id == p):
                m.d.comb += r.o.ready.eq(port.r.ready)
        return m


class WriteArbiter(wiring.Component):
    """`n` managers share one write port: AW in turn, W in the order of AW, B routed by ID. B's ID to managers is zero.

    W comes to the bus when its AW has, not before, and doesn't wait for that AW to be taken. One address and one beat
    a cycle, each a cycle or two later than without arbiter; no combinational path joins the managers' side and the bus.
    A manager whose address was taken holds W until it has sent its beats.

    Parameters: config, n (managers), id_bits (of all ports; port number = ID on the bus).
    Members: `i` (array of n manager-side ports), `o` (the bus).
    """

    def __init__(self, config: ChipConfig, n: int, *, id_bits: int = 2):
        check_managers(n, id_bits)
        self.n = n
        self.depth = config.outstanding
        port = axi_write(config, id_bits)
        super().__init__({"i": In(port).array(n), "o": Out(port)})

    def elaborate(self, platform) -> Module:
        m = Module()
        m.submodules.aw = aw = Slice(self.o.aw.payload.shape())
        m.submodules.w = w = Slice(self.o.w.payload.shape())
        m.submodules.b = b = Slice(self.o.b.payload.shape())
        wiring.connect(m, w.o, wiring.flipped(self.o.w))
        wiring.connect(m, wiring.flipped(self.o.b), b.i)
        m.submodules.order = order = fifo.SyncFIFO(width=max(1, ceil_log2(self.n)), depth=self.depth)

        turn = _Turn(m, [port.aw.valid for port in self.i], "aw")
        _manager_side(m, [port.aw for port in self.i], turn.chosen, aw.i, Value.cast(1))
        with m.If(aw.i.valid & aw.i.ready):
            m.d.sync += turn.last.eq(turn.chosen)

        noted = Signal()  # the address on the bus has its place in `order`
        m.d.comb += [
            order.w_data.eq(aw.o.payload.id),
            order.w_en.eq(aw.o.valid & ~noted),
            self.o.aw.payload.eq(aw.o.payload),
            self.o.aw.valid.eq(aw.o.valid & (noted | order.w_rdy)),
            aw.o.ready.eq(self.o.aw.ready & (noted | order.w_rdy)),
        ]
        m.d.sync += noted.eq(self.o.aw.valid & ~self.o.aw.ready)

        with m.If(order.r_rdy), m.Switch(order.r_data):
            for p, port in enumerate(self.i):
                with m.Case(p):
                    m.d.comb += [
                        w.i.payload.eq(port.w.payload),
                        w.i.valid.eq(port.w.valid),
                        port.w.ready.eq(w.i.ready),
                    ]
        m.d.comb += order.r_en.eq(w.i.valid & w.i.ready & w.i.payload.last)

        for p, port in enumerate(self.i):
            m.d.comb += [
                port.b.valid.eq(b.o.valid & (b.o.payload.id == p)),
                port.b.payload.resp.eq(b.o.payload.resp),
            ]
            with m.If(b.o.payload.id == p):
                m.d.comb += b.o.ready.eq(port.b.ready)
        return m
