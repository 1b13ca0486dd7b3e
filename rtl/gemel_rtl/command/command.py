"""The command side of the chip: registers, rings and the clock that both show."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.registers import CHANNEL, COPY_COUNTS, CORE, ID_VALUE, VERSION
from gemel_golden.windows import WINDOWS
from gemel_rtl.command.registers import AxiLite, RegisterFile, page
from gemel_rtl.command.rings import Rings
from gemel_rtl.interfaces import Trace, axi_read, axi_write
from gemel_rtl.launch import Launch

__all__ = ["Command"]

FAULTS = 16
"""Bit of irq_status at which the rings' faults begin."""


class Command(wiring.Component):
    """Rings behind registers.

    Parameters: config; id_bits, bus_id: width and value of ARID and AWID.
    Members: `bus`: the registers; `irq`; `launch` (array over cores); `core`, `channel` (arrays): the pages of
    registers of cores and of channels of DRAM; `trace` (array over rings): their packets, by `Status.packet`; `read`,
    `write`: the bus; `copy_read`, `copy_write`: the copy engine's.
    """

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.id_bits = id_bits
        self.bus_id = bus_id
        super().__init__(
            {
                "bus": In(AxiLite),
                "irq": Out(1),
                "launch": Out(Launch).array(config.cores),
                "core": Out(page(CORE)).array(config.cores),
                **({"channel": Out(page(CHANNEL)).array(config.drams)} if config.drams else {}),
                "trace": Out(Trace).array(config.rings),
                "read": Out(axi_read(config, id_bits)),
                "write": Out(axi_write(config, id_bits)),
                "copy_read": Out(axi_read(config, id_bits)),
                "copy_write": Out(axi_write(config, id_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        counts = {"chip": 1, "ring": self.config.rings, "core": self.config.cores, "channel": self.config.drams}
        m.submodules.registers = registers = RegisterFile(counts)
        m.submodules.rings = rings = Rings(self.config, id_bits=self.id_bits, bus_id=self.bus_id)
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        wiring.connect(m, rings.read, wiring.flipped(self.read))
        wiring.connect(m, rings.write, wiring.flipped(self.write))
        wiring.connect(m, rings.copy_read, wiring.flipped(self.copy_read))
        wiring.connect(m, rings.copy_write, wiring.flipped(self.copy_write))
        for c in range(self.config.cores):
            wiring.connect(m, rings.launch[c], wiring.flipped(self.launch[c]))
            wiring.connect(m, registers.core[c], wiring.flipped(self.core[c]))

        for c in range(self.config.drams):
            wiring.connect(m, registers.channel[c], wiring.flipped(self.channel[c]))

        clock = Signal(64)
        m.d.sync += clock.eq(clock + 1)
        chip = registers.chip[0]
        m.d.sync += self.irq.eq((chip.irq_status & chip.irq_enable).any())
        m.d.comb += [
            rings.clock.eq(clock),
            rings.core_reset.eq(chip.core_reset),
            chip.id.eq(ID_VALUE),
            chip.version.eq(VERSION),
            chip.array.eq(self.config.rows | self.config.cols << 8),
            chip.l1_bytes.eq(self.config.l1_bytes),
            chip.cores.eq(self.config.cores),
            chip.rings.eq(self.config.rings),
            Cat(chip.cycles_lo, chip.cycles_hi).eq(clock),
            *(
                Cat(getattr(chip, f"{name}_lo"), getattr(chip, f"{name}_hi")).eq(rings.copy_counts[name])
                for name in COPY_COUNTS
            ),
        ]
        for r in range(self.config.rings):
            ring, control, status = registers.ring[r], rings.control[r], rings.status[r]
            m.d.comb += [
                control.enable.eq(ring.control[0]),
                control.base.eq(Cat(ring.base_lo, ring.base_hi)),
                control.size.eq(ring.size),
                control.write.eq(ring.write),
                control.priority.eq(ring.priority),
                control.fault_clear.eq(ring.fault_clear[0]),
                control.watchdog.eq(ring.watchdog),
                control.windows.enforced.eq(ring.window_rights[31]),
                ring.status.eq(
                    Cat(
                        status.busy,
                        status.running,
                        status.fault.code != 0,
                        status.waiting,
                        status.queued,
                        status.copying,
                    )
                ),
                ring.read.eq(status.read),
                self.trace[r].start.eq(status.begins),
                self.trace[r].pc.eq(status.packet),
                self.trace[r].stop.eq(status.ends),
                self.trace[r].stop_pc.eq(status.packet),
                ring.fault_code.eq(status.fault.code),
                ring.fault_unit.eq(status.fault.unit),
                ring.fault_core.eq(status.fault.core),
                ring.fault_pc.eq(status.fault.pc),
                Cat(ring.fault_address_lo, ring.fault_address_hi).eq(status.fault.address),
                chip.irq_status_set[r].eq(status.interrupt),
                chip.irq_status_set[FAULTS + r].eq(status.faulted),
            ]
            for i in range(WINDOWS):
                window = control.windows.windows[i]
                m.d.comb += [
                    window.base.eq(getattr(ring, f"window{i}_base")),
                    window.limit.eq(getattr(ring, f"window{i}_limit")),
                    Cat(window.read, window.write).eq(ring.window_rights.word_select(i, 2)),
                ]
        return m
