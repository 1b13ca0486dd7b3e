"""What one lane of the vector core computes from three 32-bit operands, on bits."""

from collections.abc import Callable
from enum import IntEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden import fp32
from gemel_golden.formats import as_codes
from gemel_golden.fp32 import NAN, Bits
from gemel_golden.rounding import from_fp32

_SIGN = np.uint32(1 << 31)


class LaneOp(IntEnum):
    """Codes of the lane's operations; those from FLT on give a predicate bit."""

    FMA = 0
    """a * b + c, FP32 rounded once."""
    ADD = 1
    """a + b in FP32."""
    MUL = 2
    """a * b in FP32."""
    MIN = 3
    """The smaller FP32 number, -0 below +0; NaN if either is (IEEE 754-2019 minimum)."""
    MAX = 4
    """The larger FP32 number, -0 below +0; NaN if either is (IEEE 754-2019 maximum)."""
    MOV = 5
    """a, bit by bit."""
    F2I = 6
    """FP32 a to INT32: nearest even, clamped, NaN to 0."""
    I2F = 7
    """INT32 a to FP32: nearest even."""
    FLOOR = 8
    """The largest FP32 integer not above a; -0 and infinities stay."""
    IADD = 9
    """a + b modulo 2^32."""
    ISUB = 10
    """a - b modulo 2^32."""
    IMUL = 11
    """a * b modulo 2^32."""
    AND = 12
    """a & b."""
    OR = 13
    """a | b."""
    XOR = 14
    """a ^ b."""
    SHL = 15
    """a << (b & 31)."""
    SHR = 16
    """a >> (b & 31), zeros coming in."""
    SRA = 17
    """a >> (b & 31), the sign coming in."""
    IMIN = 18
    """The smaller INT32 number."""
    IMAX = 19
    """The larger INT32 number."""
    FLT = 20
    """a < b in FP32; false for NaN."""
    FLE = 21
    """a <= b in FP32; false for NaN."""
    FEQ = 22
    """a == b in FP32, -0 being +0; false for NaN."""
    FNE = 23
    """Not FEQ: true for NaN."""
    ILT = 24
    """a < b in INT32."""
    IEQ = 25
    """a == b, bit by bit."""
    IULT = 26
    """a < b, both unsigned."""
    IS_NAN = 27
    """a is NaN."""

    @property
    def compares(self) -> bool:
        """Whether it gives a predicate bit."""
        return self >= LaneOp.FLT


def modify(x: ArrayLike, absolute: bool, negate: bool) -> Bits:
    """An FP32 operand's modifiers on bits: clear the sign, then flip it. A NaN keeps its other bits."""
    bits = as_codes(x, "fp32")
    if absolute:
        bits = bits & ~_SIGN
    return bits ^ _SIGN if negate else bits


def apply(op: LaneOp | int, a: ArrayLike, b: ArrayLike, c: ArrayLike) -> Bits:
    """The 32-bit results of `op` on bits that broadcast; a comparison gives 0 or 1. What `op` doesn't take is ignored.

    Raises ValueError for a code without an operation.
    """
    if op not in _RESULTS:
        raise ValueError(f"lane operation {int(op)} is not assigned; codes run from 0 to {max(_RESULTS)}")
    operands = np.broadcast_arrays(*(as_codes(x, "int32") for x in (a, b, c)))
    with np.errstate(all="ignore"):  # a single number that wraps would warn
        return np.asarray(_RESULTS[op](*operands)).astype(np.uint32)


def _signed(bits: Bits) -> NDArray[np.int64]:
    return bits.view(np.int32).astype(np.int64)


def _order(bits: Bits) -> NDArray[np.int64]:
    """Integers in the order of FP32 numbers that aren't NaN, -0 below +0."""
    return np.where(bits >> 31, -1 - (bits & 0x7FFF_FFFF).astype(np.int64), bits.astype(np.int64))


def _extreme(a: Bits, b: Bits, take_a: NDArray[np.bool_]) -> Bits:
    nan = fp32.is_nan(a) | fp32.is_nan(b)
    return np.where(nan, np.uint32(NAN), np.where(take_a, a, b))


def _compare(test: Callable[..., NDArray[np.bool_]]) -> Callable[[Bits, Bits, Bits], NDArray[np.bool_]]:
    return lambda a, b, c: test(fp32.value_of(a), fp32.value_of(b))


_RESULTS: MappingProxyType[int, Callable[[Bits, Bits, Bits], NDArray]] = MappingProxyType(
    {
        LaneOp.FMA: lambda a, b, c: fp32.fma(a, b, c),
        LaneOp.ADD: lambda a, b, c: fp32.add(a, b),
        LaneOp.MUL: lambda a, b, c: fp32.mul(a, b),
        LaneOp.MIN: lambda a, b, c: _extreme(a, b, _order(a) < _order(b)),
        LaneOp.MAX: lambda a, b, c: _extreme(a, b, _order(a) > _order(b)),
        LaneOp.MOV: lambda a, b, c: a,
        LaneOp.F2I: lambda a, b, c: from_fp32(a, "int32")[0],
        LaneOp.I2F: lambda a, b, c: fp32.int32_to_fp32(a),
        LaneOp.FLOOR: lambda a, b, c: fp32.bits_of(np.floor(fp32.value_of(a))),
        LaneOp.IADD: lambda a, b, c: a + b,
        LaneOp.ISUB: lambda a, b, c: a - b,
        LaneOp.IMUL: lambda a, b, c: a * b,
        LaneOp.AND: lambda a, b, c: a & b,
        LaneOp.OR: lambda a, b, c: a | b,
        LaneOp.XOR: lambda a, b, c: a ^ b,
        LaneOp.SHL: lambda a, b, c: a << (b & 31),
        LaneOp.SHR: lambda a, b, c: a >> (b & 31),
        LaneOp.SRA: lambda a, b, c: _signed(a) >> (b & 31),
        LaneOp.IMIN: lambda a, b, c: np.minimum(_signed(a), _signed(b)),
        LaneOp.IMAX: lambda a, b, c: np.maximum(_signed(a), _signed(b)),
        LaneOp.FLT: _compare(np.less),
        LaneOp.FLE: _compare(np.less_equal),
        LaneOp.FEQ: _compare(np.equal),
        LaneOp.FNE: _compare(np.not_equal),
        LaneOp.ILT: lambda a, b, c: _signed(a) < _signed(b),
        LaneOp.IEQ: lambda a, b, c: a == b,
        LaneOp.IULT: lambda a, b, c: a < b,
        LaneOp.IS_NAN: lambda a, b, c: fp32.is_nan(a),
    }
)
