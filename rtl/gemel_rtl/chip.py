"""The chip: command processor, registers, core and arbiters behind one AXI4 port and one AXI4-Lite port."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.isa import Unit
from gemel_golden.registers import ID_VALUE, VERSION
from gemel_rtl.command.processor import CommandProcessor
from gemel_rtl.command.registers import ADDRESS_BITS, RegisterFile
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


def _axi(config: ChipConfig) -> dict[str, wiring.Member]:
    """The AXI4 manager port by its standard names."""
    address = config.mem_address_bits
    widths = {
        "aw": {"id": ID_BITS, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "w": {"data": AXI_DATA_BITS, "strb": WORD, "last": 1, "valid": 1, "ready": 1},
        "b": {"id": ID_BITS, "resp": 2, "valid": 1, "ready": 1},
        "ar": {"id": ID_BITS, "addr": address, "len": 8, "size": 3, "burst": 2, "valid": 1, "ready": 1},
        "r": {"id": ID_BITS, "data": AXI_DATA_BITS, "resp": 2, "last": 1, "valid": 1, "ready": 1},
    }
    return _flat("m_axi", widths, inward=("b", "r"))


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
    Members: `m_axi_*`: AXI4, 64-byte beats, INCR bursts within 4 KB, IDs by `READ_IDS` and `WRITE_IDS`; `s_axil_*`:
    the registers; `irq`; `trace_<unit>_start`, `_pc`, `_stop`, `_stop_pc`: timelines (see `gemel_rtl.core.Trace`).
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        traces = {"start": 1, "pc": PC_BITS, "stop": 1, "stop_pc": PC_BITS}
        super().__init__(
            _axi(config)
            | _axi_lite()
            | {"irq": Out(1)}
            | {f"trace_{u.name.lower()}_{name}": Out(width) for u in UNITS for name, width in traces.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.command = command = CommandProcessor(self.config, id_bits=ID_BITS)
        m.submodules.registers = registers = RegisterFile()
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

        self._channel(m, "m_axi_ar", reads.o.ar, out=True)
        self._channel(m, "m_axi_r", reads.o.r, out=False)
        self._channel(m, "m_axi_aw", writes.o.aw, out=True)
        self._channel(m, "m_axi_w", writes.o.w, out=True)
        self._channel(m, "m_axi_b", writes.o.b, out=False)
        for channel in ("ar", "aw"):
            m.d.comb += [self._port(f"m_axi_{channel}size").eq(BEAT_SIZE), self._port(f"m_axi_{channel}burst").eq(INCR)]
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
        m.d.comb += [
            command.enable.eq(registers.control[0]),
            command.ring_base.eq(Cat(registers.ring_base_lo, registers.ring_base_hi)),
            command.ring_size.eq(registers.ring_size),
            command.ring_write.eq(registers.ring_write),
            command.fault_clear.eq(registers.fault_clear),
            command.clock.eq(clock),
            core.semaphore_select.eq(registers.semaphore_select),
            registers.irq_status_set.eq(Cat(command.interrupt, command.faulted)),
        ]
        m.d.sync += self.irq.eq((registers.irq_status & registers.irq_enable).any())
        busy = [core.busy[unit] for unit in (Unit.LOAD, Unit.TENSOR, Unit.STORE)]
        vector_busy = core.busy[Unit.VECTOR]
        values: dict[str, Any] = {
            "id": ID_VALUE,
            "version": VERSION,
            "array": self.config.rows | self.config.cols << 8 | 1 << 16,
            "l1_bytes": self.config.l1_bytes,
            "status": Cat(command.busy, command.running, command.fault.code != 0, *busy, command.waiting, vector_busy),
            "ring_read": command.ring_read,
            "fault_code": command.fault.code,
            "fault_unit": command.fault.unit,
            "fault_pc": command.fault.pc,
            "fault_address_lo": command.fault.address[:32],
            "fault_address_hi": command.fault.address[32:],
            "cycles_lo": clock[:32],
            "cycles_hi": clock[32:],
        }
        for name, member in registers.signature.members.items():
            if name not in values and member.flow == In and member.is_port and not name.endswith("_set"):
                values[name] = getattr(core, name)
        m.d.comb += [getattr(registers, name).eq(value) for name, value in values.items()]

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
