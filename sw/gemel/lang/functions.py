"""What kernels call: functions of tiles. Each is an operation of the vector core or a few of them, stated below."""

from __future__ import annotations

import math

from gemel.lang.errors import KernelError, here
from gemel.lang.graph import Kind, Op, stored
from gemel.lang.tiles import Number, Tile, operands
from gemel.lang.trace import broadcast
from gemel_golden.formats import by_name
from gemel_golden.functions import Function
from gemel_golden.isa import OPERAND_FORMATS
from gemel_golden.lane_ops import LaneOp

__all__ = [
    "absolute",
    "argmax",
    "argmin",
    "ceil",
    "cos",
    "divide",
    "dot",
    "erf",
    "exp",
    "exp2",
    "floor",
    "fma",
    "index",
    "inner",
    "isnan",
    "log",
    "log2",
    "maximum",
    "minimum",
    "random_bits",
    "reciprocal",
    "rint",
    "rsqrt",
    "shift_right",
    "sigmoid",
    "sin",
    "sqrt",
    "tanh",
    "uniform",
    "unsigned_less",
    "where",
]

_LARGE = float(1 << 23)
"""From here on every FP32 number is an integer."""


def exp2(x: Tile) -> Tile:
    """2^x."""
    return x.apply(Function.EXP2)


def exp(x: Tile) -> Tile:
    """e^x."""
    return x.apply(Function.EXP)


def log2(x: Tile) -> Tile:
    """The logarithm to base 2."""
    return x.apply(Function.LOG2)


def log(x: Tile) -> Tile:
    """The natural logarithm: log2(x) times ln 2, rounded twice."""
    return log2(x) * math.log(2.0)


def reciprocal(x: Tile) -> Tile:
    """1 / x."""
    return x.reciprocal()


def rsqrt(x: Tile) -> Tile:
    """1 / sqrt(x)."""
    return x.apply(Function.RSQRT)


def sqrt(x: Tile) -> Tile:
    """The square root."""
    return x.apply(Function.SQRT)


def sin(turns: Tile) -> Tile:
    """The sine of 2 pi times the argument, which counts turns."""
    return turns.apply(Function.SIN)


def cos(turns: Tile) -> Tile:
    """The cosine of 2 pi times the argument, which counts turns."""
    return turns.apply(Function.COS)


def tanh(x: Tile) -> Tile:
    """The hyperbolic tangent."""
    return x.apply(Function.TANH)


def erf(x: Tile) -> Tile:
    """The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return x.apply(Function.ERF)


def sigmoid(x: Tile) -> Tile:
    """1 / (1 + e^-x)."""
    return reciprocal(exp(-x) + 1.0)


def divide(x: Tile | Number, y: Tile | Number) -> Tile:
    """x / y rounded once where quotient, divisor and remainder are normal numbers: x * (1/y) and one correction.

    A quotient that isn't finite, or whose divisor is too small or too large for its reciprocal, is that of x * (1/y).
    """
    x, y = operands(x, y, name="divide")
    r = reciprocal(y)
    r = fma(fma(-y, r, 1.0), r, r)
    q = x * r
    corrected = fma(fma(-y, q, x), r, q)
    plain = x / y
    return where(abs(plain) < 3.0e38, where(isnan(corrected), plain, corrected), plain)


def fma(a: Tile | Number, b: Tile | Number, c: Tile | Number) -> Tile:
    """a * b + c, rounded once. Without it, a * b + c is rounded twice."""
    a, b, c = operands(a, b, c, name="fma")
    _floats("fma", a)
    return Tile(a.trace.lane(LaneOp.FMA, a.node, b.node, c.node), a.trace)


def maximum(a: Tile | Number, b: Tile | Number) -> Tile:
    """The larger of two, NaN where one of them is."""
    return _pick("maximum", a, b, LaneOp.MAX, LaneOp.IMAX)


def minimum(a: Tile | Number, b: Tile | Number) -> Tile:
    """The smaller of two, NaN where one of them is."""
    return _pick("minimum", a, b, LaneOp.MIN, LaneOp.IMIN)


def absolute(x: Tile) -> Tile:
    """|x|."""
    return abs(x)


def floor(x: Tile) -> Tile:
    """The largest integer that isn't above x."""
    _floats("floor", x)
    return Tile(x.trace.lane(LaneOp.FLOOR, x.node), x.trace)


def ceil(x: Tile) -> Tile:
    """The smallest integer that isn't below x."""
    return -floor(-x)


def rint(x: Tile) -> Tile:
    """The nearest integer, ties to even; zeros come out positive."""
    return where(abs(x) < _LARGE, x.astype("int32").astype("fp32"), x)


def isnan(x: Tile) -> Tile:
    """Where x is a NaN."""
    _floats("isnan", x)
    return Tile(x.trace.lane(LaneOp.IS_NAN, x.node, kind=Kind.BOOL), x.trace)


def where(condition: Tile, a: Tile | Number, b: Tile | Number) -> Tile:
    """a where the condition holds, else b."""
    if not isinstance(condition, Tile) or condition.kind != Kind.BOOL:
        raise KernelError("where takes a comparison as its condition", here())
    if isinstance(a, Tile) or isinstance(b, Tile):
        a, b = operands(a, b, name="where")
    else:
        kind = Kind.INT if isinstance(a, int) and isinstance(b, int) else Kind.FLOAT
        a, b = (Tile(condition.trace.constant(value, kind), condition.trace) for value in (a, b))
    if a.kind == Kind.BOOL:
        return (condition & a) | (~condition & b)
    inputs = (condition.node, a.node, b.node)
    return Tile(a.trace.node(Op.SELECT, inputs, broadcast(*inputs), a.kind), a.trace)


def argmax(x: Tile) -> Tile:
    """The column of each row's first largest element (its first NaN, where there is one), INT32."""
    return _first(x, x == x.max(axis=1))


def argmin(x: Tile) -> Tile:
    """The column of each row's first smallest element (its first NaN, where there is one), INT32."""
    return _first(x, x == x.min(axis=1))


def index(like: Tile, axis: int) -> Tile:
    """The number of each row (axis 0) or column (axis 1) of a tile, INT32."""
    if axis not in (0, 1):
        raise KernelError(f"a tile has the axes 0 and 1, not {axis}", here())
    shape = (like.shape[0], 1) if axis == 0 else (1, like.shape[1])
    return Tile(like.trace.node(Op.INDEX, (), shape, Kind.INT, axis), like.trace)


def inner(a: Tile, b: Tile) -> Tile:
    """The sum along each row of a * b, in the order of `sum`; each product is added with one rounding."""
    a, b = operands(a, b, name="inner")
    _floats("inner", a)
    if a.shape[1] != b.shape[1]:
        raise KernelError(f"inner of {a.shape} and {b.shape}: the columns differ", here())
    if a.shape[1] == 1:
        return (a * b).sum(axis=1)
    rows = broadcast(a.node, b.node)[0]
    return Tile(a.trace.node(Op.REDUCE, (a.node, b.node), (rows, 1), Kind.FLOAT, (LaneOp.FMA, 1)), a.trace)


def random_bits(like: Tile, seed: Tile | int, *, stream: int = 0) -> Tile:
    """32 random bits for each element of `like`, INT32: Philox-4x32-10 as in `gemel_golden.philox.element_words`.

    seed: an integer given at the call, or a constant. stream: the tensor's number, another one for each use. Element
    (r, c) has the index r * (columns rounded up to 32) + c, whatever the chip and the blocking.
    """
    if isinstance(seed, int):
        seed = Tile(like.trace.constant(seed, Kind.INT), like.trace)
    if seed.kind != Kind.INT or seed.node.op not in (Op.SCALAR, Op.CONST):
        raise KernelError("a seed is an integer parameter of the kernel or a constant", here())
    return Tile(like.trace.node(Op.RANDOM, (seed.node,), like.shape, Kind.INT, stream), like.trace)


def uniform(like: Tile, seed: Tile | int, *, stream: int = 0) -> Tile:
    """Random numbers in [0, 1): the high 24 bits of `random_bits` times 2^-24."""
    return shift_right(random_bits(like, seed, stream=stream), 8).astype("fp32") * (1.0 / (1 << 24))


def shift_right(x: Tile, count: Tile | int) -> Tile:
    """x >> count with zeros from above; the operator >> keeps the sign."""
    x, count = operands(x, count, name="shift_right")
    return x._integer(">>", count, LaneOp.SHR)


def unsigned_less(a: Tile | int, b: Tile | int) -> Tile:
    """a < b of unsigned integers."""
    a, b = operands(a, b, name="unsigned_less")
    if a.kind != Kind.INT:
        raise KernelError(f"unsigned_less takes int32 tiles, not {a.dtype}", here())
    return Tile(a.trace.lane(LaneOp.IULT, a.node, b.node, kind=Kind.BOOL), a.trace)


def dot(a: Tile, b: Tile) -> Tile:
    """The matrix product on the tensor core, FP32 (INT32 of two integer operands), as the numerics contract has it.

    a is (R, K): a parameter, or a tile that `astype` has rounded. b is (K, N): a parameter or its `.T`, which stays in
    L1 as a whole while a's rows pass by.
    """
    if a.shape[1] != b.shape[0]:
        raise KernelError(
            f"dot of {a.shape} and {b.shape}: a has {a.shape[1]} columns, b has {b.shape[0]} rows", here()
        )
    for name, x in (("a", a), ("b", b)):
        source = stored(x.node)
        if source.op not in (Op.INPUT, Op.CAST) or by_name(source.fmt).code not in OPERAND_FORMATS:
            raise KernelError(f"dot multiplies tiles rounded by astype; its {name} is {source.fmt}", here())
    integer = all(by_name(stored(x.node).fmt).is_int for x in (a, b))
    kind = Kind.INT if integer else Kind.FLOAT
    return Tile(a.trace.node(Op.DOT, (a.node, b.node), (a.shape[0], b.shape[1]), kind), a.trace)


def _first(x: Tile, condition: Tile) -> Tile:
    columns = index(x, 1)
    found = where(isnan(x) | condition, columns, x.shape[1])
    return found.min(axis=1)


def _floats(name: str, x: Tile) -> None:
    if x.kind != Kind.FLOAT:
        raise KernelError(f"{name} takes fp32 tiles, not {x.dtype}", here())


def _pick(name: str, a: Tile | Number, b: Tile | Number, real: LaneOp, integer: LaneOp) -> Tile:
    a, b = operands(a, b, name=name)
    return a._arithmetic(b, real, integer)
