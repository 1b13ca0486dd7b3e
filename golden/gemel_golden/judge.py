"""The slow judge of `dot.py`: the numerics contract in Python integers, element by element, sharing nothing with it."""

from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.flags import Flags
from gemel_golden.formats import Format, by_name

_NAN = 0x7FC0_0000
_INF = 0x7F80_0000
_KINDS = {"nan": _NAN, "+inf": _INF, "-inf": _INF | 1 << 31}


def _fields(code: int, fmt: Format) -> tuple[str, int, int, int]:
    """(kind, sign, m, e) of a code, its kind "finite", "inf" or "nan"."""
    if fmt.is_int:
        value = code - (1 << fmt.bits) if fmt.signed and code >> (fmt.bits - 1) else code
        return "finite", int(value < 0), abs(value), 7
    sign = code >> (fmt.bits - 1)
    mantissa = code & ((1 << fmt.mantissa_bits) - 1)
    field = (code >> fmt.mantissa_bits) & ((1 << fmt.exponent_bits) - 1)
    full = field == (1 << fmt.exponent_bits) - 1
    if full and fmt.has_inf:
        return ("nan" if mantissa else "inf"), sign, 0, 0
    if full and fmt.name == "e4m3" and mantissa == 7:
        return "nan", sign, 0, 0
    hidden = (1 << fmt.mantissa_bits) if field else 0
    return "finite", sign, mantissa | hidden, max(field, 1) - ((1 << (fmt.exponent_bits - 1)) - 1)


def round_to_fp32(value: Fraction) -> int:
    """FP32 bits of a rational, rounded once to nearest even; zero is +0, what is too large Inf."""
    if value == 0:
        return 0
    sign = int(value < 0) << 31
    value = abs(value)
    e = value.numerator.bit_length() - value.denominator.bit_length()
    if value < Fraction(2) ** e:
        e -= 1
    e = max(e, -126)
    steps = value / Fraction(2) ** (e - 23)
    n, rest = divmod(steps.numerator, steps.denominator)
    if 2 * rest > steps.denominator or (2 * rest == steps.denominator and n & 1):
        n += 1
    bits = ((e + 126) << 23) + n
    return sign | min(bits, _INF)


def fp32_value(bits: int) -> Fraction | str:
    """The rational that FP32 bits mean, or "nan", "+inf", "-inf"."""
    field, mantissa = bits >> 23 & 255, bits & 0x7F_FFFF
    if field == 255:
        return "nan" if mantissa else ("-inf" if bits >> 31 else "+inf")
    value = Fraction(mantissa | (1 << 23 if field else 0)) * Fraction(2) ** (max(field, 1) - 150)
    return -value if bits >> 31 else value


def add_fp32(a: int, b: int) -> int:
    """a + b on FP32 bits by rationals, nearest even, NaN canonical."""
    x, y = fp32_value(a), fp32_value(b)
    if isinstance(x, str) or isinstance(y, str):
        infinities = {v for v in (x, y) if isinstance(v, str)}
        return _KINDS[infinities.pop()] if len(infinities) == 1 else _NAN
    if x == 0 and y == 0:
        return a & b & 1 << 31
    return round_to_fp32(x + y)


def dot_block(a: list[int], fmt_a: Format, b: list[int], fmt_b: Format) -> tuple[int, Fraction | None]:
    """R of one block as FP32 bits, and T as a rational (None where R is Inf or NaN by its operands)."""
    terms: list[tuple[int, int]] = []
    infinities: set[int] = set()
    nan = False
    for x, y in zip(a, b, strict=True):
        (kind_x, sign_x, m_x, e_x), (kind_y, sign_y, m_y, e_y) = _fields(x, fmt_a), _fields(y, fmt_b)
        kinds = {kind_x, kind_y}
        zero = (kind_x == "finite" and m_x == 0) or (kind_y == "finite" and m_y == 0)
        nan |= "nan" in kinds or ("inf" in kinds and zero)
        if "inf" in kinds:
            infinities.add(sign_x ^ sign_y)
        elif m_x * m_y:
            terms.append((-m_x * m_y if sign_x ^ sign_y else m_x * m_y, e_x + e_y))
    if nan or len(infinities) == 2:
        return _NAN, None
    if infinities:
        return _INF | infinities.pop() << 31, None
    if not terms:
        return 0, Fraction(0)
    emax = max(e for _, e in terms)
    total = 0
    for product, e in terms:
        # |P| / q = |product| * 2^(e - p_a - p_b + 2) / 2^(emax - 34)
        shift = e - (_p(fmt_a) + _p(fmt_b)) + 2 - emax + 34
        size = abs(product) << shift if shift >= 0 else abs(product) >> -shift
        total += -size if product < 0 else size
    value = total * Fraction(2) ** (emax - 34)
    return round_to_fp32(value), value


def _p(fmt: Format) -> int:
    return {"bf16": 8, "fp16": 11, "e4m3": 4, "e5m2": 3, "e2m1": 2, "int8": 8, "int4": 8}[fmt.name]


def block_matmul(
    a_codes: ArrayLike, fmt_a: Format | str, b_codes: ArrayLike, fmt_b: Format | str, c: ArrayLike | None = None
) -> tuple[NDArray[np.uint32], Flags]:
    """What `dot.block_matmul` returns, for small sizes (about 10,000 products a second)."""
    fmt_a, fmt_b = by_name(fmt_a), by_name(fmt_b)
    a, b = np.asarray(a_codes), np.asarray(b_codes)
    block = 256 // max(fmt_a.bits, fmt_b.bits)
    out = np.zeros((a.shape[0], b.shape[1]), np.uint32)
    flags = Flags()
    for i, j in np.ndindex(*out.shape):
        acc = None if c is None else int(np.asarray(c)[i, j]) & 0xFFFF_FFFF
        for k in range(0, a.shape[1], block):
            row = [int(x) & ((1 << fmt_a.bits) - 1) for x in a[i, k : k + block]]
            column = [int(x) & ((1 << fmt_b.bits) - 1) for x in b[k : k + block, j]]
            step = _integer_step if fmt_a.is_int and fmt_b.is_int else _float_step
            acc, new = step(acc, row, fmt_a, column, fmt_b)
            flags |= new
        out[i, j] = acc or 0
    return out, flags


def _float_step(acc: int | None, a: list[int], fmt_a: Format, b: list[int], fmt_b: Format) -> tuple[int, Flags]:
    r, exact = dot_block(a, fmt_a, b, fmt_b)
    d = r if acc is None else add_fp32(acc, r)
    over = exact is not None and r & ~(1 << 31) == _INF
    if acc is not None:
        finite = not any(isinstance(fp32_value(x), str) for x in (acc, r))
        over |= finite and d & ~(1 << 31) == _INF
    return d, Flags(invalid=d == _NAN, overflow=over)


def _integer_step(acc: int | None, a: list[int], fmt_a: Format, b: list[int], fmt_b: Format) -> tuple[int, Flags]:
    values: list[Any] = []
    for codes, fmt in ((a, fmt_a), (b, fmt_b)):
        values.append([-m if sign else m for _, sign, m, _ in (_fields(x, fmt) for x in codes)])
    start = acc or 0
    d = (start - (1 << 32) if start >> 31 else start) + sum(x * y for x, y in zip(*values, strict=True))
    return d & 0xFFFF_FFFF, Flags(overflow=not -(1 << 31) <= d < 1 << 31)
