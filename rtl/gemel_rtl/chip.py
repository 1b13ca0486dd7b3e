"""The chip: command processor, registers, core and arbiters behind one AXI4 port and one AXI4-Lite port."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.registers import ADDRESS_BITS, BLOCKS, CORE, ID_VALUE, VERSION
from gemel_rtl.command.processor import CommandProcessor
from gemel_rtl.command.registers import RegisterFile
from gemel_rtl.core import Core
from gemel_rtl.interfaces import AXI_DATA_BITS, PC_BITS
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter
from gemel_rtl.sequencer.decode import UNITS

__all__ = ["ID_BITS", "READ_IDS", "WRITE_IDS", "Chip"]

ID_BITS = 2
READ_IDS = ("command", "fetch", "load")
"""Who has which ARID."""
WRITE_IDS = ("command", "store")
"""Who has which AWID."""
BEAT_SIZE = WORD.bit_length() - 1
INCR = 1


def _axi(config: ChipConfig, port: int) -> dict[str, wiring.Member]:
    """An AXI4 manager port by its standard names."""
    address = config.mem_address_bits
    widths = {
        "aw": {"id": ID_BITS, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "w": {"data": AXI_DATA_BITS, "strb": WORD, "last": 1, "valid": 1, "ready": 1},
        "b": {"id": ID_BITS, "resp": 2, "valid": 1, "ready": 1},
        "ar": {"id": ID_BITS, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "r": {"id": ID_BITS, "data": AXI_DATA_BITS, "resp": 2, "last": 1, "valid": 1, "ready": 1},
    }
    return _flat(f"m_axi{port}", widths, inward=("b", "r"))


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
    """One core behind a command ring: `gemel_golden.chip.GoldenChip`.

    Parameters: config.
    Members: `m_axi<i>_*`: AXI4, 64-byte beats, INCR bursts within 4 KB, IDs by `READ_IDS` and `WRITE_IDS`; `s_axil_*`:
    the registers; `irq`; `trace_<unit>_start`, `_pc`, `_stop`, `_stop_pc`: timelines (see `gemel_rtl.core.Trace`).
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        traces = {"start": 1, "pc": PC_BITS, "stop": 1, "stop_pc": PC_BITS}
        super().__init__(
            _axi(config, 0)
            | _axi_lite()
            | {"irq": Out(1)}
            | {f"trace_{u.name.lower()}_{name}": Out(width) for u in UNITS for name, width in traces.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.command = command = CommandProcessor(self.config, id_bits=ID_BITS)
        m.submodules.registers = registers = RegisterFile(dict.fromkeys(BLOCKS, 1))
        m.submodules.core = core = Core(self.config, id_bits=ID_BITS)
        m.submodules.reads = reads = ReadArbiter(self.config, len(READ_IDS), id_bits=ID_BITS)
        m.submodules.writes = writes = WriteArbiter(self.config, len(WRITE_IDS), id_bits=ID_BITS)
        wiring.connect(m, command.launch, core.launch)
        readers = {"command": command.read, "fetch": core.fetch_bus, "load": core.load_bus}
        writers = {"command": command.write, "store": core.store_bus}
        for i, name in enumerate(READ_IDS):
            wiring.connect(m, readers[name], reads.i[i])
        for i, name in enumerate(WRITE_IDS):
            wiring.connect(m, writers[name], writes.i[i])

        self._memory_port(m, 0, reads.o, writes.o)
        lite = registers.bus
        m.d.comb += [lite.aw.payload.eq(self._port("s_axil_awaddr")), lite.ar.payload.eq(self._port("s_axil_araddr"))]
        m.d.comb += self._port("s_axil_bresp").eq(lite.b.payload)
        for channel, stream, out in (("aw", lite.aw, False), ("ar", lite.ar, False), ("b", lite.b, True)):
            self._handshake(m, f"s_axil_{channel}", stream, out)
        self._channel(m, "s_axil_w", lite.w, out=False)
        self._channel(m, "s_axil_r", lite.r, out=True)

        for unit in UNITS:
            trace = getattr(core, f"trace_{unit.name.lower()}")
            for name in trace.signature.members:
                m.d.comb += self._port(f"trace_{unit.name.lower()}_{name}").eq(getattr(trace, name))
        self._registers(m, registers, command, core)
        return m

    def _registers(self, m: Module, registers: Any, command: CommandProcessor, core: Core) -> None:
        """Each register's value or use."""
        clock = Signal(64)
        m.d.sync += clock.eq(clock + 1)
        chip, ring, page = registers.chip[0], registers.ring[0], registers.core[0]
        m.d.comb += [
            command.enable.eq(ring.control[0]),
            command.ring_base.eq(Cat(ring.base_lo, ring.base_hi)),
            command.ring_size.eq(ring.size),
            command.ring_write.eq(ring.write),
            command.fault_clear.eq(ring.fault_clear),
            command.clock.eq(clock),
            core.semaphore_select.eq(page.semaphore_select),
            chip.irq_status_set.eq(command.interrupt | command.faulted << 16),
        ]
        m.d.sync += self.irq.eq((chip.irq_status & chip.irq_enable).any())
        m.d.comb += [
            chip.id.eq(ID_VALUE),
            chip.version.eq(VERSION),
            chip.array.eq(self.config.rows | self.config.cols << 8),
            chip.l1_bytes.eq(self.config.l1_bytes),
            chip.cores.eq(1),
            chip.rings.eq(1),
            Cat(chip.cycles_lo, chip.cycles_hi).eq(clock),
            ring.status.eq(Cat(command.busy, command.running, command.fault.code != 0, command.waiting)),
            ring.read.eq(command.ring_read),
            ring.fault_code.eq(command.fault.code),
            ring.fault_unit.eq(command.fault.unit),
            ring.fault_pc.eq(command.fault.pc),
            Cat(ring.fault_address_lo, ring.fault_address_hi).eq(command.fault.address),
        ]
        m.d.comb += [getattr(page, r.name).eq(getattr(core, r.name)) for r in CORE.table if r.access == "ro"]

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
