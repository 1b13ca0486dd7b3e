"""Cases of `gemel.matmul` with an epilogue for every back end: all that it writes, in the midst of other bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.formats import Format, by_name
from gemel_verif.stimulus import operands

__all__ = ["EpilogueCase", "random_epilogue_case", "run_epilogue"]

GUARD = 0xA5A5_A5A5
"""What lies around the results; its low bits in narrower formats."""


@dataclass(frozen=True, kw_only=True)
class EpilogueCase:
    """One product with an epilogue of `gemel.kernels.matmul_epilogue.EPILOGUES`; `aux`: the format of a pre-activation.

    `transposed`: whether memory has A and B transposed. `margin`: rows and columns around D, aux and the bias gradient.
    `kind`: of the operands' data.
    """

    m: int
    n: int
    k: int
    epilogue: str
    a: str = "e4m3"
    b: str = "e4m3"
    out: str = "bf16"
    aux: str = "bf16"
    approximate: str = "none"
    transposed: tuple[bool, bool] = (False, True)
    scale: bool = False
    c: bool = False
    margin: int = 0
    kind: str = "normal"


def random_epilogue_case(rng: np.random.Generator, name: str, a: str, b: str, out: str, largest: int) -> EpilogueCase:
    """A case of an epilogue with these formats, sides 1..`largest` and anything else."""
    m, n, k = (int(side) for side in rng.integers(1, largest + 1, 3))
    if by_name(out).bits == 4:
        n += n % 2
    return EpilogueCase(
        m=m,
        n=n,
        k=k,
        epilogue=name,
        a=a,
        b=b,
        out=out,
        aux=str(rng.choice(["fp32", "bf16", "fp16", "e4m3", "e5m2"])),
        approximate=str(rng.choice(["none", "tanh"])) if "gelu" in name else "none",
        transposed=(by_name(a).bits > 4 and bool(rng.integers(2)), by_name(b).bits == 4 or bool(rng.integers(2))),
        scale=bool(rng.integers(2)),
        c=bool(rng.integers(2)),
        margin=int(rng.integers(3)) * 2,
        kind=str(rng.choice(["normal", "cancelling", "special"])),
    )


def run_epilogue(
    gemel: ModuleType, reference: Callable[..., Any], device: Any, case: EpilogueCase, rng: np.random.Generator
) -> list[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Do a case with the package `gemel`: of D, aux and the bias gradient what it left and what it should have.

    reference: `gemel.kernels.matmul_reference.fused_reference`.
    """
    a_fmt, b_fmt, out = by_name(case.a), by_name(case.b), by_name(case.out)
    a = operands(rng, a_fmt, (case.m, case.k), case.kind)
    b = operands(rng, b_fmt, (case.n, case.k), case.kind).T
    integer = a_fmt.is_int and b_fmt.is_int
    options: dict[str, Any] = {"epilogue": case.epilogue, "approximate": case.approximate}
    if "bias" in case.epilogue:
        options["bias"] = rng.standard_normal(case.n).astype(np.float32)
    if case.scale or integer:
        options["scale"] = np.float32(0.0005 if integer else 0.5)
    shape = (case.m, case.n)
    gradient = case.epilogue.startswith(("drelu", "dgelu"))
    before = _codes_of_aux(case, rng) if "aux" in case.epilogue or gradient else None
    aux_fmt = None if before is None else before[1]
    c = operands(rng, by_name("int32" if integer else "fp32"), shape, "normal") if case.c else None
    count = {"bgrada": (case.m, a_fmt), "bgradb": (case.n, b_fmt)}.get(case.epilogue, (case.n, out))
    sums = by_name("int32" if "bgrad" in case.epilogue and count[1].is_int and not gradient else "fp32")

    d_parent, d = _within(gemel, device, shape, out, case.margin)
    aux_parent = aux = gradient_parent = gradients = None
    if before is not None:
        aux_parent, aux = _within(gemel, device, before[0].shape, before[1], case.margin)
        if gradient:
            aux.write_codes(before[0])
    if "bgrad" in case.epilogue:
        gradient_parent, row = _within(gemel, device, (1, count[0]), sums, case.margin)
        gradients = row.reshape(count[0])
    given = {"a": (a, a_fmt, case.transposed[0]), "b": (b, b_fmt, case.transposed[1])}
    tensors = [_placed(gemel, device, *x) for x in given.values()]
    start = None if c is None else _placed(gemel, device, c, by_name("int32" if integer else "fp32"), False)
    gemel.matmul(*tensors, out_dtype=out, out=d, c=start, aux=aux, bias_gradient=gradients, **options)
    read = before[0] if before is not None and gradient else None
    codes, written, summed = reference(a, a_fmt, b, b_fmt, out, c=c, aux=read, aux_fmt=aux_fmt, **options)
    found = [("D", d_parent.codes(), _framed(codes, out, case.margin))]
    if before is not None and aux_parent is not None:
        held = before[0] if written is None else written
        found.append(("aux", aux_parent.codes(), _framed(held, before[1], case.margin)))
    if gradient_parent is not None:
        found.append(("bias gradient", gradient_parent.codes(), _framed(summed[None], sums, case.margin)))
    return found


def _codes_of_aux(case: EpilogueCase, rng: np.random.Generator) -> tuple[NDArray[Any], Format]:
    if "relu" in case.epilogue:
        fmt = by_name("int32")
        return operands(rng, fmt, (case.m, -(-case.n // 32)), "uniform_codes"), fmt
    fmt = by_name(case.aux)
    return operands(rng, fmt, (case.m, case.n), "special" if case.kind == "special" else "normal"), fmt


def _within(gemel: ModuleType, device: Any, shape: tuple[int, ...], fmt: Format, margin: int) -> tuple[Any, Any]:
    """A tensor full of guards, and the view of this shape in its midst."""
    rows, columns = shape
    parent = gemel.empty(device, (rows + 2 * margin, columns + 2 * margin), fmt)
    parent.write_codes(np.full(parent.shape, GUARD & ((1 << fmt.bits) - 1), fmt.storage))
    return parent, parent[margin : margin + rows, margin : margin + columns]


def _framed(codes: NDArray[Any], fmt: Format, margin: int) -> NDArray[Any]:
    return np.pad(codes.astype(fmt.storage), margin, constant_values=GUARD & ((1 << fmt.bits) - 1))


def _placed(gemel: ModuleType, device: Any, codes: NDArray[Any], fmt: Format, transposed: bool) -> Any:
    stored = np.ascontiguousarray(codes.T if transposed else codes)
    result = gemel.empty(device, stored.shape, fmt)
    result.write_codes(stored)
    return result.T if transposed else result
