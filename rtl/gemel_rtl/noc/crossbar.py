"""AXI4 crossbar: readers and writers on one side, memory channels and the scratchpads' aperture on the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter
from gemel_rtl.noc.read_splitter import ReadSplitter
from gemel_rtl.noc.route import Route
from gemel_rtl.noc.write_splitter import WriteSplitter
from gemel_rtl.shared import Shared

__all__ = ["Initiator", "ReadCrossbar", "WriteCrossbar"]


@dataclass(frozen=True, kw_only=True)
class Initiator:
    """Who asks: the memory that the crossbar has for it, and whether it reaches the scratchpads.

    `depth`: a reader's beats buffered for each target, a writer's pieces under way.
    """

    depth: int
    aperture: bool = False


KINDS: dict[str, tuple[Callable[..., wiring.Signature], Callable[..., Any], Callable[..., Any]]] = {
    "read": (axi_read, ReadArbiter, ReadSplitter),
    "write": (axi_write, WriteArbiter, WriteSplitter),
}
"""Port, arbiter and splitter."""


class _Crossbar(wiring.Component):
    """What both crossbars share: a splitter for each initiator, an arbiter for each target."""

    kind = ""

    def __init__(self, config: ChipConfig, initiators: Sequence[Initiator], *, id_bits: int = 2):
        self.config = config
        self.initiators = tuple(initiators)
        self.id_bits = id_bits
        port_of, self.arbiter_of, self.splitter_of = KINDS[self.kind]
        port = port_of(config, id_bits)
        aperture = any(initiator.aperture for initiator in initiators)
        self.targets = config.channels + aperture
        super().__init__({"i": In(port).array(len(self.initiators)), "o": Out(port).array(self.targets)})

    def elaborate(self, platform) -> Module:
        m = Module()
        reach = [self.config.channels + initiator.aperture for initiator in self.initiators]
        sources: list[list] = [[] for _ in range(self.targets)]
        for i, (initiator, targets) in enumerate(zip(self.initiators, reach, strict=True)):
            if targets == 1:
                sources[0].append(wiring.flipped(self.i[i]))
                continue
            splitter = self.splitter_of(
                self.config, Route(self.config, initiator.aperture), initiator.depth, id_bits=self.id_bits
            )
            name = f"gemel_{self.kind}_splitter_{initiator.depth}" + ("_aperture" if initiator.aperture else "")
            m.submodules[f"splitter{i}"] = splitter = Shared(splitter, name=name)
            wiring.connect(m, wiring.flipped(self.i[i]), splitter.i)
            for target in range(targets):
                sources[target].append(splitter.o[target])
        for target, ports in enumerate(sources):
            m.submodules[f"arbiter{target}"] = arbiter = self.arbiter_of(self.config, len(ports), id_bits=self.id_bits)
            for port, source in enumerate(ports):
                wiring.connect(m, source, arbiter.i[port])
            wiring.connect(m, arbiter.o, wiring.flipped(self.o[target]))
        return m


class ReadCrossbar(_Crossbar):
    """Readers' bursts to the targets of their addresses, data back in each reader's order.

    A target's ID is the number of the reader among those that reach it. Readers take turns at every target. No
    combinational path joins the two sides. With one target this is `ReadArbiter`.

    Parameters: config, initiators, id_bits (of all ports).
    Members: `i` (array over initiators), `o` (array: the channels, then the aperture if an initiator reaches it).
    """

    kind = "read"


class WriteCrossbar(_Crossbar):
    """Writers' bursts to the targets of their addresses, one answer for each in its writer's order.

    Otherwise as `ReadCrossbar`; with one target this is `WriteArbiter`.

    Parameters: config, initiators, id_bits (of all ports).
    Members: `i` (array over initiators), `o` (array: the channels, then the aperture if an initiator reaches it).
    """

    kind = "write"
