"""One lane of the vector core: its vector registers, its arithmetic unit and the conversion of what it loads."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gemel_golden.vector_isa import VECTORS
from gemel_rtl.numeric.lane import LaneAlu
from gemel_rtl.numeric.widen import Widener

__all__ = ["Lane", "Modifiers"]

REGISTER = VECTORS.bit_length() - 1
READS = ("a", "b", "c", "store", "random")


class Modifiers(data.Struct):
    """What is done to the operands before the operation, and which of them are scalars."""

    abs_a: 1
    neg_a: 1
    abs_b: 1
    neg_b: 1
    neg_c: 1
    scalar_b: 1
    scalar_c: 1


class Lane(wiring.Component):
    """32 registers of 32 bits with five reads and three writes a cycle, an arithmetic unit and a widener.

    Registers are read in the cycle of `read` or `read_store` and are on `raw_a`, and on `value` and `random`, from the
    next one on. An operation begins in the cycle of `valid`, with `a` (the permuted `raw_a`, or a scalar) and the
    registers b and c read in the cycle before. What is written in a cycle is read from the next cycle on.

    Attributes
    ----------
    latency : cycles from `valid` to the cycle of the result's write

    Members
    -------
    read, at_a, at_b, at_c : In, read the operation's registers
    read_store, at_store, at_random : In, read a store's
    peek : Out(32), register `at_store` in this cycle
    raw_a, value, random : Out(32)
    valid, op, modifiers, a, scalar_b, scalar_c : In, begin an operation
    operand : Out(32), a with its modifiers, for the functions
    write, rd : In, write the operation's result; flag : Out, a comparison's result in that cycle
    function_write, function_rd, function : In, write another unit's result
    load_write, load_rd, load_keep, load_format, load : In, widen `load` and write it, or zero where not `load_keep`
    """

    latency = LaneAlu.latency

    def __init__(self) -> None:
        super().__init__(
            {
                "read": In(1),
                "read_store": In(1),
                **{f"at_{name}": In(REGISTER) for name in READS},
                "peek": Out(32),
                "raw_a": Out(32),
                "value": Out(32),
                "random": Out(32),
                "valid": In(1),
                "op": In(5),
                "modifiers": In(Modifiers),
                "a": In(32),
                "scalar_b": In(32),
                "scalar_c": In(32),
                "operand": Out(32),
                "write": In(1),
                "rd": In(REGISTER),
                "flag": Out(1),
                "function_write": In(1),
                "function_rd": In(REGISTER),
                "function": In(32),
                "load_write": In(1),
                "load_rd": In(REGISTER),
                "load_keep": In(1),
                "load_format": In(4),
                "load": In(32),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = registers = Memory(shape=32, depth=VECTORS, init=[])
        m.submodules.alu = alu = LaneAlu()
        m.submodules.widener = widener = Widener()

        reads: dict[str, Value] = {}
        for name in READS:
            port = registers.read_port(domain="comb")
            m.d.comb += port.addr.eq(getattr(self, f"at_{name}"))
            reads[name] = port.data
        held_b, held_c = (Signal(32, name=f"held_{name}", reset_less=True) for name in "bc")
        with m.If(self.read):
            m.d.sync += [self.raw_a.eq(reads["a"]), held_b.eq(reads["b"]), held_c.eq(reads["c"])]
        with m.If(self.read_store):
            m.d.sync += [self.value.eq(reads["store"]), self.random.eq(reads["random"])]
        m.d.comb += self.peek.eq(reads["store"])

        mod = self.modifiers
        m.d.comb += [
            self.operand.eq(Cat(self.a[:31], (self.a[31] & ~mod.abs_a) ^ mod.neg_a)),
            alu.valid.eq(self.valid),
            alu.op.eq(self.op),
            alu.a.eq(self.operand),
        ]
        b, c = Signal(32), Signal(32)
        m.d.comb += [
            b.eq(Mux(mod.scalar_b, self.scalar_b, held_b)),
            c.eq(Mux(mod.scalar_c, self.scalar_c, held_c)),
            alu.b.eq(Cat(b[:31], (b[31] & ~mod.abs_b) ^ mod.neg_b)),
            alu.c.eq(Cat(c[:31], c[31] ^ mod.neg_c)),
            self.flag.eq(alu.o_flag),
            widener.enable.eq(self.load_write),
            widener.i.eq(self.load),
            widener.fmt.eq(self.load_format),
        ]
        loaded = Mux(self.load_keep, widener.o, 0)
        for enable, at, value in (
            (self.write, self.rd, alu.o),
            (self.function_write, self.function_rd, self.function),
            (self.load_write, self.load_rd, loaded),
        ):
            port = registers.write_port()
            m.d.comb += [port.en.eq(enable), port.addr.eq(at), port.data.eq(value)]
        return m
