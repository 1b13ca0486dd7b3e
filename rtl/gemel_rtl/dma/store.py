"""The STORE unit."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_rtl.interfaces import Issue, Semaphores, Supervision, axi_write, l1_read_port

__all__ = ["StoreUnit"]


class StoreUnit(wiring.Component):
    """Copies rows between memory and L1 (`gemel_golden.dma.store`)."""

    def __init__(self, config: ChipConfig, *, id_bits: int = 2, bus_id: int = 0):
        self.config = config
        self.bus_id = bus_id
        super().__init__(
            {
                "issue": In(Issue),
                "l1": Out(l1_read_port(config)),
                "bus": Out(axi_write(config, id_bits)),
                "semaphores": Out(Semaphores),
                "sup": Out(Supervision),
            }
        )

    def elaborate(self, platform) -> Module:
        return Module()
