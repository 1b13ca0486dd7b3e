"""Address resolution: register + immediate for each address slot, two slots a cycle."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import INSTRUCTION_BYTES, REGISTERS, AddressSlot

__all__ = ["SLOTS", "Resolve"]

SLOTS = tuple(AddressSlot(name=f"slot{s}", slot=s, memory=s == 0) for s in range(6))
STEPS = len(SLOTS) // 2


class Resolve(wiring.Component):
    """Step t adds slots 2 t and 2 t + 1; `resolved` is complete in the step in which `last` is high.

    `rs1` and `rs2` name the registers of the step that the next cycle is in, where `x` and `y` are to hold their
    values. While `idle`, that is step 0, which is also where SET names its two.

    Members: `bits`, `slots` (bit s: slot s holds an address), both held; `idle`, `next` (go to the next step); `rs1`,
    `rs2`, `x`, `y`; `last`; `resolved`.
    """

    bits: In(8 * INSTRUCTION_BYTES)
    slots: In(len(SLOTS))
    idle: In(1)
    next: In(1)
    rs1: Out(range(REGISTERS))
    rs2: Out(range(REGISTERS))
    x: In(64)
    y: In(64)
    last: Out(1)
    resolved: Out(8 * INSTRUCTION_BYTES)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        step = Signal(range(STEPS))
        upcoming = Signal(range(STEPS))
        immediates = [self.bits[s.imm.lsb : s.imm.lsb + s.imm.width] for s in SLOTS]
        names = [self.bits[s.register.lsb : s.register.lsb + s.register.width] for s in SLOTS]
        even = Signal(64)
        odd = Signal(32)
        even_sum = Signal(64)
        odd_sum = Signal(32)
        m.d.comb += [even_sum.eq(self.x + even), odd_sum.eq(self.y[:32] + odd), upcoming.eq(step + self.next)]
        with m.If(self.idle):
            m.d.comb += upcoming.eq(0)
        m.d.sync += step.eq(upcoming)
        for t in range(STEPS):
            with m.If(upcoming == t):
                m.d.comb += [self.rs1.eq(names[2 * t]), self.rs2.eq(names[2 * t + 1])]
            with m.If(step == t):
                m.d.comb += [
                    even.eq(immediates[2 * t]),
                    odd.eq(immediates[2 * t + 1]),
                    self.last.eq(~self.slots[2 * t + 2 :].any()),
                ]

        fields: dict[int, Any] = {}
        for slot, imm in zip(SLOTS, immediates, strict=True):
            total = (odd_sum if slot.slot % 2 else even_sum)[: len(imm)]
            if slot.slot < len(SLOTS) - 2:
                held = Signal(len(imm), name=f"held{slot.slot}", reset_less=True)
                with m.If(step == slot.slot // 2):
                    m.d.sync += held.eq(total)
                total = Mux(step == slot.slot // 2, total, held)
            fields[slot.imm.lsb] = Mux(self.slots[slot.slot], total, imm)
        parts, bit = [], 0
        for lsb, value in sorted(fields.items()):
            parts += [self.bits[bit:lsb], value]
            bit = lsb + len(value)
        m.d.comb += self.resolved.eq(Cat(*parts, self.bits[bit:]))
        return m
