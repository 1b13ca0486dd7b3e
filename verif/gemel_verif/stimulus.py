"""Operand data that breaks dot products: one function, seven kinds, every operand format."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.formats import Format, as_codes, by_name
from gemel_golden.rounding import encode

KINDS = ("uniform_codes", "normal", "cancelling", "one_sign", "subnormal", "special", "overflow")

# Orthogonal sign patterns: two vectors that carry different ones have products that cancel in fours.
_SIGNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def operands(rng: np.random.Generator, fmt: Format | str, shape: tuple[int, ...], kind: str) -> NDArray[Any]:
    """Random codes of one kind, in the format's storage dtype; the last axis is K. See `KINDS`.

    "cancelling": groups of four equal magnitudes whose products cancel, and the rest 6 to 12 bits below (16-bit
    formats: 6 to 20), so that a block's products have a tail 12 to 24 (40) bits below what cancels. "special": normal
    data, one element in 48 is NaN, an infinity, a zero of either sign or a largest value. "overflow": magnitudes in
    the top binades. Integers have no specials: their extremes and zero stand in. Raises ValueError for an unknown
    kind.
    """
    fmt = by_name(fmt)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; the kinds are {', '.join(KINDS)}")
    return _MAKERS[kind](rng, fmt, shape)


def _uniform(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    return rng.integers(0, 1 << fmt.bits, shape).astype(fmt.storage)


def _normal(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    spread = fmt.max_int / 3 if fmt.is_int else 1.0
    return encode(rng.normal(0, spread, shape), fmt, saturate=True)[0]


def _cancelling(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    *outer, k = shape
    groups = -(-k // 4)
    top = rng.uniform(1, 2, (*outer, groups, 1)) * (fmt.max_finite / 4 if fmt.bits <= 8 else 1.0)
    signs = _SIGNS[rng.integers(0, 4, (*outer, 1))].repeat(groups, axis=-2)
    big = top * signs
    tail = (
        top
        * rng.uniform(-1, 1, (*outer, groups, 4))
        * np.exp2(-rng.integers(6, 21 if fmt.bits > 8 else 13, (*outer, groups, 1)))
    )
    x = np.where(rng.random((*outer, groups, 1)) < 0.5, big, tail)
    return encode(x.reshape(*outer, groups * 4)[..., :k], fmt, saturate=True)[0]


def _one_sign(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    spread = fmt.max_int / 4 if fmt.is_int else 0.25
    return encode(rng.exponential(spread, shape), fmt, saturate=True)[0]


def _subnormal(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    if fmt.is_int:
        return as_codes(rng.integers(-2, 3, shape), fmt)
    magnitude = rng.integers(0, (1 << fmt.mantissa_bits) + 2, shape)
    return (magnitude | (rng.integers(0, 2, shape) << (fmt.bits - 1))).astype(fmt.storage)


def _special(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    sign = 1 << (fmt.bits - 1)
    choices = [0, sign, fmt.largest, fmt.largest | sign if not fmt.is_int else sign + 1]
    if fmt.has_inf:
        choices += [fmt.largest + 1, (fmt.largest + 1) | sign]
    if fmt.has_nan:
        choices += [fmt.nan or 0, (sign << 1) - 1]
    chosen = rng.choice(np.array(choices), shape)
    return np.where(rng.random(shape) < 1 / 48, chosen, _normal(rng, fmt, shape)).astype(fmt.storage)


def _overflow(rng: np.random.Generator, fmt: Format, shape: tuple[int, ...]) -> NDArray[Any]:
    magnitude = fmt.max_finite * np.exp2(-rng.exponential(1.0, shape))
    return encode(magnitude * rng.choice([-1.0, 1.0, 1.0, 1.0], shape), fmt, saturate=True)[0]


_MAKERS = {
    "uniform_codes": _uniform,
    "normal": _normal,
    "cancelling": _cancelling,
    "one_sign": _one_sign,
    "subnormal": _subnormal,
    "special": _special,
    "overflow": _overflow,
}
