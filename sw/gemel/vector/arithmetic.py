"""A builder's arithmetic: a method per operation of the arithmetic slot, and what is made of several."""

from __future__ import annotations

from collections.abc import Sequence

from gemel.vector.ir import Bank, Op, Reg, Slot
from gemel.vector.tracer import Tracer, operand_fields, predicate_use
from gemel.vector.values import Operand, Philox, Pred, Scalar, Vec
from gemel_golden.functions import Function
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import FUNCTION_BASE, IOTA, PHILOX, Control, Permute

__all__ = ["Arithmetic"]

_XOR = (Permute.XOR16, Permute.XOR8, Permute.XOR4, Permute.XOR2, Permute.XOR1)
_UP = (Permute.UP1, Permute.UP2, Permute.UP4, Permute.UP8, Permute.UP16)


class Arithmetic(Tracer):
    """Operations on vectors.

    Operands are vectors, scalars (their value in all lanes) or numbers (constants). `into` names the vector that is
    written instead of a new one; with `pred` other lanes of it stay, and `into` must be given. Signs and absolute
    values cost nothing, and a permutation costs nothing as operand a or where operands commute; elsewhere a MOV is
    inserted.
    """

    def fma(self, a: Operand, b: Operand, c: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a * b + c, rounded once."""
        return self._vector(LaneOp.FMA, (a, b, c), into, pred, commutes=True)

    def add(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a + b."""
        return self._vector(LaneOp.ADD, (a, b), into, pred, commutes=True)

    def sub(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a - b."""
        return self._vector(LaneOp.ADD, (a, -b), into, pred, commutes=True)

    def mul(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a * b."""
        return self._vector(LaneOp.MUL, (a, b), into, pred, commutes=True)

    def min(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The smaller one."""
        return self._vector(LaneOp.MIN, (a, b), into, pred, commutes=True)

    def max(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The larger one."""
        return self._vector(LaneOp.MAX, (a, b), into, pred, commutes=True)

    def mov(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a."""
        return self._vector(LaneOp.MOV, (a,), into, pred)

    def f2i(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """FP32 to INT32."""
        return self._vector(LaneOp.F2I, (a,), into, pred)

    def i2f(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """INT32 to FP32."""
        return self._vector(LaneOp.I2F, (a,), into, pred, integer=True)

    def floor(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The largest integer that isn't above a, as FP32."""
        return self._vector(LaneOp.FLOOR, (a,), into, pred)

    def iadd(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a + b modulo 2^32."""
        return self._vector(LaneOp.IADD, (a, b), into, pred, commutes=True, integer=True)

    def isub(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a - b modulo 2^32."""
        return self._vector(LaneOp.ISUB, (a, b), into, pred, integer=True)

    def imul(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a * b modulo 2^32."""
        return self._vector(LaneOp.IMUL, (a, b), into, pred, commutes=True, integer=True)

    def and_(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a & b."""
        return self._vector(LaneOp.AND, (a, b), into, pred, commutes=True, integer=True)

    def or_(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a | b."""
        return self._vector(LaneOp.OR, (a, b), into, pred, commutes=True, integer=True)

    def xor(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a ^ b."""
        return self._vector(LaneOp.XOR, (a, b), into, pred, commutes=True, integer=True)

    def shl(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a << b."""
        return self._vector(LaneOp.SHL, (a, b), into, pred, integer=True)

    def shr(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a >> b, logical."""
        return self._vector(LaneOp.SHR, (a, b), into, pred, integer=True)

    def sra(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """a >> b, arithmetic."""
        return self._vector(LaneOp.SRA, (a, b), into, pred, integer=True)

    def imin(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The smaller signed integer."""
        return self._vector(LaneOp.IMIN, (a, b), into, pred, commutes=True, integer=True)

    def imax(self, a: Operand, b: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The larger signed integer."""
        return self._vector(LaneOp.IMAX, (a, b), into, pred, commutes=True, integer=True)

    def function(self, which: Function, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """A function of `gemel_golden.functions`."""
        return self._vector(FUNCTION_BASE + which, (a,), into, pred)

    def exp2(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """2^a."""
        return self.function(Function.EXP2, a, into=into, pred=pred)

    def exp(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """e^a."""
        return self.function(Function.EXP, a, into=into, pred=pred)

    def log2(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Logarithm to base 2."""
        return self.function(Function.LOG2, a, into=into, pred=pred)

    def reciprocal(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """1 / a."""
        return self.function(Function.RECIPROCAL, a, into=into, pred=pred)

    def rsqrt(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """1 / sqrt(a)."""
        return self.function(Function.RSQRT, a, into=into, pred=pred)

    def sqrt(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Square root."""
        return self.function(Function.SQRT, a, into=into, pred=pred)

    def sin(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Sine, as `gemel_golden.functions` defines its argument."""
        return self.function(Function.SIN, a, into=into, pred=pred)

    def cos(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Cosine, as `gemel_golden.functions` defines its argument."""
        return self.function(Function.COS, a, into=into, pred=pred)

    def tanh(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Hyperbolic tangent."""
        return self.function(Function.TANH, a, into=into, pred=pred)

    def erf(self, a: Operand, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Error function."""
        return self.function(Function.ERF, a, into=into, pred=pred)

    def lt(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a < b; like all comparisons, false in lanes outside `pred`."""
        return self._compare(LaneOp.FLT, (a, b), pred, into)

    def le(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a <= b."""
        return self._compare(LaneOp.FLE, (a, b), pred, into)

    def eq(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a == b."""
        return self._compare(LaneOp.FEQ, (a, b), pred, into, commutes=True)

    def ne(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a != b."""
        return self._compare(LaneOp.FNE, (a, b), pred, into, commutes=True)

    def ilt(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a < b of signed integers."""
        return self._compare(LaneOp.ILT, (a, b), pred, into, integer=True)

    def ieq(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a == b of 32 bits."""
        return self._compare(LaneOp.IEQ, (a, b), pred, into, commutes=True, integer=True)

    def iult(self, a: Operand, b: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """a < b of unsigned integers."""
        return self._compare(LaneOp.IULT, (a, b), pred, into, integer=True)

    def is_nan(self, a: Operand, *, pred: Pred | None = None, into: Pred | None = None) -> Pred:
        """Whether a is a NaN."""
        return self._compare(LaneOp.IS_NAN, (a,), pred, into)

    def iota(self, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """The lane's number, an integer."""
        return self._vector(IOTA, (), into, pred)

    def philox(self, state: Philox, *, into: Vec | None = None, pred: Pred | None = None) -> Vec:
        """Random words of the 32 elements from the state's group of four elements on."""
        out = self._target(into, pred)
        uses, fields = predicate_use(pred, "pred", "pred_not")
        uses |= {"b": state.regs[0], "b1": state.regs[1], "b2": state.regs[2], "b3": state.regs[3]}
        self._emit(Op(Slot.ALU, {"op": PHILOX, **fields}, uses, ("rd", out.reg), merges=pred is not None))
        return out

    def select(self, pred: Pred, a: Operand, b: Operand, *, into: Vec | None = None) -> Vec:
        """a where `pred` is true, b elsewhere."""
        out = self.mov(b)
        self.mov(a, into=out, pred=pred)
        return self.mov(out, into=into) if into else out

    def combine(self, op: str, values: Sequence[Operand], *, ways: int = 1) -> Vec:
        """All values under the method `op`: chain i takes values i, i + ways, ...; then the chains pairwise."""
        if not values:
            raise ValueError("there is nothing to combine")
        method, chains = getattr(self, op), [*values[:ways]]
        for i, value in enumerate(values[ways:]):
            chains[i % ways] = method(chains[i % ways], value)
        while len(chains) > 1:
            pairs = [method(*chains[i : i + 2]) for i in range(0, len(chains) - 1, 2)]
            chains = pairs + chains[len(pairs) * 2 :]
        return self._as_vector(chains[0])

    def reduce(self, op: str, v: Vec) -> Vec:
        """The 32 lanes of v under the method `op`, in all lanes: five steps, of lanes 16, 8, 4, 2 and 1 apart."""
        for how in _XOR:
            v = self._as_vector(v)
            v = getattr(self, op)(v.permuted(how), v)
        return v

    def scan(self, op: str, v: Vec) -> Vec:
        """Lane i gets lanes 0 to i of v under the method `op`: five steps, of 1, 2, 4, 8 and 16 lanes.

        "add" and the like take a zero for lanes below 0; other operations need a MOV and a PSET more in each step.
        """
        for step, how in enumerate(_UP):
            v = self._as_vector(v)
            if op in ("add", "iadd", "or_", "xor"):
                v = getattr(self, op)(v.permuted(how), v)
            else:
                out = self.mov(v)
                v = getattr(self, op)(v.permuted(how), v, into=out, pred=~self.lanes_below(1 << step))
        return v

    def lanes_below(self, count: int | Scalar, *, into: Pred | None = None) -> Pred:
        """The first `count` lanes: none below 1, all from 32 on."""
        scalar, imm = self._scalar_field(count)
        out = into or Pred(self._new(Bank.PREDICATE))
        self._control(Control.PSET, {"sa": scalar}, ("d", out.reg), imm=imm & 0xFFFF_FFFF)
        return out

    def _as_vector(self, value: Operand) -> Vec:
        return value if isinstance(value, Vec) and value.plain else self.mov(value)

    def _target(self, into: Vec | None, pred: Pred | None) -> Vec:
        if into is None:
            if pred is not None:
                raise ValueError("with pred, name the vector whose other lanes stay: into=...")
            return Vec(self._new(Bank.VECTOR))
        if not into.plain:
            raise ValueError("into= takes a vector without sign, absolute value or permutation")
        return into

    def _vector(
        self,
        op: int,
        operands: tuple[Operand, ...],
        into: Vec | None,
        pred: Pred | None,
        *,
        commutes: bool = False,
        integer: bool = False,
    ) -> Vec:
        prepared = self._operands(operands, commutes, integer)
        out = self._target(into, pred)
        self._emit_alu(op, prepared, pred, ("rd", out.reg), merges=pred is not None)
        return out

    def _compare(
        self,
        op: int,
        operands: tuple[Operand, ...],
        pred: Pred | None,
        into: Pred | None,
        *,
        commutes: bool = False,
        integer: bool = False,
    ) -> Pred:
        prepared = self._operands(operands, commutes, integer)
        if into and into.complement:
            raise ValueError("into= takes a predicate, not a complement")
        out = into or Pred(self._new(Bank.PREDICATE))
        self._emit_alu(op, prepared, pred, ("pd", out.reg), merges=False)
        return out

    def _operands(self, operands: tuple[Operand, ...], commutes: bool, integer: bool) -> list[Vec | Scalar]:
        """Operands in an order and a form that the slot takes."""
        found = [self._operand(value, integer) for value in operands]
        if commutes and _permuted(found[1]) and not _permuted(found[0]):
            found[:2] = found[1], found[0]
        for i in range(1, len(found)):
            if _permuted(found[i]) or (i == 2 and found[i].absolute):
                found[i] = self.mov(found[i])
        return found

    def _emit_alu(
        self, op: int, operands: list[Vec | Scalar], pred: Pred | None, define: tuple[str, Reg], *, merges: bool
    ) -> None:
        uses, fields = predicate_use(pred, "pred", "pred_not")
        fields |= {"op": int(op)}
        for letter, value in zip("abc", operands, strict=False):
            uses[letter] = value.reg
            fields |= operand_fields(letter, value)
        self._emit(Op(Slot.ALU, fields, uses, define, merges))


def _permuted(value: Vec | Scalar) -> bool:
    return isinstance(value, Vec) and value.permute != Permute.NONE
