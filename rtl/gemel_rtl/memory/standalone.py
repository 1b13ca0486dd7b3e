"""A DRAM controller by itself, its AXI4 port by the standard's names: for benches and tests of memory alone."""

from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_golden.memory.address_map import AddressMap
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.memory.controller import COUNTS, SCRUB_INTERVAL, Controller
from gemel_rtl.memory.layouts import dfi

__all__ = ["STANDALONE", "Standalone"]

STANDALONE = "gemel_memory"
"""Name of the Verilog module."""


class Standalone(wiring.Component):
    """`Controller` as the only channel of its memory, with 64-byte beats and INCR bursts.

    Parameters: config, mapping, id_bits, scrub_interval.
    Members: `s_axi_*`: AXI4 subordinate; `dfi_*`; `dirty`; `count_*`: the counters.
    """

    def __init__(
        self, config: ChipConfig, mapping: AddressMap, *, id_bits: int = 6, scrub_interval: int = SCRUB_INTERVAL
    ):
        self.config, self.mapping, self.id_bits, self.scrub_interval = config, mapping, id_bits, scrub_interval
        address = {"id": id_bits, "addr": config.mem_address_bits, "len": 8, "size": 3, "burst": 2}
        self.channels = {
            "ar": address,
            "r": {"id": id_bits, "data": AXI_DATA_BITS, "resp": 2, "last": 1},
            "aw": address,
            "w": {"data": AXI_DATA_BITS, "strb": WORD, "last": 1},
            "b": {"id": id_bits, "resp": 2},
        }
        members: dict[str, wiring.Member] = {}
        for channel, names in self.channels.items():
            ours, theirs = (Out, In) if channel in "rb" else (In, Out)
            members |= {f"s_axi_{channel}{name}": ours(width) for name, width in names.items()}
            members |= {f"s_axi_{channel}valid": ours(1), f"s_axi_{channel}ready": theirs(1)}
        super().__init__(
            members
            | {"dfi": Out(dfi(mapping.dram)), "dirty": Out(1)}
            | {f"count_{name}": Out(width) for name, width in COUNTS.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.controller = controller = Controller(
            self.config, self.mapping, id_bits=self.id_bits, scrub_interval=self.scrub_interval
        )
        wiring.connect(m, controller.dfi, wiring.flipped(self.dfi))
        m.d.comb += self.dirty.eq(controller.dirty)
        m.d.comb += [getattr(self, f"count_{name}").eq(getattr(controller, name)) for name in COUNTS]
        for channel in self.channels:
            stream = getattr(controller.read if channel in ("ar", "r") else controller.write, channel)
            valid, ready = (getattr(self, f"s_axi_{channel}{name}") for name in ("valid", "ready"))
            out = channel in "rb"
            m.d.comb += (
                [valid.eq(stream.valid), stream.ready.eq(ready)]
                if out
                else [
                    stream.valid.eq(valid),
                    ready.eq(stream.ready),
                ]
            )
            for name, _ in stream.payload.shape():
                port, field = getattr(self, f"s_axi_{channel}{name}"), stream.payload[name]
                m.d.comb += port.eq(field) if out else field.eq(port)
        return m
