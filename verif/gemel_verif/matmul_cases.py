"""Cases of `gemel.matmul` for every back end: random shapes, formats, views and epilogues, judged by golden."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.dot import block_elements, block_matmul
from gemel_golden.epilogue import epilogue
from gemel_golden.formats import FORMATS, OPERANDS, Format, by_name
from gemel_golden.isa import OPERAND_FORMATS, OUTPUT_FORMATS
from gemel_golden.philox import rounding_bits
from gemel_golden.scaled import fp32_scaled_matmul, scaled_matmul
from gemel_verif.stimulus import KINDS, operands

__all__ = ["BLOCK_SCALES", "NAMES", "OUTPUTS", "Case", "random_case", "run"]

NAMES = tuple(name for name in OPERANDS if by_name(name).code in OPERAND_FORMATS)
"""Formats that MATMUL multiplies."""
OUTPUTS = tuple(f.name for f in FORMATS.values() if f.code in OUTPUT_FORMATS)
"""Formats that MATMUL writes."""
BLOCK_SCALES = {"e8m0": 32, "e4m3": 16, "fp32": 128}
"""Formats of block scales, and elements of K under one of them."""
GUARD = 0xA5


@dataclass(frozen=True, kw_only=True)
class Case:
    """One product D (m, n) = A (m, k) @ B (k, n) and where its operands lie.

    `a_transposed`, `b_transposed`: memory has the transposed matrix. `a_margin`, `b_margin`, `out_margin`: rows and
    columns of a larger matrix before and behind the operand, so that it begins at any byte; out_margin ``None`` lets
    matmul allocate. `scale`: "none", "scalar" or "column". `block_scale`: the block scales' format, if any;
    `a_scaled`, `b_scaled`: "none", "rows" or "blocks" (one FP32 scale for 128 rows or columns). `kind`: of the data.
    """

    m: int
    n: int
    k: int
    a: str
    b: str
    out: str
    a_transposed: bool = False
    b_transposed: bool = False
    a_margin: tuple[int, int] = (0, 0)
    b_margin: tuple[int, int] = (0, 0)
    out_margin: tuple[int, int] | None = None
    scale: str = "none"
    bias: bool = False
    relu: bool = False
    c: bool = False
    saturate: bool | None = None
    kind: str = "normal"
    block_scale: str | None = None
    a_scaled: str = "none"
    b_scaled: str = "none"
    seed: int | None = None
    """Of stochastic rounding; `tensor_number` is its lowest 32 bits."""


def random_case(rng: np.random.Generator, a: str, b: str, out: str, largest: int = 130) -> Case:
    """A case with these formats, sides 1..`largest` and anything else."""
    m, n, k = (int(side) for side in rng.integers(1, largest + 1, 3))
    margins = [(int(rng.integers(0, 3)), int(rng.integers(0, 40))) for _ in range(3)]
    for margin, fmt in enumerate((a, b, out)):
        if by_name(fmt).bits == 4:
            margins[margin] = (margins[margin][0], margins[margin][1] // 2 * 2)
    if by_name(out).bits == 4:
        n += n % 2
    block_scale = None
    if not (by_name(a).is_int and by_name(b).is_int):
        known = [None, "e8m0", "fp32"] + (["e4m3"] if block_elements(a, b) == 64 else [])
        block_scale = known[int(rng.integers(len(known)))]
    kinds = ["none", "rows", "blocks"][: 3 if block_scale == "fp32" else 2] if block_scale else ["none"]
    return Case(
        m=m,
        n=n,
        k=k,
        a=a,
        b=b,
        out=out,
        a_transposed=by_name(a).bits > 4 and bool(rng.integers(2)),
        b_transposed=by_name(b).bits == 4 or bool(rng.integers(2)),
        a_margin=margins[0],
        b_margin=margins[1],
        out_margin=margins[2] if rng.integers(2) else None,
        scale=str(rng.choice(["none", "scalar", "column"])),
        bias=bool(rng.integers(2)),
        relu=bool(rng.integers(2)),
        c=bool(rng.integers(2)),
        saturate=[None, True, False][int(rng.integers(3))],
        kind=str(rng.choice(KINDS)),
        block_scale=block_scale,
        a_scaled=str(rng.choice(kinds)),
        b_scaled=str(rng.choice(kinds)),
        seed=int(rng.integers(1 << 63)) if by_name(out).stochastic_bits and rng.integers(2) else None,
    )


def run(gemel: ModuleType, device: Any, case: Case, rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Do the case on `device` with the package `gemel`; what it left and what golden says, both with the margins."""
    a_fmt, b_fmt, out = by_name(case.a), by_name(case.b), by_name(case.out)
    a = operands(rng, a_fmt, (case.m, case.k), case.kind)
    b = operands(rng, b_fmt, (case.n, case.k), case.kind).T
    integer = a_fmt.is_int and b_fmt.is_int
    vector = _vector(rng, case.n)
    scale = {"none": None, "scalar": vector[0] if case.n else np.float32(0.5), "column": vector}[case.scale]
    bias = _vector(rng, case.n) if case.bias else None
    start = by_name("int32" if integer else "fp32")
    c = operands(rng, start, (case.m, case.n), "normal" if not integer else "uniform_codes") if case.c else None

    a_scale = _block_scales(rng, case.block_scale, case.a_scaled, case.m, case.k)
    b_scale = _block_scales(rng, case.block_scale, case.b_scaled, case.n, case.k)
    named = case.block_scale if a_scale is not None or b_scale is not None else None
    scale_fmt = None if named is None else by_name(named)
    placed = [
        None
        if x is None or scale_fmt is None
        else _place(gemel, device, x.T, scale_fmt, False, (0, int(rng.integers(5))))
        for x in (a_scale, b_scale)
    ]

    target, view = None, None
    if case.out_margin is not None:
        rows, columns = case.out_margin
        target = gemel.empty(device, (case.m + 2 * rows, case.n + 2 * columns), out)
        target.write_codes(np.full(target.shape, GUARD & ((1 << out.bits) - 1), out.storage))
        view = target[rows : rows + case.m, columns : columns + case.n]
    product = gemel.matmul(
        _place(gemel, device, a, a_fmt, case.a_transposed, case.a_margin),
        _place(gemel, device, b, b_fmt, case.b_transposed, case.b_margin),
        out_dtype=out,
        bias=bias,
        scale=scale,
        epilogue=("relu_bias" if case.bias else "relu") if case.relu else None,
        c=None if c is None else _place(gemel, device, c, start, False, (0, 0)),
        a_scale=None if placed[0] is None else placed[0].T,
        b_scale=placed[1],
        saturate=case.saturate,
        out=view,
        **_rounding(case),
    )
    if scale_fmt is None or case.k == 0:
        sums, _ = block_matmul(a, a_fmt, b, b_fmt, c)
    elif scale_fmt.name == "fp32":
        rows, columns = (_for_each(x, count, case.k) for x, count in ((a_scale, case.m), (b_scale, case.n)))
        sums, _ = fp32_scaled_matmul(a, a_fmt, b, b_fmt, c, scale_a=rows, scale_b=columns.T)
    else:
        b_turned = None if b_scale is None else b_scale.T
        sums, _ = scaled_matmul(a, a_fmt, b, b_fmt, c, scale_a=a_scale, scale_b=b_turned, scale_fmt=scale_fmt)
    random = None
    if case.seed is not None:
        index = np.arange(case.m * case.n).reshape(case.m, case.n)
        random = rounding_bits(case.seed, case.seed & 0xFFFF_FFFF, index, out.stochastic_bits)
    codes, _ = epilogue(
        sums,
        integer,
        out,
        scale=scale,
        bias=bias,
        relu=case.relu,
        random=random,
        saturate=out.saturates if case.saturate is None else case.saturate,
    )
    if target is None:
        return product.codes(), codes
    expected = np.full(target.shape, GUARD & ((1 << out.bits) - 1), out.storage)
    rows, columns = case.out_margin or (0, 0)
    expected[rows : rows + case.m, columns : columns + case.n] = codes
    return target.codes(), expected


def _rounding(case: Case) -> dict[str, Any]:
    if case.seed is None:
        return {}
    return {"rounding": "stochastic", "seed": case.seed, "tensor_number": case.seed & 0xFFFF_FFFF}


def _block_scales(
    rng: np.random.Generator, fmt: str | None, kind: str, rows: int, k: int
) -> NDArray[np.generic] | None:
    """Codes (rows, groups) of block scales."""
    if fmt is None or kind == "none":
        return None
    shape = (-(-rows // 128) if kind == "blocks" else rows, -(-k // BLOCK_SCALES[fmt]))
    if fmt == "fp32":
        return (rng.standard_normal(shape) * np.exp2(rng.integers(-6, 3, shape))).astype(np.float32).view(np.uint32)
    return rng.integers(*((117, 138) if fmt == "e8m0" else (0, 0x7F)), shape).astype(np.uint8)


def _for_each(scale: NDArray[Any] | None, rows: int, k: int) -> NDArray[Any]:
    """FP32 scales (rows, groups), where there may be one for 128 rows, or none."""
    if scale is None:
        return np.ones((rows, -(-k // 128)), np.float32).view(np.uint32)
    return scale if len(scale) == rows else scale.repeat(128, 0)[:rows]


def _vector(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    return (rng.standard_normal(n) * np.exp2(rng.integers(-6, 3, n))).astype(np.float32)


def _place(
    gemel: ModuleType, device: Any, codes: NDArray[Any], fmt: Format, transposed: bool, margin: tuple[int, int]
) -> Any:
    """A view of a larger matrix on the device that holds `codes`, the rest of it random."""
    stored = codes.T if transposed else codes
    rows, columns = margin
    whole = np.pad(stored, ((rows, rows), (columns, columns)), constant_values=fmt.largest + 1)
    parent = gemel.empty(device, whole.shape, fmt)
    parent.write_codes(whole)
    view = parent[rows : rows + stored.shape[0], columns : columns + stored.shape[1]]
    return view.T if transposed else view
