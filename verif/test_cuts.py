"""Timing cuts: no path without a register leads through the blocks that are to cut paths."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import config
from gemel_rtl.command.copier import Copier
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter
from gemel_rtl.noc.crossbar import Initiator, ReadCrossbar, WriteCrossbar
from gemel_rtl.noc.peers import PeerNetwork
from gemel_rtl.noc.slice import Slice
from gemel_verif.cuts import combinational_paths

TWO = config("nano").override(channels=2)
INITIATORS = [Initiator(depth=8), Initiator(depth=8, aperture=True)]
BLOCKS = {
    "slice": lambda: Slice(8),
    "read arbiter": lambda: ReadArbiter(TWO, 3),
    "write arbiter": lambda: WriteArbiter(TWO, 3),
    "read crossbar": lambda: ReadCrossbar(TWO, INITIATORS),
    "write crossbar": lambda: WriteCrossbar(TWO, INITIATORS),
    "cores' network": lambda: PeerNetwork(TWO.override(cores=3)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_no_path_joins_the_two_sides(name: str) -> None:
    through = [pair for pair in combinational_paths(BLOCKS[name]()) if pair[0][0] != pair[1][0]]
    assert through == []


def test_the_copy_engines_ports_are_apart() -> None:
    sides = ("copy", "read", "write")
    paths = [[name.split("__")[0] for name in pair] for pair in combinational_paths(Copier(TWO))]
    assert [pair for pair in paths if pair[0] != pair[1] and set(pair) <= set(sides)] == []


class _Wire(wiring.Component):
    """Passes a stream on, and its ready back."""

    i: In(stream.Signature(1))
    o: Out(stream.Signature(1))

    def elaborate(self, platform) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        return m


def test_a_path_is_found() -> None:
    expected = {("i__valid", "o__valid"), ("i__payload", "o__payload"), ("o__ready", "i__ready")}
    assert combinational_paths(_Wire()) == expected
