"""The AXI4-Lite register file, generated from the register table."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.registers import REGISTERS

__all__ = ["ADDRESS_BITS", "AxiLite", "RegisterFile"]

ADDRESS_BITS = 12
HELD = {"cycles_hi": "cycles_lo"}
"""Registers whose value is held by reading another one."""

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


class RegisterFile(wiring.Component):
    """One access at a time in each direction; every access is answered OKAY. Unknown registers read 0, ignore writes.

    Members: `bus`; for a register of the table, by its name: "ro": its value is an input; "rw": an output; "w1c": an
    output, and `<name>_set`, an input, sets bits (a bit set and cleared at once is set); "wo": an output pulse per
    write.
    """

    def __init__(self) -> None:
        members: dict[str, wiring.Member] = {"bus": In(AxiLite)}
        for register in REGISTERS.values():
            match register.access:
                case "ro":
                    members[register.name] = In(32)
                case "rw":
                    members[register.name] = Out(32)
                case "w1c":
                    members[register.name] = Out(32)
                    members[f"{register.name}_set"] = In(32)
                case "wo":
                    members[register.name] = Out(1)
                case other:
                    raise ValueError(f"register {register.name}: no access {other!r}")
        super().__init__(members)

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

        held = {name: Signal(32, name=f"{name}_held", reset_less=True) for name in HELD}
        for register in REGISTERS.values():
            value = getattr(self, register.name)
            written = Signal(name=f"write_{register.name}")
            if register.access != "ro":
                m.d.comb += written.eq(write & (bus.aw.payload[2:] == register.offset >> 2))
            match register.access:
                case "rw":
                    with m.If(written):
                        m.d.sync += value.eq((value & ~mask) | (bus.w.payload.data & mask))
                case "w1c":
                    cleared = Signal(32, name=f"cleared_{register.name}")
                    m.d.comb += cleared.eq(written.replicate(32) & bus.w.payload.data & mask)
                    m.d.sync += value.eq((value & ~cleared) | getattr(self, f"{register.name}_set"))
                case "wo":
                    m.d.comb += value.eq(written)
        with m.If(read):
            with m.Switch(bus.ar.payload[2:]):
                for register in REGISTERS.values():
                    if register.access == "wo":
                        continue
                    with m.Case(register.offset >> 2):
                        shown = held.get(register.name, getattr(self, register.name))
                        m.d.sync += bus.r.payload.data.eq(shown)
                        for name, reader in HELD.items():
                            if reader == register.name:
                                m.d.sync += held[name].eq(getattr(self, name))
        return m
