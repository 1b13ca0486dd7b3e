"""Tiles: what a kernel's parameters are while it is traced, with NumPy's operators and methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from gemel.dtypes import dtype
from gemel.lang.errors import KernelError, here
from gemel.lang.graph import Cast, Kind, Node, Op, Shape
from gemel.lang.trace import Trace, broadcast
from gemel_golden.formats import Format
from gemel_golden.functions import Function
from gemel_golden.lane_ops import LaneOp

__all__ = ["Number", "Tile", "lift", "operands"]

Number = int | float | bool | np.generic

_REDUCTIONS = {
    "sum": {Kind.FLOAT: LaneOp.ADD, Kind.INT: LaneOp.IADD},
    "max": {Kind.FLOAT: LaneOp.MAX, Kind.INT: LaneOp.IMAX},
    "min": {Kind.FLOAT: LaneOp.MIN, Kind.INT: LaneOp.IMIN},
}


@dataclass(frozen=True, eq=False)
class Tile:
    """A block of a tensor, or what was computed from it. `shape` is (rows, columns) of the whole tensor.

    A dimension of 1 broadcasts. Elements are FP32, INT32 or truth values (`dtype`); `where`, `exp` and the other
    functions of `gemel.lang` take tiles and numbers.
    """

    node: Node
    trace: Trace

    __array_ufunc__ = None

    @property
    def shape(self) -> Shape:
        """Rows and columns."""
        return self.node.shape

    @property
    def dtype(self) -> str:
        """ "fp32", "int32" or "bool"; of a parameter, and after `astype`, the format."""
        return self.node.fmt

    @property
    def kind(self) -> Kind:
        """What the elements are in computations."""
        return self.node.kind

    def __repr__(self) -> str:
        return f"Tile({self.shape[0]} x {self.shape[1]} {self.dtype})"

    def __add__(self, other: Tile | Number) -> Tile:
        return self._arithmetic(other, LaneOp.ADD, LaneOp.IADD)

    __radd__ = __add__

    def __mul__(self, other: Tile | Number) -> Tile:
        return self._arithmetic(other, LaneOp.MUL, LaneOp.IMUL)

    __rmul__ = __mul__

    def __sub__(self, other: Tile | Number) -> Tile:
        return _subtract(self, lift(self, other))

    def __rsub__(self, other: Tile | Number) -> Tile:
        return _subtract(lift(self, other), self)

    def __truediv__(self, other: Tile | Number) -> Tile:
        return self * lift(self, other).reciprocal()

    def __rtruediv__(self, other: Tile | Number) -> Tile:
        return lift(self, other) * self.reciprocal()

    def __neg__(self) -> Tile:
        if self.kind == Kind.INT:
            return 0 - self
        return self._unary(Op.NEGATE)

    def __abs__(self) -> Tile:
        if self.kind == Kind.INT:
            return self._arithmetic(-self, LaneOp.IMAX, LaneOp.IMAX)
        return self._unary(Op.ABSOLUTE)

    def __lt__(self, other: Tile | Number) -> Tile:
        return _compare(self, lift(self, other), LaneOp.FLT)

    def __gt__(self, other: Tile | Number) -> Tile:
        return _compare(lift(self, other), self, LaneOp.FLT)

    def __le__(self, other: Tile | Number) -> Tile:
        return _compare(self, lift(self, other), LaneOp.FLE)

    def __ge__(self, other: Tile | Number) -> Tile:
        return _compare(lift(self, other), self, LaneOp.FLE)

    def __eq__(self, other: object) -> Any:
        return _compare(self, lift(self, other), LaneOp.FEQ)

    def __ne__(self, other: object) -> Any:
        return _compare(self, lift(self, other), LaneOp.FNE)

    __hash__ = object.__hash__

    def __and__(self, other: Tile | Number) -> Tile:
        other = lift(self, other)
        if self.kind == Kind.BOOL:
            _same_kind("&", self, other)
            a, b = self.node, other.node
            return Tile(self.trace.node(Op.AND, (a, b), broadcast(a, b), Kind.BOOL), self.trace)
        return self._integer("&", other, LaneOp.AND)

    __rand__ = __and__

    def __or__(self, other: Tile | Number) -> Tile:
        other = lift(self, other)
        if self.kind == Kind.BOOL:
            return ~(~self & ~other)
        return self._integer("|", other, LaneOp.OR)

    __ror__ = __or__

    def __xor__(self, other: Tile | Number) -> Tile:
        return self._integer("^", lift(self, other), LaneOp.XOR)

    def __lshift__(self, other: Tile | Number) -> Tile:
        return self._integer("<<", lift(self, other), LaneOp.SHL)

    def __rshift__(self, other: Tile | Number) -> Tile:
        return self._integer(">>", lift(self, other), LaneOp.SRA)

    def __invert__(self) -> Tile:
        if self.kind == Kind.BOOL:
            return self._unary(Op.NOT)
        return self._integer("~", lift(self, -1), LaneOp.XOR)

    def __bool__(self) -> NoReturn:
        raise KernelError("a tile's values aren't known while the kernel is compiled; choose with where(...)", here())

    def __iter__(self) -> NoReturn:
        raise KernelError("a tile can't be walked through; reductions and scans work along its axes", here())

    def __getitem__(self, key: object) -> NoReturn:
        raise KernelError(f"a tile has no elements [{key!r}]; pass a view of the tensor to the kernel instead", here())

    def __pow__(self, power: object) -> Tile:
        if power != 2:
            raise KernelError(f"a tile to the power {power!r}: squares only; use exp2(log2(x) * y)", here())
        return self * self

    @property
    def T(self) -> Tile:
        """The transposed matrix, as an operand of `dot`."""
        return Tile(self.trace.node(Op.TRANSPOSE, (self.node,), (self.shape[1], self.shape[0]), self.kind), self.trace)

    def reciprocal(self) -> Tile:
        """1 / x within one unit in the last place."""
        return self.apply(Function.RECIPROCAL)

    def sum(self, axis: int = 1) -> Tile:
        """The sum along an axis, which stays as 1."""
        return self._reduce("sum", axis)

    def max(self, axis: int = 1) -> Tile:
        """The greatest element along an axis, NaN where there is one."""
        return self._reduce("max", axis)

    def min(self, axis: int = 1) -> Tile:
        """The smallest element along an axis, NaN where there is one."""
        return self._reduce("min", axis)

    def mean(self, axis: int = 1) -> Tile:
        """The sum times the FP32 number nearest to 1 / count."""
        axis = _axis(axis)
        return self.sum(axis) * (1.0 / self.shape[axis])

    def cumsum(self) -> Tile:
        """Running sums along the rows."""
        if self.kind == Kind.BOOL:
            raise KernelError("a bool tile has no running sums; make numbers of it with where(...)", here())
        op = _REDUCTIONS["sum"][self.kind]
        return Tile(self.trace.node(Op.SCAN, (self.node,), self.shape, self.kind, op), self.trace)

    def astype(self, fmt: str | Format, *, saturate: bool | None = None, random: Tile | None = None) -> Tile:
        """The elements converted to a format, nearest even, or stochastically with `random` words.

        To FP32 and INT32 within the vector core (floats to INT32 nearest even); to a narrower format as the value
        leaves it, and what is computed from the result sees the rounded values. saturate: clamp to the largest finite
        value; by default FP8, FP4 and integers do.
        """
        try:
            wanted = dtype(fmt)
        except ValueError as error:
            raise KernelError(str(error), here()) from None
        if self.kind == Kind.BOOL:
            raise KernelError(f"a bool tile doesn't convert to {wanted.name}; use where(...)", here())
        if wanted.name == self.kind.value:
            return self if self.dtype == wanted.name else Tile(self.trace.lane(LaneOp.MOV, self.node), self.trace)
        if wanted.name in ("fp32", "int32"):
            op, kind = (LaneOp.I2F, Kind.FLOAT) if wanted.name == "fp32" else (LaneOp.F2I, Kind.INT)
            return Tile(self.trace.lane(op, self.node, kind=kind), self.trace)
        source = self if self.kind == Kind.FLOAT else self.astype("fp32")
        inputs = (source.node,)
        if random is not None:
            if not wanted.stochastic_bits:
                raise KernelError(f"stochastic rounding isn't defined for {wanted.name}", here())
            if random.kind != Kind.INT:
                raise KernelError("random words are an int32 tile, as lang.random_bits makes them", here())
            inputs += (random.node,)
        cast = Cast(wanted, wanted.saturates if saturate is None else saturate, random is not None)
        return Tile(self.trace.node(Op.CAST, inputs, broadcast(*inputs), Kind.FLOAT, cast), self.trace)

    def bits(self) -> Tile:
        """The 32 bits of an FP32 element as an INT32 number."""
        return self._as_kind(Kind.INT)

    def from_bits(self) -> Tile:
        """The FP32 numbers whose bits these INT32 numbers are."""
        return self._as_kind(Kind.FLOAT)

    def apply(self, function: Function) -> Tile:
        """A table function of every element."""
        if self.kind != Kind.FLOAT:
            raise KernelError(f"{function.name.lower()} takes an fp32 tile, not {self.dtype}", here())
        return Tile(self.trace.function(function, self.node), self.trace)

    def _as_kind(self, kind: Kind) -> Tile:
        if self.kind == kind or self.kind == Kind.BOOL:
            raise KernelError(f"a {self.dtype} tile has no {kind.value} bits to take", here())
        return Tile(self.trace.node(Op.BITS, (self.node,), self.shape, kind), self.trace)

    def _unary(self, op: Op) -> Tile:
        if (self.kind == Kind.BOOL) != (op == Op.NOT):
            raise KernelError(f"a {self.dtype} tile has no sign", here())
        return Tile(self.trace.node(op, (self.node,), self.shape, self.kind), self.trace)

    def _arithmetic(self, other: Tile | Number, real: LaneOp, integer: LaneOp) -> Tile:
        other = lift(self, other)
        _same_kind("arithmetic", self, other)
        if self.kind == Kind.BOOL:
            raise KernelError("a bool tile isn't a number; use where(...)", here())
        op = real if self.kind == Kind.FLOAT else integer
        return Tile(self.trace.lane(op, self.node, other.node), self.trace)

    def _integer(self, symbol: str, other: Tile, op: LaneOp) -> Tile:
        if self.kind != Kind.INT or other.kind != Kind.INT:
            raise KernelError(f"{symbol} takes int32 tiles, not {self.dtype} and {other.dtype}", here())
        return Tile(self.trace.lane(op, self.node, other.node), self.trace)

    def _reduce(self, name: str, axis: int) -> Tile:
        if self.kind == Kind.BOOL:
            raise KernelError(f"a bool tile has no {name}; make numbers of it with where(...)", here())
        axis = _axis(axis)
        shape = (1, self.shape[1]) if axis == 0 else (self.shape[0], 1)
        detail = (_REDUCTIONS[name][self.kind], axis)
        return Tile(self.trace.node(Op.REDUCE, (self.node,), shape, self.kind, detail), self.trace)


def lift(like: Tile, value: object) -> Tile:
    """`value` as a tile beside `like`: tiles as they are, numbers as constants of its kind."""
    if isinstance(value, Tile):
        return value
    if isinstance(value, int | float | bool | np.generic):
        return Tile(like.trace.constant(value, like.kind), like.trace)
    raise KernelError(f"a tile doesn't mix with {type(value).__name__}", here())


def operands(*values: Tile | Number, name: str) -> list[Tile]:
    """Tiles of one kind from tiles and numbers, at least one of them a tile."""
    tile = next((value for value in values if isinstance(value, Tile)), None)
    if tile is None:
        raise KernelError(f"{name} takes at least one tile", here())
    found = [lift(tile, value) for value in values]
    for value in found:
        _same_kind(name, tile, value)
    return found


def _axis(axis: int) -> int:
    if axis not in (0, 1, -1):
        raise KernelError(f"a tile has the axes 0 and 1, not {axis}", here())
    return axis % 2


def _same_kind(what: str, a: Tile, b: Tile) -> None:
    if a.kind != b.kind:
        raise KernelError(
            f"{what} of {a.kind.value} and {b.kind.value} tiles; convert one of them with .astype(...)", here()
        )


def _subtract(a: Tile, b: Tile) -> Tile:
    _same_kind("arithmetic", a, b)
    if a.kind == Kind.FLOAT:
        return a + (-b)
    return a._arithmetic(b, LaneOp.ISUB, LaneOp.ISUB)


_INTEGER_COMPARISONS: dict[LaneOp, Callable[[Trace, Node, Node], tuple[Node, bool]]] = {
    LaneOp.FLT: lambda t, a, b: (t.lane(LaneOp.ILT, a, b, kind=Kind.BOOL), False),
    LaneOp.FLE: lambda t, a, b: (t.lane(LaneOp.ILT, b, a, kind=Kind.BOOL), True),
    LaneOp.FEQ: lambda t, a, b: (t.lane(LaneOp.IEQ, a, b, kind=Kind.BOOL), False),
    LaneOp.FNE: lambda t, a, b: (t.lane(LaneOp.IEQ, a, b, kind=Kind.BOOL), True),
}


def _compare(a: Tile, b: Tile, op: LaneOp) -> Tile:
    _same_kind("a comparison", a, b)
    if a.kind == Kind.BOOL:
        raise KernelError("bool tiles are combined with & | ~, not compared", here())
    if a.kind == Kind.FLOAT:
        return Tile(a.trace.lane(op, a.node, b.node, kind=Kind.BOOL), a.trace)
    node, complement = _INTEGER_COMPARISONS[op](a.trace, a.node, b.node)
    tile = Tile(node, a.trace)
    return ~tile if complement else tile
