"""Two writers and two targets: the crossbar brings each beat where it belongs, and nobody waits for ever."""

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, Value

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.interleave import CHANNEL_GRANULE
from gemel_rtl.noc.crossbar import Initiator, WriteCrossbar
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.write_splitter import WriteSplitter
from gemel_verif.formal.bursts import CHIP, Drain, moves
from gemel_verif.formal.prover import assume, must
from gemel_verif.formal.streams import held

__all__ = ["WriteCrossbarProperties"]

WRITERS = 2
COUNT = 3
"""Bits of the numbers of bursts."""


def _small(config: ChipConfig, route: Route, pieces: int, *, id_bits: int) -> WriteSplitter:
    """A splitter with room for one beat for each target: enough for the pieces here, and soon full."""
    splitter = WriteSplitter(config, route, pieces, id_bits=id_bits)
    splitter.beats = 1
    return splitter


class WriteCrossbarProperties(Elaboratable):
    """`WriteCrossbar` with its splitters and arbiters between two writers and two targets; bursts have one beat.

    A writer's bursts go to the targets that the solver chooses. Targets answer in the order of the addresses, writers
    take answers at once.

    Parameters: bursts (of each writer at most), limit (0: all other sides rest as they like. Otherwise they do so in
    the first `free` cycles alone; then none rests, no burst begins, and after so many cycles all have ended), free.
    """

    def __init__(self, bursts: int, limit: int = 0, free: int = 0) -> None:
        assert WRITERS * bursts < 1 << COUNT + 1
        self.bursts, self.limit, self.free = bursts, limit, free
        chip = CHIP.override(outstanding=2)
        self.crossbar = crossbar = WriteCrossbar(chip, [Initiator(depth=2)] * WRITERS, id_bits=1)
        crossbar.splitter_of = _small
        self.chosen = [Signal(name=f"target{p}") for p in range(WRITERS)]
        self.inputs = [*self.chosen]
        for port in crossbar.i:
            self.inputs += [port.aw.valid, port.w.valid]
        for port in crossbar.o:
            self.inputs += [port.aw.ready, port.w.ready]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crossbar = crossbar = self.crossbar
        drain = Drain(m, self.limit, self.free)
        for p, port in enumerate(crossbar.i):
            self._writer(m, p, port, drain)
        for t, port in enumerate(crossbar.o):
            self._target(m, t, port, drain)
        return m

    def _writer(self, m: Module, p: int, port: Any, drain: Drain) -> None:
        """Bursts with their number in address and data; beats may run ahead of their addresses."""
        aw, w, b = port.aw, port.w, port.b
        begun, sent, done = (Signal(COUNT, name=f"{name}{p}") for name in ("begun", "sent", "done"))
        waiting = Signal(name=f"waiting{p}")
        m.d.sync += [
            begun.eq(begun + moves(aw)),
            sent.eq(sent + moves(w)),
            done.eq(done + moves(b)),
            waiting.eq(aw.valid & ~aw.ready),
        ]
        m.d.comb += [
            aw.payload.addr.eq(self.chosen[p] * CHANNEL_GRANULE + begun * WORD),
            w.payload.data.eq(Cat(sent, Value.cast(p + 1))),
            w.payload.last.eq(1),
            b.ready.eq(1),
            assume(~aw.valid | (begun < self.bursts)),
            assume(~w.valid | (sent < self.bursts)),
            must(~b.valid | (done != begun)),
        ]
        held(m, aw, f"address{p}", assume)
        held(m, w, f"beat{p}", assume)
        if self.limit:
            m.d.comb += [
                assume(~drain.begun | ((w.valid | (sent >= begun)) & (~aw.valid | waiting))),
                must(~drain.over | ((done == begun) & (sent >= begun) & ~aw.valid)),
            ]

    def _target(self, m: Module, t: int, port: Any, drain: Drain) -> None:
        """Each writer's bursts in its order; beats in the order of the addresses, none before its address."""
        aw, w, b = port.aw, port.w, port.b
        order = Array(Signal(COUNT + 1, name=f"order{t}_{i}") for i in range(2 * self.bursts))
        asked, ended, answered = (Signal(COUNT + 1, name=f"{name}{t}") for name in ("asked", "ended", "answered"))
        address = aw.payload.addr[WORD.bit_length() - 1 :]
        mine = Cat(address[:COUNT], aw.payload.id)
        due = Signal(COUNT + 1, name=f"due{t}")
        m.d.comb += due.eq(Mux(asked == ended, mine, order[ended]))
        with m.If(moves(aw)):
            m.d.sync += [order[asked].eq(mine), asked.eq(asked + 1)]
        m.d.sync += [ended.eq(ended + moves(w)), answered.eq(answered + moves(b))]
        m.d.comb += [
            b.valid.eq((answered < asked) & (answered < ended)),
            b.payload.id.eq(order[answered][-1]),
            must(~aw.valid | ((address[COUNT:] == t) & (aw.payload.len == 0))),
            must(~w.valid | (asked != ended) | aw.valid),
            must(~w.valid | (w.payload.data == Cat(due[:COUNT], due[-1] + 1)) & w.payload.last),
        ]
        for p in range(WRITERS):
            next_number = Signal(COUNT, name=f"next{p}_{t}")
            with m.If(aw.valid & (aw.payload.id == p)):
                m.d.comb += must(mine[:COUNT] >= next_number)
                with m.If(aw.ready):
                    m.d.sync += next_number.eq(mine[:COUNT] + 1)
        held(m, aw, f"asked{t}", must)
        held(m, w, f"written{t}", must)
        if self.limit:
            m.d.comb += assume(~drain.begun | (aw.ready & w.ready))
