"""The chip's rings: a processor each, the dispatcher between them and the cores, and one bus for all."""

from typing import Any

from amaranth.hdl import DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.clock_gate import gated
from gemel_rtl.command.copier import COUNTS, Copier
from gemel_rtl.command.dispatcher import Dispatcher
from gemel_rtl.command.processor import CommandProcessor, Control, Status
from gemel_rtl.command.reader import Reader
from gemel_rtl.command.writer import Writer
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_rtl.launch import Launch

__all__ = ["Rings"]


class Rings(wiring.Component):
    """`config.rings` rings go on beside each other and share `config.cores` cores, the bus and the copy engine.

    The clocks of a ring and of the copy engine at rest are gated.

    Parameters: config; id_bits, bus_id: width and value of ARID and AWID.
    Members: `control`, `status` (arrays over rings); `clock`: what a SIGNAL's timestamp reads; `core_reset`: bit c ends
    core c's launch; `launch` (array over cores); `read`, `write`: the bus; `copy_read`,
    `copy_write`, `copy_counts`: the copy engine's.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "control": In(Control).array(config.rings),
                "status": Out(Status).array(config.rings),
                "clock": In(64),
                "core_reset": In(config.cores),
                "launch": Out(Launch).array(config.cores),
                "read": Out(axi_read(config, id_bits)),
                "write": Out(axi_write(config, id_bits)),
                "copy_read": Out(axi_read(config, id_bits)),
                "copy_write": Out(axi_write(config, id_bits)),
                "copy_counts": Out(COUNTS),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reader = reader = Reader(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        m.submodules.writer = writer = Writer(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        m.submodules.dispatcher = dispatcher = Dispatcher(self.config)
        copier = Copier(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        m.submodules.copier = DomainRenamer("copier")(copier)
        gated(m, "copier", copier.awake)
        m.d.comb += self.copy_counts.eq(copier.counts)
        wiring.connect(m, copier.read, wiring.flipped(self.copy_read))
        wiring.connect(m, copier.write, wiring.flipped(self.copy_write))
        wiring.connect(m, reader.bus, wiring.flipped(self.read))
        wiring.connect(m, writer.bus, wiring.flipped(self.write))
        m.d.comb += [writer.clock.eq(self.clock), dispatcher.reset.eq(self.core_reset)]
        for c in range(self.config.cores):
            wiring.connect(m, dispatcher.core[c], wiring.flipped(self.launch[c]))
        for r in range(self.config.rings):
            processor = CommandProcessor(self.config)
            m.submodules[f"processor_{r}"] = DomainRenamer(f"ring_{r}")(processor)
            gated(m, f"ring_{r}", processor.awake)
            wiring.connect(m, wiring.flipped(self.control[r]), processor.control)
            wiring.connect(m, processor.status, wiring.flipped(self.status[r]))
            wiring.connect(m, processor.launch, dispatcher.ring[r])
            wiring.connect(m, processor.packet, reader.packet[r])
            wiring.connect(m, processor.word, reader.word[r])
            wiring.connect(m, processor.signal, writer.word[r])
            wiring.connect(m, processor.copy, copier.copy[r])
            m.d.comb += [
                dispatcher.priority[r].eq(self.control[r].priority),
                processor.packet_valid.eq(reader.packet_valid[r]),
                processor.word_valid.eq(reader.word_valid[r]),
                processor.data.eq(reader.data),
                processor.error.eq(reader.error),
                processor.signal_done.eq(writer.done[r]),
                processor.signal_error.eq(writer.error),
                processor.copy_done.eq(copier.done[r]),
                processor.copy_code.eq(copier.code),
                processor.copy_address.eq(copier.address),
            ]
        return m
