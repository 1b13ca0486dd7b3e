"""The chip: command side, cores and crossbar behind AXI4 ports to memory and one AXI4-Lite port."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import Unit
from gemel_golden.memory.address_map import AddressMap
from gemel_golden.memory.timing import dram
from gemel_golden.registers import ADDRESS_BITS, CORE
from gemel_rtl.command.command import Command
from gemel_rtl.core import Core
from gemel_rtl.interfaces import AXI_DATA_BITS, PC_BITS, Trace
from gemel_rtl.memory.controller import COUNTS, Controller
from gemel_rtl.memory.layouts import dfi
from gemel_rtl.noc.aperture import Aperture
from gemel_rtl.noc.crossbar import Initiator, ReadCrossbar, WriteCrossbar
from gemel_rtl.noc.peers import PeerNetwork
from gemel_rtl.noc.pieces import PIECE_BEATS
from gemel_rtl.sequencer.decode import UNITS
from gemel_rtl.shared import Shared

__all__ = ["Chip", "id_bits", "read_ids", "write_ids"]

BEAT_SIZE = WORD.bit_length() - 1
INCR = 1


def read_ids(config: ChipConfig) -> list[str]:
    """Who has which ARID."""
    return ["command", "copy", *(f"{unit}_{core}" for core in range(config.cores) for unit in ("fetch", "load"))]


def write_ids(config: ChipConfig) -> list[str]:
    """Who has which AWID."""
    return ["command", "copy", *(f"store_{core}" for core in range(config.cores))]


def id_bits(config: ChipConfig) -> int:
    """Width of ARID and AWID."""
    return ceil_log2(len(read_ids(config)))


MOST_AHEAD = 256
"""Beats that a reader's buffers hold at most, all channels together: 16 KB, more than a memory's latency."""


def _readers(config: ChipConfig) -> list[Initiator]:
    """What the crossbar has for each reader. LOAD's data lie in all channels in turn; what it has under way covers the
    memory's latency, and with DRAM that a channel waits for a refresh while others go on.
    """
    ahead = (2 if config.drams else 1) * min(2 * config.outstanding, MOST_AHEAD)
    fetch = Initiator(depth=max(PIECE_BEATS, config.fetch_depth // 2))
    load = Initiator(depth=max(2 * PIECE_BEATS, ahead // config.channels), aperture=config.cores > 1)
    copy = Initiator(depth=max(2 * PIECE_BEATS, config.copy_beats // config.channels), aperture=config.cores > 1)
    return [Initiator(depth=PIECE_BEATS), copy] + [fetch, load] * config.cores


def _writers(config: ChipConfig) -> list[Initiator]:
    """What the crossbar has for each writer."""
    ahead = Initiator(depth=min(config.outstanding, MOST_AHEAD // 2), aperture=config.cores > 1)
    return [Initiator(depth=4)] + [ahead] * (1 + config.cores)


def trace_name(unit: Unit, core: int) -> str:
    """Name of a unit's trace ports: trace_load for core 0, trace_load_1 for core 1, ..."""
    return f"trace_{unit.name.lower()}" + (f"_{core}" if core else "")


def _axi(config: ChipConfig, port: int) -> dict[str, wiring.Member]:
    """An AXI4 manager port by its standard names."""
    address, bits = config.mem_address_bits, id_bits(config)
    widths = {
        "aw": {"id": bits, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "w": {"data": AXI_DATA_BITS, "strb": WORD, "last": 1, "valid": 1, "ready": 1},
        "b": {"id": bits, "resp": 2, "valid": 1, "ready": 1},
        "ar": {"id": bits, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "r": {"id": bits, "data": AXI_DATA_BITS, "resp": 2, "last": 1, "valid": 1, "ready": 1},
    }
    return _flat(f"m_axi{port}", widths, inward=("b", "r"))


def _memory(config: ChipConfig) -> dict[str, wiring.Member]:
    """The ports to memory: AXI4 ones, or DRAM's with `memory_taken` and `memory_stored`."""
    if not config.drams:
        return {name: member for port in range(config.channels) for name, member in _axi(config, port).items()}
    port = dfi(dram(config.memory))
    marks = {name: Out(config.drams) for name in ("memory_taken", "memory_stored")}
    return {f"dfi{channel}": Out(port) for channel in range(config.drams)} | marks


def _axi_lite() -> dict[str, wiring.Member]:
    """The AXI4-Lite subordinate port by its standard names."""
    widths = {
        "aw": {"addr": ADDRESS_BITS, "valid": 1, "ready": 1},
        "w": {"data": 32, "strb": 4, "valid": 1, "ready": 1},
        "b": {"resp": 2, "valid": 1, "ready": 1},
        "ar": {"addr": ADDRESS_BITS, "valid": 1, "ready": 1},
        "r": {"data": 32, "resp": 2, "valid": 1, "ready": 1},
    }
    return _flat("s_axil", widths, inward=("aw", "w", "ar"))


def _flat(prefix: str, widths: dict[str, dict[str, int]], inward: tuple[str, ...]) -> dict[str, wiring.Member]:
    return {
        f"{prefix}_{channel}{name}": (In if (channel in inward) != (name == "ready") else Out)(width)
        for channel, signals in widths.items()
        for name, width in signals.items()
    }


class Chip(wiring.Component):
    """Cores behind command rings: `gemel_golden.chip.GoldenChip`.

    Parameters: config.
    Members: `m_axi<i>_*`: AXI4, 64-byte beats, INCR bursts within 4 KB, IDs by `read_ids` and `write_ids`, or with
    DRAM `dfi<i>_*` (see `gemel_rtl.memory.layouts.dfi`) and `memory_taken`, `memory_stored` (see
    `gemel_rtl.memory.controller.Controller`, a bit for each channel);
    `s_axil_*`: the registers; `irq`; `trace_<unit>_queued`, `_start`, `_pc`, `_stop`, `_stop_pc`: timelines (see
    `gemel_rtl.interfaces.Trace`), of core c > 0 `trace_<unit>_<c>_...`, and `trace_command_...`, of ring r > 0
    `trace_command_<r>_...`: its packets.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        traces = {"queued": 1, "start": 1, "pc": PC_BITS, "stop": 1, "stop_pc": PC_BITS}
        super().__init__(
            _memory(config)
            | _axi_lite()
            | {"irq": Out(1)}
            | {
                f"{trace_name(unit, core)}_{name}": Out(width)
                for core in range(config.cores)
                for unit in UNITS
                for name, width in traces.items()
            }
            | {
                f"{trace_name(Unit.COMMAND, ring)}_{name}": Out(width)
                for ring in range(config.rings)
                for name, width in traces.items()
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits = id_bits(self.config)
        m.submodules.command = command = Command(self.config, id_bits=bits)
        m.submodules.reads = reads = ReadCrossbar(self.config, _readers(self.config), id_bits=bits)
        m.submodules.writes = writes = WriteCrossbar(self.config, _writers(self.config), id_bits=bits)
        readers, writers, cores = [command.read, command.copy_read], [command.write, command.copy_write], []
        for c in range(self.config.cores):
            core = Core(self.config, id_bits=bits)
            if self.config.cores > 1:
                core = Shared(core, name="gemel_core")
            m.submodules[f"core_{c}"] = core
            self._core(m, c, core, command)
            readers += [core.fetch_bus, core.load_bus]
            writers.append(core.store_bus)
            cores.append(core)
        for port, reader in zip(reads.i, readers, strict=True):
            wiring.connect(m, reader, port)
        for port, writer in zip(writes.i, writers, strict=True):
            wiring.connect(m, writer, port)

        if self.config.cores > 1:
            self._join(m, cores, reads.o[-1], writes.o[-1])
        if self.config.drams:
            self._drams(m, command, reads, writes)
        else:
            for port in range(self.config.channels):
                self._memory_port(m, port, reads.o[port], writes.o[port])
        lite = command.bus
        m.d.comb += [lite.aw.payload.eq(self._port("s_axil_awaddr")), lite.ar.payload.eq(self._port("s_axil_araddr"))]
        m.d.comb += self._port("s_axil_bresp").eq(lite.b.payload)
        for channel, stream, out in (("aw", lite.aw, False), ("ar", lite.ar, False), ("b", lite.b, True)):
            self._handshake(m, f"s_axil_{channel}", stream, out)
        self._channel(m, "s_axil_w", lite.w, out=False)
        self._channel(m, "s_axil_r", lite.r, out=True)

        m.d.comb += self.irq.eq(command.irq)
        for r, trace in enumerate(command.trace):
            self._trace(m, trace_name(Unit.COMMAND, r), trace)
        return m

    def _core(self, m: Module, c: int, core: Any, command: Command) -> None:
        """Connect core c to its launches, registers and traces."""
        wiring.connect(m, command.launch[c], core.launch)
        page = command.core[c]
        m.d.comb += [
            core.semaphore_select.eq(page.semaphore_select),
            core.counter_select.eq(page.counter_select),
        ]
        m.d.comb += [getattr(page, r.name).eq(getattr(core, r.name)) for r in CORE.table if r.access == "ro"]
        for unit in UNITS:
            self._trace(m, trace_name(unit, c), getattr(core, f"trace_{unit.name.lower()}"))

    def _trace(self, m: Module, name: str, trace: Any) -> None:
        m.d.comb += [self._port(f"{name}_{each}").eq(getattr(trace, each)) for each in Trace.members]

    def _join(self, m: Module, cores: list[Any], read: Any, write: Any) -> None:
        """What cores share: the aperture, their network and barriers."""
        m.submodules.aperture = aperture = Aperture(self.config, id_bits=id_bits(self.config))
        m.submodules.peers = peers = PeerNetwork(self.config)
        wiring.connect(m, read, aperture.read)
        wiring.connect(m, write, aperture.write)
        arrived = Cat(core.barrier for core in cores)
        for c, core in enumerate(cores):
            wiring.connect(m, core.peers, peers.i[c])
            wiring.connect(m, peers.o[c], core.message)
            wiring.connect(m, aperture.l1_read[c], core.remote_read)
            wiring.connect(m, aperture.l1_write[c], core.remote_write)
            team = core.launch.team[: len(cores)]
            m.d.comb += [
                core.own.eq(1 << c),
                core.peers_idle.eq(peers.idle[c]),
                core.released.eq(~(team & ~arrived).any()),
            ]

    def _drams(self, m: Module, command: Command, reads: ReadCrossbar, writes: WriteCrossbar) -> None:
        """A DRAM controller behind each channel of the crossbar."""
        mapping = AddressMap(memory=self.config.memory, channels=self.config.channels)
        for channel in range(self.config.drams):
            controller = Shared(
                Controller(self.config, mapping, id_bits=id_bits(self.config)), name="gemel_memory_controller"
            )
            m.submodules[f"memory_{channel}"] = controller
            wiring.connect(m, reads.o[channel], controller.read)
            wiring.connect(m, writes.o[channel], controller.write)
            wiring.connect(m, controller.dfi, wiring.flipped(getattr(self, f"dfi{channel}")))
            page = command.channel[channel]
            m.d.comb += [getattr(page, name).eq(getattr(controller, name)) for name in COUNTS]
            m.d.comb += [
                self.memory_taken[channel].eq(controller.taken),
                self.memory_stored[channel].eq(controller.stored),
            ]

    def _memory_port(self, m: Module, port: int, read: Any, write: Any) -> None:
        for channel, stream, out in (
            ("ar", read.ar, True),
            ("r", read.r, False),
            ("aw", write.aw, True),
            ("w", write.w, True),
            ("b", write.b, False),
        ):
            self._channel(m, f"m_axi{port}_{channel}", stream, out)
        for channel in ("ar", "aw"):
            m.d.comb += self._port(f"m_axi{port}_{channel}size").eq(BEAT_SIZE)
            m.d.comb += self._port(f"m_axi{port}_{channel}burst").eq(INCR)

    def _port(self, name: str) -> Signal:
        return getattr(self, name)

    def _handshake(self, m: Module, prefix: str, stream: Any, out: bool) -> None:
        valid, ready = self._port(f"{prefix}valid"), self._port(f"{prefix}ready")
        if out:
            m.d.comb += [valid.eq(stream.valid), stream.ready.eq(ready)]
        else:
            m.d.comb += [stream.valid.eq(valid), ready.eq(stream.ready)]

    def _channel(self, m: Module, prefix: str, stream: Any, out: bool) -> None:
        """Connect a stream of a struct to the ports of one channel."""
        self._handshake(m, prefix, stream, out)
        for name, _ in stream.payload.shape():
            port, field = self._port(f"{prefix}{name}"), stream.payload[name]
            m.d.comb += port.eq(field) if out else field.eq(port)
