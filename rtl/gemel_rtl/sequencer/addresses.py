"""The address registers."""

from typing import Any

from amaranth.hdl import Array, C, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import REGISTERS
from gemel_rtl.launch import Argument

__all__ = ["AddressRegisters"]

WORDS = 8


class AddressRegisters(wiring.Component):
    """32 registers of 64 bits, register 0 reading zero: two are read combinationally, one is written per cycle.

    `clear` zeroes all; a beat of arguments writes eight: word w of beat b goes to register 8 b + w + 1. A read in the
    cycle of a write gives the old value.

    Members: `clear`; `argument`, `argument_valid`; `write`, `rd`, `value`; `rs1`, `rs2`, `x`, `y`.
    """

    clear: In(1)
    argument: In(Argument)
    argument_valid: In(1)
    write: In(1)
    rd: In(range(REGISTERS))
    value: In(64)
    rs1: In(range(REGISTERS))
    rs2: In(range(REGISTERS))
    x: Out(64)
    y: Out(64)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        registers = [Signal(64, name=f"x{i}", reset_less=True) for i in range(1, REGISTERS)]
        readable = Array([C(0, 64), *registers])
        m.d.comb += [self.x.eq(readable[self.rs1]), self.y.eq(readable[self.rs2])]
        with m.If(self.write):
            with m.Switch(self.rd):
                for i, register in enumerate(registers, 1):
                    with m.Case(i):
                        m.d.sync += register.eq(self.value)
        with m.If(self.argument_valid):
            with m.Switch(self.argument.beat):
                for beat in range(-(-len(registers) // WORDS)):
                    with m.Case(beat):
                        for word, register in enumerate(registers[WORDS * beat : WORDS * (beat + 1)]):
                            with m.If(self.argument.enable[word]):
                                m.d.sync += register.eq(self.argument.words[word])
        with m.If(self.clear):
            m.d.sync += [register.eq(0) for register in registers]
        return m
