"""Proofs: streams, arbiters and semaphores neither lose, duplicate, reorder nor starve. `make formal` goes deeper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.noc.queue import Queue
from gemel_rtl.noc.slice import Slice
from gemel_verif.formal.arbiters import ReadProperties, WriteProperties
from gemel_verif.formal.credits import AheadProperties, BehindProperties
from gemel_verif.formal.crossbars import WriteCrossbarProperties
from gemel_verif.formal.guards import ReadGuardProperties, WriteGuardProperties
from gemel_verif.formal.prover import prove
from gemel_verif.formal.semaphores import SemaphoreProperties
from gemel_verif.formal.splitters import ReadSplitterProperties, WriteSplitterProperties
from gemel_verif.formal.streams import COUNT, ForkProperties, StreamProperties

PATIENCE = 2
"""Cycles in a row that a side rests at most, in proofs by induction."""

PROOFS: dict[str, tuple[Callable[[], Any], Literal["bmc", "prove"], int, int]] = {
    "slice": (lambda: StreamProperties(Slice(COUNT), 2), "bmc", 16, 40),
    "slice, for ever": (lambda: StreamProperties(Slice(COUNT), 2, PATIENCE), "prove", 8, 8),
    "queue": (lambda: StreamProperties(Queue(COUNT, 4), 4), "bmc", 12, 24),
    "fork": (lambda: ForkProperties(), "bmc", 12, 40),
    "fork, for ever": (lambda: ForkProperties(PATIENCE), "prove", 8, 8),
    "read arbiter": (lambda: ReadProperties(3), "bmc", 8, 16),
    "write arbiter": (lambda: WriteProperties(2), "bmc", 7, 11),
    "write arbiter, drained soon": (lambda: WriteProperties(2, 1, limit=7, free=2), "bmc", 10, 10),
    "write arbiter, drained": (lambda: WriteProperties(2, limit=9), "bmc", 0, 14),
    "read guard": (lambda: ReadGuardProperties(), "bmc", 8, 16),
    "write guard": (lambda: WriteGuardProperties(), "bmc", 8, 16),
    "read splitter": (lambda: ReadSplitterProperties(), "bmc", 8, 10),
    "read splitter, drained soon": (lambda: ReadSplitterProperties(9, 2), "bmc", 12, 12),
    "read splitter, drained": (lambda: ReadSplitterProperties(12), "bmc", 0, 17),
    "write splitter": (lambda: WriteSplitterProperties(), "bmc", 7, 9),
    "write splitter, drained soon": (lambda: WriteSplitterProperties(9, 2), "bmc", 12, 12),
    "write splitter, drained": (lambda: WriteSplitterProperties(12), "bmc", 0, 17),
    "write crossbar": (lambda: WriteCrossbarProperties(2), "bmc", 8, 10),
    "write crossbar, drained": (lambda: WriteCrossbarProperties(2, 14, 4), "bmc", 0, 19),
    "reads ahead": (lambda: AheadProperties(2), "bmc", 10, 20),
    "writes behind": (lambda: BehindProperties(2), "bmc", 10, 20),
    "semaphores, for ever": (lambda: SemaphoreProperties(3), "prove", 3, 4),
}
"""Properties, kind of proof, depth in cycles in every run of the tests, and depth of `make formal`; 0: none."""


@pytest.mark.parametrize("name", [name for name, (_, _, depth, _) in PROOFS.items() if depth])
def test_it_holds(name: str, tmp_path: Path) -> None:
    properties, mode, depth, _ = PROOFS[name]
    proof = prove(properties(), tmp_path, depth=depth, mode=mode)
    assert proof.status == "pass", proof.report


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, (_, _, depth, deeper) in PROOFS.items() if deeper > depth])
def test_it_holds_deeper(name: str, tmp_path: Path) -> None:
    properties, mode, _, depth = PROOFS[name]
    proof = prove(properties(), tmp_path, depth=depth, mode=mode)
    assert proof.status == "pass", proof.report


class Careless(wiring.Component):
    """A register in a stream with one mistake: "loses" what comes while it is full, "repeats" what it gave."""

    i: In(stream.Signature(COUNT))
    o: Out(stream.Signature(COUNT))

    def __init__(self, mistake: str):
        self.mistake = mistake
        super().__init__()

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        free = Signal()
        m.d.comb += [free.eq(~self.o.valid | self.o.ready), self.i.ready.eq(1 if self.mistake == "loses" else free)]
        with m.If(free):
            m.d.sync += self.o.valid.eq(self.i.valid if self.mistake == "loses" else self.i.valid | self.o.valid)
            with m.If(self.i.valid):
                m.d.sync += self.o.payload.eq(self.i.payload)
        return m


@pytest.mark.parametrize("mistake", ["loses", "repeats"])
def test_a_mistake_is_found(mistake: str, tmp_path: Path) -> None:
    assert prove(StreamProperties(Careless(mistake), 1), tmp_path, depth=6).status == "fail"
