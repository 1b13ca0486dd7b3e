"""The AXI arbiters: every manager's bursts reach the bus once, in order and in time; answers find their manager."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value

from gemel_golden.config import config
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter
from gemel_verif.formal.bursts import FREE, Drain
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import bounded, held

__all__ = ["ReadProperties", "WriteProperties"]

COUNT = 3
"""Bits of a manager's burst numbers."""
PATIENCE = 2
"""Cycles in a row that a side lets the other wait, where progress is claimed."""


class _Numbers:
    """Counters of transfers, one for each manager."""

    def __init__(self, m: Module, name: str, n: int, transfers: list[Any]):
        self.count = [Signal(COUNT, name=f"{name}{p}") for p in range(n)]
        for count, transfer in zip(self.count, transfers, strict=True):
            m.d.sync += count.eq(count + transfer)

    def of(self, m: Module, index: Any, name: str) -> Signal:
        """The count of manager `index`."""
        chosen = Signal(COUNT, name=name)
        with m.Switch(index):
            for p, count in enumerate(self.count):
                with m.Case(p):
                    m.d.comb += chosen.eq(count)
        return chosen


def _moves(channel: Any) -> Value:
    return channel.valid & channel.ready


def _addresses(m: Module, ports: list[Any], bus: Any, limit: int, lengths: list[Any]) -> None:
    """Managers send their burst numbers as addresses; the bus shows each manager's in order, none later than `limit`.

    A limit of 0 is none.
    """
    n = len(ports)
    sent = _Numbers(m, "sent", n, [_moves(port) for port in ports])
    seen = _Numbers(m, "seen", n, [_moves(bus) & (bus.payload.id == p) for p in range(n)])
    for p, port in enumerate(ports):
        m.d.comb += [port.payload.addr.eq(Cat(sent.count[p], Value.cast(p + 1))), port.payload.len.eq(lengths[p])]
        held(m, port, f"address{p}", assume)
        if limit:
            bounded(m, port.valid & ~port.ready, limit, f"address{p}", must)
    held(m, bus, "bus_address", must)
    number = seen.of(m, bus.payload.id, "number")
    m.d.comb += must(
        ~bus.valid
        | ((bus.payload.addr[:COUNT] == number) & (bus.payload.addr[COUNT:] == bus.payload.id + 1))
        & (bus.payload.id < n)
    )


def _answers(m: Module, bus: Any, ports: list[Any], field: str, bits: int) -> None:
    """The bus answers each manager with numbers; every manager gets its own in order, as soon as it and the bus can."""
    n = len(ports)
    given = _Numbers(m, "given", n, [_moves(bus) & (bus.payload.id == p) for p in range(n)])
    taken = _Numbers(m, "taken", n, [_moves(port) for port in ports])
    held(m, bus, "bus_answer", assume)
    m.d.comb += [
        assume(bus.payload.id < n),
        bus.payload[field].eq(given.of(m, bus.payload.id, "answer")[:bits]),
    ]
    for p, port in enumerate(ports):
        m.d.comb += must(~port.valid | (port.payload[field] == taken.count[p][:bits]))
        m.d.comb += must(~port.valid | (given.count[p] != taken.count[p]))
        held(m, port, f"answer{p}", must)
        bounded(m, ~port.ready, PATIENCE, f"taker{p}", assume)
    bounded(m, bus.valid & ~bus.ready, PATIENCE + 1, "bus_answer", must)


class ReadProperties(Elaboratable):
    """`ReadArbiter`: with a bus ready every third cycle at least, no address waits for more than all others."""

    def __init__(self, n: int):
        self.arbiter = ReadArbiter(config("nano"), n)
        self.answered = Signal(2)
        self.inputs = [self.arbiter.o.ar.ready, self.arbiter.o.r.valid, self.answered]
        for port in self.arbiter.i:
            self.inputs += [port.ar.valid, port.r.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        ports = list(arbiter.i)
        bounded(m, ~arbiter.o.ar.ready, PATIENCE, "bus", assume)
        _addresses(m, [port.ar for port in ports], arbiter.o.ar, (PATIENCE + 1) * len(ports), [0] * len(ports))
        m.d.comb += arbiter.o.r.payload.id.eq(self.answered)
        _answers(m, arbiter.o.r, [port.r for port in ports], "data", COUNT)
        return m


class WriteProperties(Elaboratable):
    """`WriteArbiter`: the beats on the bus are those of the addresses, in their order; none shows before its address.

    A manager's bursts have one and two beats in turn.

    Parameters: n, depth (addresses on the bus whose beats wait), limit (0: beats come a cycle after their address is
    taken at the latest, and the bus rests one cycle of two. Otherwise beats come with their address, as a splitter's
    do; the bus rests as it likes in the first `free` cycles and no more then; no burst begins, and after so many cycles
    all have been sent), free.
    """

    def __init__(self, n: int, depth: int = 2, limit: int = 0, free: int = FREE):
        self.limit = limit
        self.free = free
        self.arbiter = WriteArbiter(config("nano").override(outstanding=depth), n)
        bus = self.arbiter.o
        self.answered = Signal(2)
        self.inputs = [bus.aw.ready, bus.w.ready, bus.b.valid, self.answered]
        for port in self.arbiter.i:
            self.inputs += [port.aw.valid, port.w.valid, port.b.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        ports, bus = list(arbiter.i), arbiter.o
        sent = _Numbers(m, "addresses", len(ports), [_moves(port.aw) for port in ports])
        drain = Drain(m, self.limit, self.free)
        _addresses(m, [port.aw for port in ports], bus.aw, 0, [count[0] for count in sent.count])
        for p, port in enumerate(ports):
            self._beats(m, p, port, sent.count[p], drain)
        m.d.comb += bus.b.payload.id.eq(self.answered)
        _answers(m, bus.b, [port.b for port in ports], "resp", 2)

        held(m, bus.w, "bus_beat", must)
        if self.limit:
            m.d.comb += assume(~drain.begun | (bus.aw.ready & bus.w.ready))
        else:
            bounded(m, ~bus.aw.ready, 1, "bus_address_taker", assume)
            bounded(m, ~bus.w.ready, 1, "bus_beat_taker", assume)
        order = Array(Signal(COUNT + 3, name=f"order{i}") for i in range(1 << COUNT))
        addresses, bursts, beat = Signal(COUNT), Signal(COUNT), Signal()
        expected, shown = Signal(COUNT + 3), Signal()
        m.d.comb += [
            expected.eq(
                Mux(addresses == bursts, Cat(bus.aw.payload.addr[: COUNT + 2], bus.aw.payload.len[0]), order[bursts])
            ),
            shown.eq((addresses != bursts) | bus.aw.valid),
        ]
        with m.If(_moves(bus.aw)):
            m.d.sync += addresses.eq(addresses + 1)
            m.d.sync += order[addresses].eq(Cat(bus.aw.payload.addr[: COUNT + 2], bus.aw.payload.len[0]))
        with m.If(_moves(bus.w)):
            m.d.sync += [beat.eq(Mux(bus.w.payload.last, 0, 1)), bursts.eq(bursts + bus.w.payload.last)]
        with m.If(bus.w.valid):
            m.d.comb += [
                must(shown),
                must(bus.w.payload.data[: COUNT + 2] == expected[: COUNT + 2]),
                must(bus.w.payload.data[COUNT + 2] == beat),
                must(bus.w.payload.last == (beat == expected[-1])),
            ]
        if self.limit:
            m.d.comb += must(~drain.over | ((addresses == bursts) & ~bus.aw.valid))
        return m

    def _beats(self, m: Module, p: int, port: Any, addresses: Signal, drain: Drain) -> None:
        """The manager's beats: numbered as its addresses; what is due isn't long in coming."""
        burst, beat = Signal(COUNT, name=f"burst{p}"), Signal(name=f"beat{p}")
        m.d.comb += [
            port.w.payload.data.eq(Cat(burst, Const(p + 1, 2), beat)),
            port.w.payload.last.eq(beat == burst[0]),
        ]
        with m.If(_moves(port.w)):
            m.d.sync += [beat.eq(~port.w.payload.last & ~beat), burst.eq(burst + port.w.payload.last)]
        held(m, port.w, f"beat{p}", assume)
        if self.limit:
            waiting = Signal(name=f"waiting{p}")
            m.d.sync += waiting.eq(port.aw.valid & ~port.aw.ready)
            m.d.comb += [
                assume(port.w.valid | ((burst == addresses) & ~port.aw.valid)),
                assume(~drain.begun | ~port.aw.valid | waiting),
                must(~drain.over | ((burst == addresses) & ~port.aw.valid)),
            ]
        else:
            bounded(m, (burst != addresses) & ~port.w.valid, 1, f"beat{p}", assume)
