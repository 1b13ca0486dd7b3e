"""The decoder: what an instruction is, and whether the table allows it."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import INSTRUCTION_BYTES, INSTRUCTIONS, Opcode, Unit
from gemel_rtl.sequencer.legality import any_of, illegal_field, is_kind

__all__ = ["UNITS", "Decode"]

UNITS: tuple[Unit, ...] = tuple(
    unit for unit in Unit if unit != Unit.SEQUENCER and any(i.unit == unit for i in INSTRUCTIONS.values())
)
"""The units that have a queue, in the order of their numbers."""


class Decode(wiring.Component):
    """Combinational: one instruction's opcode, unit and legality (`gemel_golden.isa.Instruction.check`).

    Members: `bits`; `known`: the table has the opcode; `illegal`: a field or reserved bit isn't as the table says;
    `is_<opcode>` for the sequencer's own; `units`: bit i for `UNITS[i]`'s instructions; `slots`: bit s if slot s
    holds an address.
    """

    def __init__(self) -> None:
        self.own = tuple(i.opcode for i in INSTRUCTIONS.values() if i.unit == Unit.SEQUENCER)
        super().__init__(
            {
                "bits": In(8 * INSTRUCTION_BYTES),
                "known": Out(1),
                "illegal": Out(1),
                "units": Out(len(UNITS)),
                "slots": Out(6),
            }
            | {f"is_{opcode.name.lower()}": Out(1) for opcode in self.own}
        )

    def is_own(self, opcode: Opcode) -> Signal:
        """The output that says that `bits` is this instruction of the sequencer's."""
        return getattr(self, f"is_{opcode.name.lower()}")

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        found = is_kind(m, self.bits[:8], INSTRUCTIONS)
        fields = {int(opcode): row.all_fields for opcode, row in INSTRUCTIONS.items()}
        m.d.comb += [
            self.known.eq(any_of(found.values())),
            self.illegal.eq(illegal_field(m, self.bits, found, fields)),
        ]
        for opcode, row in INSTRUCTIONS.items():
            with m.If(found[opcode]):
                m.d.comb += self.slots.eq(sum(1 << address.slot for address in row.addresses))
                if row.unit == Unit.SEQUENCER:
                    m.d.comb += self.is_own(opcode).eq(1)
                else:
                    m.d.comb += self.units.eq(1 << UNITS.index(row.unit))
        return m
