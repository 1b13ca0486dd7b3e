"""Several initiators behind one read port of L1."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import l1_read_port
from gemel_rtl.l1.l1 import READ_LATENCY

__all__ = ["ReadShare"]


class ReadShare(wiring.Component):
    """Gives the port to the first of its initiators that asks; combinational.

    Parameters: config, n (initiators).
    Members: `i` (array of n ports), `o` (a port of L1), `owner` (one-hot: whose data come in this cycle).
    """

    def __init__(self, config: ChipConfig, n: int):
        self.n = n
        port = l1_read_port(config)
        super().__init__({"i": In(port).array(n), "o": Out(port), "owner": Out(n)})

    def elaborate(self, platform) -> Module:
        m = Module()
        request = self.o.req
        chosen = Signal(self.n)
        for p, port in reversed(list(enumerate(self.i))):
            with m.If(port.req.valid):
                m.d.comb += [request.valid.eq(1), request.payload.eq(port.req.payload), chosen.eq(1 << p)]
        owners = [Signal(self.n, name=f"owner{stage}") for stage in range(READ_LATENCY)]
        m.d.sync += Cat(owners).eq(Cat(chosen, *owners[:-1]))
        m.d.comb += self.owner.eq(owners[-1])
        for p, port in enumerate(self.i):
            m.d.comb += [
                port.req.ready.eq(chosen[p] & request.ready),
                port.valid.eq(self.o.valid & owners[-1][p]),
                port.data.eq(self.o.data),
            ]
        return m
