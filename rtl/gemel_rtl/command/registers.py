"""The AXI4-Lite register file, generated from the register table."""

from collections.abc import Iterator, Mapping
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.registers import ADDRESS_BITS, BLOCKS, COPY_COUNTS, Block, Register

__all__ = ["HELD", "AxiLite", "RegisterFile", "page"]

HELD = {f"{name}_hi": f"{name}_lo" for name in ("cycles", "counter", *COPY_COUNTS)}
"""Registers whose value is held by reading another one of their block."""

AxiLite = wiring.Signature(
    {
        "aw": Out(stream.Signature(ADDRESS_BITS)),
        "w": Out(stream.Signature(data.StructLayout({"data": 32, "strb": 4}))),
        "b": In(stream.Signature(2)),
        "ar": Out(stream.Signature(ADDRESS_BITS)),
        "r": In(stream.Signature(data.StructLayout({"data": 32, "resp": 2}))),
    }
)
"""Manager side of AXI4-Lite with 32 bits of data."""


def page(block: Block) -> wiring.Signature:
    """The register file's side of a block, by the registers' names: "ro", its value is an input; "rw", an output;
    "w1c", an output, and `<name>_set`, an input, sets bits (a bit set and cleared at once is set); "wo", an output that
    holds what is written, for the cycle of the write; 0 otherwise.
    """
    members: dict[str, wiring.Member] = {}
    for register in block.table:
        match register.access:
            case "ro":
                members[register.name] = In(32)
            case "rw":
                members[register.name] = Out(32)
            case "w1c":
                members[register.name] = Out(32)
                members[f"{register.name}_set"] = In(32)
            case "wo":
                members[register.name] = Out(32)
            case other:
                raise ValueError(f"register {register.name}: no access {other!r}")
    return wiring.Signature(members)


class RegisterFile(wiring.Component):
    """One access at a time in each direction; every access is answered OKAY. Unknown registers read 0, ignore writes.

    Parameters: counts: how often the chip has each block, by its name.
    Members: `bus`; `<block>`: an array of `page`s.
    """

    def __init__(self, counts: Mapping[str, int]):
        self.counts = dict(counts)
        pages = {name: Out(page(block)).array(self.counts[name]) for name, block in BLOCKS.items()}
        super().__init__({"bus": In(AxiLite)} | pages)

    def _all(self) -> Iterator[tuple[Any, Block, int, Register]]:
        """Every register with the page that it belongs to, its block and the block's number."""
        for name, block in BLOCKS.items():
            for index, members in enumerate(getattr(self, name)):
                for register in block.table:
                    yield members, block, index, register

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bus = self.bus

        # Write: address and data in any order, then the answer.
        write = Signal()
        mask = Signal(32)
        m.d.comb += [
            write.eq(bus.aw.valid & bus.w.valid & ~bus.b.valid),
            bus.aw.ready.eq(write),
            bus.w.ready.eq(write),
        ]
        for byte in range(4):
            m.d.comb += mask[8 * byte : 8 * byte + 8].eq(bus.w.payload.strb[byte].replicate(8))
        with m.If(bus.b.ready):
            m.d.sync += bus.b.valid.eq(0)
        with m.If(write):
            m.d.sync += bus.b.valid.eq(1)

        # Read.
        read = Signal()
        m.d.comb += [read.eq(bus.ar.valid & ~bus.r.valid), bus.ar.ready.eq(read)]
        with m.If(bus.r.ready):
            m.d.sync += bus.r.valid.eq(0)
        with m.If(read):
            m.d.sync += [bus.r.valid.eq(1), bus.r.payload.data.eq(0)]

        held: dict[tuple[str, int, str], Signal] = {}
        for members, block, index, register in self._all():
            value = getattr(members, register.name)
            name = f"{block.name}_{index}_{register.name}"
            if register.name in HELD:
                held[block.name, index, register.name] = Signal(32, name=f"held_{name}", reset_less=True)
            written = Signal(name=f"write_{name}")
            if register.access != "ro":
                place = block.address(register.name, index) >> 2
                m.d.comb += written.eq(write & (bus.aw.payload[2:] == place))
            match register.access:
                case "rw":
                    with m.If(written):
                        m.d.sync += value.eq((value & ~mask) | (bus.w.payload.data & mask))
                case "w1c":
                    cleared = Signal(32, name=f"cleared_{name}")
                    m.d.comb += cleared.eq(written.replicate(32) & bus.w.payload.data & mask)
                    m.d.sync += value.eq((value & ~cleared) | getattr(members, f"{register.name}_set"))
                case "wo":
                    m.d.comb += value.eq(written.replicate(32) & bus.w.payload.data & mask)
        with m.If(read), m.Switch(bus.ar.payload[2:]):
            for members, block, index, register in self._all():
                if register.access == "wo":
                    continue
                with m.Case(block.address(register.name, index) >> 2):
                    value = getattr(members, register.name)
                    m.d.sync += bus.r.payload.data.eq(held.get((block.name, index, register.name), value))
                    for high, low in HELD.items():
                        if low == register.name:
                            m.d.sync += held[block.name, index, high].eq(getattr(members, high))
        return m
