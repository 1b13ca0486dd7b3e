"""The scalar side of the vector core: scalar registers, the control slot's arithmetic, address registers."""

from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.vector_isa import ADDRESS_REGISTERS, PHILOX, SCALAR_OPERAND, SCALARS, Control
from gemel_rtl.vector.layouts import BUNDLE_BITS, VECTOR_FIELDS, Access, fields_of

__all__ = ["Scalars"]

OPERANDS = ("a", "b", "c")
ARGUMENTS = 9


class AddressRegister(data.Struct):
    """`gemel_golden.vector_memory.AddressRegister`."""

    base: 32
    pitch: 16
    tile: 1
    row: 16
    column: 16
    row_step: 16
    column_step: 16


class Scalars(wiring.Component):
    """Executes a bundle's control slot and steps its address registers, in the cycle of `issue`.

    Members
    -------
    start : In, fills scalar registers 1 to 9 from `arguments` (a VECTOR's 512 bits) and zeroes the others
    bits : In, the bundle; issue : In, it is executed in this cycle
    element : In(32), element 0 of the vector register that READ names
    operand_a, operand_b, operand_c : Out(32), the scalars that the arithmetic slot's operands name
    philox : Out(128), the four scalars from operand b on
    first : Out(32), scalar `sa` + `imm`: the count of a loop or predicate
    load, store : Out(Access), the bundle's accesses without their masks
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "arguments": In(512),
                "bits": In(BUNDLE_BITS),
                "issue": In(1),
                "element": In(32),
                **{f"operand_{name}": Out(32) for name in OPERANDS},
                "philox": Out(128),
                "first": Out(32),
                "load": Out(Access),
                "store": Out(Access),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        f = fields_of(self.bits)
        registers = [Signal(32, name=f"s{i}", reset_less=True) for i in range(1, SCALARS)]
        readable = Array([C(0, 32), *registers])
        for name in OPERANDS:
            m.d.comb += getattr(self, f"operand_{name}").eq(readable[f[name][: SCALARS.bit_length() - 1]])
        with m.If(f["op"] == PHILOX):
            m.d.comb += self.philox.eq(Cat(readable[(f["b"] - SCALAR_OPERAND + i)[:4]] for i in range(4)))

        a, b, second, result = Signal(32), Signal(32), Signal(32), Signal(32)
        writes = Signal()
        m.d.comb += [
            a.eq(readable[f["sa"]]),
            b.eq(readable[f["sb"]]),
            second.eq(b + f["imm"]),
            self.first.eq(a + f["imm"]),
        ]
        results: dict[Control, Value] = {
            Control.ADD: a + second,
            Control.SUB: a - second,
            Control.AND: a & second,
            Control.SHL: (a << second[:5])[:32],
            Control.SHR: a >> second[:5],
            Control.READ: self.element,
        }
        with m.Switch(f["control"]):
            for control, value in results.items():
                with m.Case(control):
                    m.d.comb += [result.eq(value), writes.eq(self.issue)]
        for i, register in enumerate(registers, 1):
            with m.If(writes & (f["d"] == i)):
                m.d.sync += register.eq(result)
            with m.If(self.start):
                field = VECTOR_FIELDS.get(f"x{i}")
                given = self.arguments[field.lsb : field.lsb + field.width] if field else 0
                m.d.sync += register.eq(given)
        self._addresses(m, f, a, b)
        return m

    def _addresses(self, m: Module, f: dict[str, Value], a: Value, b: Value) -> None:
        registers = [Signal(AddressRegister, name=f"a{i}", reset_less=True) for i in range(ADDRESS_REGISTERS)]
        low, high = f["imm"][:16], f["imm"][16:]
        row, column, pitch = Signal(16), Signal(16), Signal(16)
        m.d.comb += [row.eq(a + low), column.eq(b + high), pitch.eq(b + f["imm2"])]
        for slot, access in (("ld", self.load), ("st", self.store)):
            chosen = Signal(AddressRegister, name=f"{slot}_register")
            m.d.comb += chosen.eq(Array([r.as_value() for r in registers])[f[f"{slot}_addr"]])
            m.d.comb += [
                access.base.eq(chosen.base),
                access.pitch.eq(chosen.pitch),
                access.tile.eq(chosen.tile),
                access.row.eq(chosen.row + f[f"{slot}_row"]),
                access.column.eq(chosen.column + f[f"{slot}_col"]),
                access.fmt.eq(f[f"{slot}_format"]),
                access.element.eq(f[f"{slot}_element"]),
            ]
        with m.If(self.issue):
            for i, register in enumerate(registers):
                # Of several changes in one bundle the control slot's wins.
                steps = Cat(
                    f[f"{slot}_en"] & f[f"{slot}_post"] & (f[f"{slot}_addr"] == i) for slot in ("ld", "st")
                ).any()
                with m.If(steps):
                    m.d.sync += [
                        register.row.eq(register.row + register.row_step),
                        register.column.eq(register.column + register.column_step),
                    ]
                with m.If(f["d"][:3] == i), m.Switch(f["control"]):
                    with m.Case(Control.ADDRESS):
                        m.d.sync += [
                            register.base.eq(self.first),
                            register.pitch.eq(pitch),
                            register.tile.eq(f["flag"]),
                            register.row.eq(0),
                            register.column.eq(0),
                            register.row_step.eq(0),
                            register.column_step.eq(0),
                        ]
                    with m.Case(Control.STEP):
                        m.d.sync += [register.row_step.eq(low), register.column_step.eq(high)]
                        with m.If(steps):
                            m.d.sync += [register.row.eq(register.row), register.column.eq(register.column)]
                    with m.Case(Control.MOVE):
                        m.d.sync += [
                            register.row.eq(Mux(f["flag"], register.row, 0) + row),
                            register.column.eq(Mux(f["flag"], register.column, 0) + column),
                        ]
