"""Matrix products of block-scaled operands: MX and NVFP4 scales inside a block's sum, FP32 scales over 128 elements."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden import fp32
from gemel_golden.dot import (
    KEPT_BITS,
    Operand,
    accumulate,
    as_accumulators,
    block_elements,
    block_matmul,
    block_sums,
    never_truncates,
    operand_format,
)
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, as_codes, by_name, decode

SCALE_GROUP = {"e8m0": 32, "e4m3": 16}
"""Elements of K under one scale."""
FP32_GROUP = 128
_GROUP_EXPONENT = 11  # a bound on the exponent of a group's sum of 4-bit products, the fixed part of E_g
_NO_EXPONENT = -4096


def _scales(codes: ArrayLike | None, fmt: Format, groups: int, columns: int, name: str) -> tuple[Any, Any]:
    """(values, exponents) of one side's scales (groups, columns); an unscaled side counts as 1."""
    if codes is None:
        return np.ones((groups, columns)), np.zeros((groups, columns), np.int64)
    array = as_codes(codes, fmt)
    if array.shape != (groups, columns):
        raise ValueError(
            f"scale_{name} has {array.shape} groups and vectors; {groups} groups of {SCALE_GROUP[fmt.name]} elements "
            f"and {columns} vectors are needed"
        )
    values = np.abs(decode(array, fmt))
    _, exponent = np.frexp(np.where(np.isfinite(values), values, 1.0))
    return values, np.maximum(exponent - 1, fmt.emin).astype(np.int64)


def _group_sum(sums: NDArray[Any], values: NDArray[Any], exponents: NDArray[Any]) -> NDArray[np.float64]:
    """T (M, N) of a block of two 4-bit operands: axis 0 of all three is its scale groups."""
    products = sums * values
    top = np.where(products != 0, _GROUP_EXPONENT + exponents, _NO_EXPONENT).max(axis=0)
    scale = np.ldexp(1.0, (KEPT_BITS - np.maximum(top, -600)).astype(np.int32))
    return np.trunc(products * scale).sum(axis=0) / scale + 0.0


def scaled_matmul(
    a_codes: ArrayLike,
    fmt_a: Format | str,
    b_codes: ArrayLike,
    fmt_b: Format | str,
    c: ArrayLike | None = None,
    *,
    scale_a: ArrayLike | None = None,
    scale_b: ArrayLike | None = None,
    scale_fmt: Format | str = "e8m0",
) -> tuple[NDArray[np.uint32], Flags]:
    """`dot.block_matmul` of operands with a scale for each group of K (contract, step 3); returns (D bits, flags).

    scale_a: codes (M, G), scale_b: (G, N), G = ceil(K / group); None counts as 1. scale_fmt: "e8m0" (MX, groups of 32)
    or, for two 4-bit operands, "e4m3" (NVFP4, groups of 16; the sign is ignored). A NaN scale makes its blocks NaN.
    Raises ValueError for shapes that don't fit, for two integer operands, and for E4M3 scales of wider operands.
    """
    fmt_a, fmt_b, scale_fmt = operand_format(fmt_a), operand_format(fmt_b), by_name(scale_fmt)
    a, b = as_codes(a_codes, fmt_a), as_codes(b_codes, fmt_b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a (M, K) and b (K, N) don't fit: a has shape {a.shape}, b {b.shape}")
    if fmt_a.is_int and fmt_b.is_int:
        raise ValueError(f"scales belong to floating-point sums; {fmt_a} x {fmt_b} accumulates integers")
    if scale_fmt.name not in SCALE_GROUP:
        raise ValueError(f"{scale_fmt} is no scale format; the scale formats are {', '.join(SCALE_GROUP)}")
    block, group = block_elements(fmt_a, fmt_b), SCALE_GROUP[scale_fmt.name]
    if scale_fmt.name == "e4m3" and block < 64:
        raise ValueError(f"e4m3 scales belong to two 4-bit operands, not to {fmt_a} x {fmt_b}")
    m, k, n = a.shape[0], a.shape[1], b.shape[1]
    if 0 in (m, k, n):
        return block_matmul(a, fmt_a, b, fmt_b, c)
    groups = -(-k // group)
    (value_a, exponent_a), (value_b, exponent_b) = (
        _scales(None if s is None else np.asarray(s).T if side == "a" else s, scale_fmt, groups, columns, side)
        for s, columns, side in ((scale_a, m, "a"), (scale_b, n, "b"))
    )
    # The unit that is summed exactly: a whole block, or a scale group of it.
    unit = min(block, group)
    left, right = Operand(a.T, fmt_a, unit), Operand(b, fmt_b, unit)
    spreads = None if never_truncates(fmt_a, fmt_b) else (left.spread(), right.spread())
    d, flags = as_accumulators(c, (m, n), integer=False), Flags()
    for start in range(0, k, block):
        units = range(start // unit, -(-min(k, start + block) // unit))
        sums = block_sums(left, right, slice(units.start, units.stop), spreads)
        chosen = [u * unit // group for u in units]
        values = [value_a[g][:, None] * value_b[g] for g in chosen]
        if block < 64:
            total = sums * values[0]
        else:
            exponents = [exponent_a[g][:, None] + exponent_b[g] for g in chosen]
            total = _group_sum(sums, np.stack(values), np.stack(exponents))[None]
        d, new = accumulate(d, total)
        flags |= new
    assert d is not None, "K is at least 1 here, so a block was accumulated"
    return d, flags


def fp32_scaled_matmul(
    a_codes: ArrayLike,
    fmt_a: Format | str,
    b_codes: ArrayLike,
    fmt_b: Format | str,
    c: ArrayLike | None = None,
    *,
    scale_a: ArrayLike,
    scale_b: ArrayLike,
) -> tuple[NDArray[np.uint32], Flags]:
    """D = C + sum over K blocks of 128 of (A B) * (sA * sB), each by one fused multiply-add (contract, step 9).

    scale_a: FP32 bits or float32 (M, ceil(K / 128)); scale_b: (ceil(K / 128), N), a 128 x 128 scale repeated over its
    columns. A block's product is accumulated from zero as `dot.block_matmul` does; the sum begins with c, or +0.
    Raises ValueError for shapes that don't fit and for two integer operands.
    """
    fmt_a, fmt_b = operand_format(fmt_a), operand_format(fmt_b)
    if fmt_a.is_int and fmt_b.is_int:
        raise ValueError(f"scales belong to floating-point sums; {fmt_a} x {fmt_b} accumulates integers")
    a, b = np.asarray(a_codes), np.asarray(b_codes)
    d, flags = block_matmul(a[:, :0], fmt_a, b[:0], fmt_b, c)
    sides = [
        s.view(np.uint32) if s.dtype == np.float32 else as_codes(s, "fp32") for s in map(np.asarray, (scale_a, scale_b))
    ]
    groups = -(-a.shape[1] // FP32_GROUP)
    wanted = [(a.shape[0], groups), (groups, b.shape[1])]
    if [s.shape for s in sides] != wanted:
        raise ValueError(f"scales have shapes {[s.shape for s in sides]}; {wanted} are needed")
    for g in range(groups):
        part = slice(g * FP32_GROUP, (g + 1) * FP32_GROUP)
        partial, inner = block_matmul(a[:, part], fmt_a, b[part], fmt_b)
        s = fp32.mul(sides[0][:, g, None], sides[1][None, g])
        new = fp32.fma(partial, s, d)
        over = fp32.overflowed(s, sides[0][:, g, None], sides[1][None, g]) | fp32.overflowed(new, partial, s, d)
        d = new
        flags |= inner | Flags(invalid=bool(fp32.is_nan(d).any()), overflow=bool(over.any()))
    return d, flags
