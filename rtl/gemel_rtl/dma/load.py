"""The LOAD unit."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_read, l1_write_port

__all__ = ["LoadUnit"]


class LoadUnit(wiring.Component):
    """Copies rows between memory and L1 (`gemel_golden.dma.load`)."""

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_write_port(config)),
                "bus": Out(axi_read(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
        )

    def elaborate(self, platform) -> Module:
        return Module()
