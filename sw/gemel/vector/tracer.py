"""The part of a builder that all of its methods stand on: registers, constants, operands, and where operations go."""

from __future__ import annotations

import struct

from gemel.vector.ir import Bank, Body, Op, Reg, Slot
from gemel.vector.values import Operand, Pred, Scalar, Vec
from gemel_golden.vector_isa import Control, Permute

__all__ = ["Tracer"]

ZERO = Reg(Bank.SCALAR, "zero", fixed=0)
ALL = Reg(Bank.PREDICATE, "all", fixed=0)
ARGUMENTS = 9


def float_bits(value: float) -> int:
    """FP32 bits of the number nearest to `value`; raises ValueError when that is beyond FP32."""
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        raise ValueError(f"{value} is beyond FP32") from None


class Tracer:
    """Collects operations."""

    def __init__(self) -> None:
        self._body: Body = []
        self._open: list[Body] = [self._body]
        self._constants: dict[int, Scalar] = {}
        self._arguments: dict[int, Scalar] = {}
        self._count = 0

    def arg(self, number: int) -> Scalar:
        """Argument x1 to x9 of VECTOR."""
        if not 1 <= number <= ARGUMENTS:
            raise ValueError(f"VECTOR has arguments x1 to x{ARGUMENTS}, no x{number}")
        return self._arguments.setdefault(number, Scalar(Reg(Bank.SCALAR, f"x{number}", fixed=number)))

    def const(self, value: float) -> Scalar:
        """A constant in a scalar register: the FP32 bits of a float, or an int's 32 bits. Equal bits share one."""
        if isinstance(value, int) and not -(1 << 31) <= value < 1 << 32:
            raise ValueError(f"{value} doesn't fit 32 bits")
        bits = value & 0xFFFF_FFFF if isinstance(value, int) else float_bits(value)
        if bits == 0:
            return Scalar(ZERO)
        if bits not in self._constants:
            reg = Reg(Bank.SCALAR, f"{value:g}" if isinstance(value, float) else str(value))
            fields = {"control": Control.ADD, "imm": bits}
            outside = len(self._body) - (len(self._open) > 1)
            self._body.insert(outside, Op(Slot.CONTROL, fields, {"sa": ZERO, "sb": ZERO}, ("d", reg)))
            self._constants[bits] = Scalar(reg)
        return self._constants[bits]

    def _new(self, bank: Bank) -> Reg:
        self._count += 1
        return Reg(bank, str(self._count))

    def _emit(self, op: Op) -> None:
        self._open[-1].append(op)

    def _operand(self, value: Operand, integer: bool = False) -> Vec | Scalar:
        if isinstance(value, Vec | Scalar):
            return value
        if not isinstance(value, int | float):
            raise TypeError(f"an operand is a vector, a scalar or a number, not {value!r}")
        return self.const(int(value) if integer else float(value))

    def _scalar_field(self, value: int | Scalar) -> tuple[Reg, int]:
        """A scalar register and an immediate that is added to it."""
        if isinstance(value, int):
            return ZERO, value
        if value.negate or value.absolute:
            raise ValueError("a scalar's sign changes only as an operand of arithmetic")
        return value.reg, 0

    def _control(self, what: Control, uses: dict[str, Reg], define: tuple[str, Reg] | None, **fields: int) -> Op:
        op = Op(Slot.CONTROL, {"control": what, **fields}, uses, define)
        self._emit(op)
        return op


def predicate_use(pred: Pred | None, use: str, complement: str) -> tuple[dict[str, Reg], dict[str, int]]:
    """Uses and fields that name a predicate."""
    return ({use: pred.reg}, {complement: int(pred.complement)}) if pred else ({use: ALL}, {})


def operand_fields(letter: str, value: Vec | Scalar) -> dict[str, int]:
    """The modifier fields of operand a, b or c."""
    fields = {f"neg_{letter}": int(value.negate), f"abs_{letter}": int(value.absolute)}
    if isinstance(value, Vec) and value.permute != Permute.NONE:
        fields["permute"] = int(value.permute)
    return {name: number for name, number in fields.items() if number}
