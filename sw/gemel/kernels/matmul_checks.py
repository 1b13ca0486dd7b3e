"""What a product takes: shapes, formats and epilogues that fit each other, or errors that say what doesn't."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from gemel.dtypes import dtype
from gemel.kernels.gelu import check_approximate
from gemel.kernels.matmul_epilogue import DEFAULT, EPILOGUES, Epilogue, aux_shape
from gemel.kernels.matmul_spec import sums_format
from gemel.tensors import Tensor, tensor
from gemel_golden.formats import Format, by_code
from gemel_golden.isa import OPERAND_FORMATS
from gemel_golden.rounding import MODES

__all__ = [
    "check_aux",
    "check_gradient",
    "check_matrix",
    "check_rounding",
    "column_vector",
    "find_epilogue",
    "shapes",
]

OPERAND_NAMES = ", ".join(by_code(code).name for code in OPERAND_FORMATS)


def shapes(a: Tensor, b: Tensor) -> tuple[int, int, int]:
    """M, K and N."""
    for name, x in (("a", a), ("b", b)):
        if x.ndim != 2:
            raise ValueError(f"{name} has shape {x.shape}; matmul takes matrices")
        if x.format.code not in OPERAND_FORMATS:
            raise ValueError(f"{name} is {x.dtype}; the tensor core multiplies {OPERAND_NAMES}")
    if a.shape[1] != b.shape[0]:
        raise ValueError(
            f"a {a.shape} and b {b.shape} don't multiply: a has {a.shape[1]} columns, b has {b.shape[0]} rows"
        )
    if a.device is not b.device:
        raise ValueError("a and b live on different devices")
    return a.shape[0], a.shape[1], b.shape[1]


def check_rounding(rounding: str, seed: int, number: int, fmt: Format, entry: Epilogue) -> None:
    """Whether D's format, and who writes it, take this rounding."""
    if rounding not in MODES:
        raise ValueError(f"unknown rounding {rounding!r}; there are {', '.join(MODES)}")
    if rounding == "stochastic" and not fmt.stochastic_bits:
        raise ValueError(f"stochastic rounding is not defined for {fmt}")
    if rounding == "stochastic" and entry.vector:
        raise ValueError(f"epilogue {entry.name!r} rounds to nearest; stochastic rounding is the tensor core's own")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} doesn't fit 64 bits")
    if not 0 <= number < 1 << 32:
        raise ValueError(f"tensor number {number} doesn't fit 32 bits")


def check_matrix(name: str, x: Tensor | None, shape: tuple[int, int], fmt: Format) -> None:
    """Whether a matrix, if there is one, has this shape and format and contiguous rows."""
    if x is None:
        return
    if x.shape != shape or x.format != fmt:
        raise ValueError(f"{name} is {x.dtype} {x.shape}; this product takes {fmt.name} {shape}")
    if shape[1] > 1 and x.strides[1] * 8 not in (fmt.bits, 0):
        raise ValueError(f"{name} has strides {x.strides} bytes; its rows must be contiguous")


def find_epilogue(name: str | None, approximate: str, *, bias: bool) -> Epilogue:
    """The entry of the table for a name; without one a bias, if there is one, is added."""
    if name is None:
        name = "bias" if bias else DEFAULT.name
    if name not in EPILOGUES:
        raise ValueError(f"no epilogue {name!r}; there are {', '.join(EPILOGUES)}")
    entry = EPILOGUES[name]
    if entry.bias and not bias:
        raise ValueError(f"epilogue {name!r} adds a bias: pass bias=")
    if bias and not entry.bias:
        with_bias = "bias" if entry is DEFAULT else f"{name}_bias"
        hint = f"; {with_bias!r} does" if with_bias in EPILOGUES else ""
        raise ValueError(f"epilogue {name!r} adds no bias{hint}")
    check_approximate("matmul", approximate)
    if approximate != "none" and entry.activation != "gelu":
        raise ValueError(f"approximate={approximate!r} is of GELU; epilogue {name!r} has none")
    return entry


def check_aux(entry: Epilogue, aux: Tensor | None, m: int, n: int) -> None:
    """Whether aux is what the epilogue reads or writes."""
    if aux is None and entry.aux is None:
        return
    if entry.aux is None:
        raise ValueError(f"epilogue {entry.name!r} has no aux")
    shape, formats = aux_shape(entry, m, n), ", ".join(entry.aux_formats)
    if aux is None:
        verb = "writes" if entry.aux == "out" else "reads"
        raise ValueError(f"epilogue {entry.name!r} {verb} aux: pass a tensor {shape} in one of {formats}")
    if aux.dtype not in entry.aux_formats:
        raise ValueError(f"aux is {aux.dtype}; epilogue {entry.name!r} takes {formats}")
    check_matrix("aux", aux, shape, aux.format)


def check_gradient(
    entry: Epilogue, gradient: Tensor | None, a: Tensor, b: Tensor, *, scaled: tuple[bool, bool]
) -> None:
    """Whether bias_gradient is what the epilogue writes; scaled: whether A and B have block scales."""
    if entry.gradient_of is None:
        if gradient is not None:
            raise ValueError(f"epilogue {entry.name!r} gives no bias gradient")
        return
    fmt, count = {
        "d": (dtype("fp32"), b.shape[1]),
        "a": (sums_format(a.format, scaled[0]), a.shape[0]),
        "b": (sums_format(b.format, scaled[1]), b.shape[1]),
    }[entry.gradient_of]
    if gradient is None:
        raise ValueError(f"epilogue {entry.name!r} writes bias_gradient: pass a tensor ({count},) in {fmt}")
    if gradient.shape != (count,) or gradient.format != fmt:
        raise ValueError(f"bias_gradient is {gradient.dtype} {gradient.shape}; this product takes {fmt} ({count},)")
    if count > 1 and gradient.strides[0] * 8 != fmt.bits:
        raise ValueError(f"bias_gradient has elements {gradient.strides[0]} bytes apart; they must be contiguous")


def column_vector(a: Tensor, name: str, x: Tensor | ArrayLike | None, n: int) -> Tensor | None:
    """N FP32 numbers on the device, contiguous, or ``None``."""
    if x is None:
        return None
    vector = x if isinstance(x, Tensor) else tensor(a.device, np.asarray(x, np.float32))
    if vector.shape != (n,) or vector.dtype != "fp32":
        raise ValueError(f"{name} is {vector.dtype} {vector.shape}; this product takes fp32 ({n},), one per column")
    return vector
