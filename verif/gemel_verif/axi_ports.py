"""A crossbar behind ports with AXI4's own signal names, for models that look for these."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import WORD, ChipConfig
from gemel_rtl.interfaces import AXI_DATA_BITS
from gemel_rtl.noc.crossbar import Initiator, ReadCrossbar, WriteCrossbar

__all__ = ["CrossbarPorts"]

BEAT_SIZE = WORD.bit_length() - 1
INCR = 1


class CrossbarPorts(wiring.Component):
    """A read and a write crossbar with the same initiators: ports `s<i>_axi_*` in front, `m<i>_axi_*` behind.

    Parameters: config, initiators, id_bits.
    """

    def __init__(self, config: ChipConfig, initiators: Sequence[Initiator], *, id_bits: int = 2):
        self.config, self.initiators, self.id_bits = config, tuple(initiators), id_bits
        self.ports = [(f"s{i}_axi_", False) for i in range(len(initiators))]
        self.ports += [(f"m{i}_axi_", True) for i in range(config.channels)]
        address = {"id": id_bits, "addr": config.mem_address_bits, "len": 8, "size": 3, "burst": 2}
        channels = {
            "aw": address,
            "w": {"data": AXI_DATA_BITS, "strb": WORD, "last": 1},
            "b": {"id": id_bits, "resp": 2},
            "ar": address,
            "r": {"id": id_bits, "data": AXI_DATA_BITS, "resp": 2, "last": 1},
        }
        self.channels = channels
        members = {}
        for prefix, manager in self.ports:
            for channel, fields in channels.items():
                forward = Out if manager == (channel not in ("b", "r")) else In
                backward = In if forward is Out else Out
                members |= {f"{prefix}{channel}{name}": forward(width) for name, width in fields.items()}
                members |= {f"{prefix}{channel}valid": forward(1), f"{prefix}{channel}ready": backward(1)}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.reads = reads = ReadCrossbar(self.config, self.initiators, id_bits=self.id_bits)
        m.submodules.writes = writes = WriteCrossbar(self.config, self.initiators, id_bits=self.id_bits)
        inside = [*zip(reads.i, writes.i, strict=True), *zip(reads.o, writes.o, strict=True)]
        for (prefix, manager), (read, write) in zip(self.ports, inside, strict=True):
            for channel in self.channels:
                stream = getattr(read if channel in ("ar", "r") else write, channel)
                self._connect(m, f"{prefix}{channel}", stream, manager == (channel not in ("b", "r")))
                if manager and channel in ("ar", "aw"):
                    m.d.comb += getattr(self, f"{prefix}{channel}size").eq(BEAT_SIZE)
                    m.d.comb += getattr(self, f"{prefix}{channel}burst").eq(INCR)
        return m

    def _connect(self, m: Module, prefix: str, stream: Any, out: bool) -> None:
        valid, ready = getattr(self, f"{prefix}valid"), getattr(self, f"{prefix}ready")
        pairs = [(getattr(self, f"{prefix}{name}"), stream.payload[name]) for name, _ in stream.payload.shape()]
        if out:
            m.d.comb += [valid.eq(stream.valid), stream.ready.eq(ready)] + [port.eq(field) for port, field in pairs]
        else:
            m.d.comb += [stream.valid.eq(valid), ready.eq(stream.ready)] + [field.eq(port) for port, field in pairs]
