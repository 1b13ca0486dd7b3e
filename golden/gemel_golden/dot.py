"""The block-exact dot product and the matrix product made of it, at the speed of NumPy and exact to the bit.

A block is 32 bytes of K. Its products are exact; those far below the largest lose the bits under q = 2^(emax - 34); the
rest is summed exactly and rounded once to FP32, then added to the accumulator in FP32. `judge.py` says the same in
Python integers.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden import fp32
from gemel_golden.flags import Flags
from gemel_golden.formats import OPERANDS, Format, as_codes, by_name, decode

BLOCK_BYTES = 32
KEPT_BITS = 34
"""F: the smallest bit that is kept weighs 2^(emax - F)."""
_NO_EXPONENT = -4096  # of a zero: below every sum of two real exponents, far from the ends of int16
_TILE = 1 << 15  # elements of a working set that stays in the caches
_BATCH = 1 << 17  # elements of the sums of several blocks that are computed in one go
_EXACT_K = 1024  # INT8 products summed exactly in float32: 1024 * 2^14 = 2^24


@dataclass(frozen=True)
class _Table:
    """Per code of an operand format: value, exponent e, and exponent of the lowest set bit (specials as zeros)."""

    value: NDArray[np.float64]
    e: NDArray[np.int16]
    low: NDArray[np.int16]


@cache
def _table(fmt: Format) -> _Table:
    value = decode(np.arange(1 << fmt.bits), fmt).astype(np.float64)
    finite = np.where(np.isfinite(value), value, 0.0)
    fraction, exponent = np.frexp(finite)
    e = np.maximum(exponent - 1, fmt.emin) if not fmt.is_int else np.full_like(exponent, fmt.emin)
    m = np.ldexp(np.abs(fraction), 24).astype(np.int64)
    low = exponent - 24 + np.log2(np.maximum(m & -m, 1)).astype(np.int64)
    zero = finite == 0
    return _Table(
        value=value,
        e=np.where(zero, _NO_EXPONENT, e).astype(np.int16),
        low=np.where(zero, -_NO_EXPONENT, low).astype(np.int16),
    )


def operand_format(fmt: Format | str) -> Format:
    """The format of this name, if the dot product takes it. Raises ValueError if not."""
    fmt = by_name(fmt)
    if not fmt.operand:
        raise ValueError(f"{fmt} is no operand of the dot product; the operands are {', '.join(OPERANDS)}")
    return fmt


def block_elements(fmt_a: Format | str, fmt_b: Format | str) -> int:
    """Elements of K in a block: 32 bytes, counted on the wider operand."""
    return BLOCK_BYTES * 8 // max(operand_format(fmt_a).bits, operand_format(fmt_b).bits)


def never_truncates(fmt_a: Format, fmt_b: Format) -> bool:
    lowest = sum(f.emin - f.p + 1 for f in (fmt_a, fmt_b))
    return lowest >= fmt_a.emax + fmt_b.emax - KEPT_BITS


def _truncated_sums(a: NDArray[Any], ea: NDArray[Any], b: NDArray[Any], eb: NDArray[Any]) -> NDArray[np.float64]:
    """T for finite values: axis 0 is k, the others of a and b broadcast against each other."""
    top = ea[0] + eb[0]
    for k in range(1, len(a)):
        np.maximum(top, ea[k] + eb[k], out=top)
    # All products zero: any q serves, and 2^-1000 would not survive the scaling.
    np.maximum(top, -600, out=top)
    scale = ((KEPT_BITS + 1023 - top.astype(np.int64)) << 52).view(np.float64)
    total = np.zeros(top.shape)
    term = np.empty(top.shape)
    for x, y in zip(a, b, strict=True):
        np.multiply(x, y, out=term)
        np.multiply(term, scale, out=term)
        np.trunc(term, out=term)
        np.add(total, term, out=total)
    return total / scale


class Operand:
    """One side of a product with K on axis 0, cut into blocks: finite values, and where the specials are."""

    def __init__(self, codes: NDArray[Any], fmt: Format, block: int) -> None:
        table = _table(fmt)
        missing = -len(codes) % block
        codes = np.pad(codes, ((0, missing), (0, 0))).reshape(-1, block, codes.shape[1])
        self.codes, self.table = codes, table
        self.raw = table.value[codes]
        finite = np.isfinite(self.raw)
        self.special: NDArray[Any] = np.logical_not(finite.all(axis=1))
        """(blocks, columns): whether a NaN or an Inf is among the elements."""
        self.value = np.where(finite, self.raw, 0.0) if self.special.any() else self.raw

    def exponents(self, part: slice) -> NDArray[np.int16]:
        return self.table.e[self.codes[part]]

    def spread(self) -> NDArray[np.int16]:
        """Per block and column: bits from the largest exponent down to the lowest set bit."""
        return self.table.e[self.codes].max(axis=1) - self.table.low[self.codes].min(axis=1)


def block_sums(a: Operand, b: Operand, part: slice, spreads: tuple[Any, Any] | None) -> NDArray[np.float64]:
    """T (blocks, M, N) of some blocks in float64, exact, zeros positive; NaN and Inf by the rules of IEEE sums.

    spreads: those of a and b, or None where the formats can't truncate.
    """
    va, vb = a.value[part], b.value[part]
    # No library promises that a sum of zeros of either sign is +0; adding +0 makes it so.
    total = va.transpose(0, 2, 1) @ vb + 0.0
    if spreads is not None:
        # A product can lose bits only where the two spreads of its block together exceed what is kept.
        spread_a, spread_b = spreads[0][part], spreads[1][part]
        rows = np.flatnonzero((spread_a > KEPT_BITS - spread_b.max(axis=1, keepdims=True)).any(axis=0))
        columns = np.flatnonzero((spread_b > KEPT_BITS - spread_a.max(axis=1, keepdims=True)).any(axis=0))
        if rows.size:
            # k first: (block, blocks, rows, 1) and (block, blocks, 1, columns).
            vb, eb = (x[:, :, columns].transpose(1, 0, 2)[:, :, None, :] for x in (vb, b.exponents(part)))
            ea = a.exponents(part)
            step = max(1, _TILE // (columns.size * len(total)))
            for chosen in (rows[i : i + step] for i in range(0, rows.size, step)):
                x, e = (v[:, :, chosen].transpose(1, 0, 2)[:, :, :, None] for v in (va, ea))
                total[:, chosen[:, None], columns] = _truncated_sums(x, e, vb, eb)
    hit = a.special[part][:, :, None] | b.special[part][:, None, :]
    if hit.any():
        with np.errstate(invalid="ignore"):
            total = np.where(hit, a.raw[part].transpose(0, 2, 1) @ b.raw[part], total)
    return total


def as_accumulators(c: ArrayLike | None, shape: tuple[int, int], *, integer: bool) -> NDArray[np.uint32] | None:
    if c is None:
        return None
    array = np.asarray(c)
    if array.shape != shape:
        raise ValueError(f"c has shape {array.shape}, the product {shape}")
    if array.dtype == np.float32 and not integer:
        return array.view(np.uint32)
    return as_codes(array, "int32" if integer else "fp32")


def _integer_matmul(a: NDArray[Any], b: NDArray[Any], c: NDArray[np.uint32] | None, block: int) -> Any:
    """Step 7 on values (K, M), (K, N): blocks in rising K, modulo 2^32, with the flag of a wrap in any of them."""
    total = np.zeros((a.shape[1], b.shape[1]), np.int64) if c is None else c.view(np.int32).astype(np.int64)
    bound = int(np.abs(total).max(initial=0)) + len(a) * (1 << 14)
    # As long as no prefix can leave 32 bits, the order doesn't show.
    step = _EXACT_K if bound < 1 << 31 else block
    a, b = a.astype(np.float32), b.astype(np.float32)
    wrapped = False
    for k in range(0, len(a), step):
        total += (a[k : k + step].T @ b[k : k + step]).astype(np.int64)
        if step == block:
            narrow = total.astype(np.int32)
            wrapped = wrapped or bool((narrow != total).any())
            total = narrow.astype(np.int64)
    return total.astype(np.int32).view(np.uint32), Flags(overflow=wrapped)


def accumulate(acc: NDArray[np.uint32] | None, totals: NDArray[np.float64]) -> tuple[NDArray[np.uint32], Flags]:
    """Steps 4 and 5: T (blocks, M, N), one after the other, rounded to FP32 and added to any accumulator."""
    with np.errstate(all="ignore"):
        r = totals.astype(np.float32)
        d = r[0].copy() if acc is None else acc.view(np.float32) + r[0]
        for x in r[1:]:
            np.add(d, x, out=d)
    # What has once been Inf or NaN never becomes finite again, so only then there is something to find out.
    if np.isfinite(d).all():
        return d.view(np.uint32), Flags()
    over = bool((np.isinf(r) & np.isfinite(totals)).any())
    d = acc
    for x in map(fp32.bits_of, r):
        new = x if d is None else fp32.add(d, x)
        over = over or (d is not None and bool(fp32.overflowed(new, d, x).any()))
        d = new
    assert d is not None, "there is at least one block"
    return d, Flags(invalid=bool(fp32.is_nan(d).any()), overflow=over)


def block_matmul(
    a_codes: ArrayLike,
    fmt_a: Format | str,
    b_codes: ArrayLike,
    fmt_b: Format | str,
    c: ArrayLike | None = None,
) -> tuple[NDArray[np.uint32], Flags]:
    """D = C + A B, block by block of K, as the tensor core computes it; returns (bits of D (M, N) uint32, flags).

    a_codes: (M, K), b_codes: (K, N), codes of operand formats (`formats.OPERANDS`), 4-bit codes one per element.
    c: (M, N) accumulators to begin with: FP32 (bits or float32), or INT32 (signed or bits) if both operands are
    integers. Without c the first block's sum is taken as it is. D is FP32, or INT32 modulo 2^32 if both operands are
    integers. Elements of K beyond the last are zero; K = 0 gives c, or +0.

    Flags: invalid if the sum of a block or an accumulator became NaN, overflow if a finite one became infinite or an
    INT32 wrapped. Raises ValueError for other formats and for shapes that don't fit.
    """
    fmt_a, fmt_b = operand_format(fmt_a), operand_format(fmt_b)
    a, b = as_codes(a_codes, fmt_a), as_codes(b_codes, fmt_b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"a (M, K) and b (K, N) don't fit: a has shape {a.shape}, b {b.shape}")
    integer = fmt_a.is_int and fmt_b.is_int
    acc = as_accumulators(c, (a.shape[0], b.shape[1]), integer=integer)
    block = block_elements(fmt_a, fmt_b)
    if acc is not None and a.shape[1] == 0:
        return acc.copy(), Flags()
    if 0 in (*a.shape, *b.shape):
        return np.zeros((a.shape[0], b.shape[1]), np.uint32), Flags()
    if integer:
        return _integer_matmul(decode(a.T, fmt_a), decode(b, fmt_b), acc, block)

    left, right = (Operand(x, f, block) for x, f in ((a.T, fmt_a), (b, fmt_b)))
    spreads = None if never_truncates(fmt_a, fmt_b) else (left.spread(), right.spread())
    at_once = max(1, _BATCH // (a.shape[0] * b.shape[1]))
    parts = [slice(i, i + at_once) for i in range(0, len(left.value), at_once)]
    d, flags = accumulate(acc, block_sums(left, right, parts[0], spreads))
    for part in parts[1:]:
        d, new = accumulate(d, block_sums(left, right, part, spreads))
        flags |= new
    return d, flags


def dot_blocks(
    a_codes: ArrayLike, fmt_a: Format | str, b_codes: ArrayLike, fmt_b: Format | str
) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.bool_]]:
    """R of many single blocks: row i of a against row i of b; returns (R bits (n,), invalid (n,), overflow (n,)).

    a_codes, b_codes: (n, k) codes with k at most `block_elements`. R is FP32, or INT32 if both operands are integers.
    """
    fmt_a, fmt_b = operand_format(fmt_a), operand_format(fmt_b)
    a, b = as_codes(a_codes, fmt_a), as_codes(b_codes, fmt_b)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] > block_elements(fmt_a, fmt_b):
        raise ValueError(f"a {a.shape} and b {b.shape} must be (n, k), k at most {block_elements(fmt_a, fmt_b)}")
    ta, tb = _table(fmt_a), _table(fmt_b)
    va, vb = ta.value[a.T], tb.value[b.T]
    none = np.zeros(len(a), bool)
    if fmt_a.is_int and fmt_b.is_int:
        return (va * vb).sum(axis=0).astype(np.int32).view(np.uint32), none, none
    with np.errstate(invalid="ignore"):
        raw = (va * vb).sum(axis=0)
    finite_a, finite_b = (np.where(np.isfinite(v), v, 0.0) for v in (va, vb))
    exact = _truncated_sums(finite_a, ta.e[a.T], finite_b, tb.e[b.T]) if len(va) else raw
    total = np.where(np.isfinite(raw), exact, raw)
    r = fp32.bits_of(total)
    return r, fp32.is_nan(r), fp32.is_inf(r) & np.isfinite(total)
