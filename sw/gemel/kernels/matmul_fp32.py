"""FP32 matrix products on the BF16 tensor core: operands split into three parts of 8 significand bits each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.kernels.matmul import matmul
from gemel.lang import Tile, kernel
from gemel.tensors import Tensor
from gemel_golden.dot import block_matmul
from gemel_golden.rounding import from_fp32

__all__ = ["REFERENCES", "matmul_fp32"]

PRODUCTS = ((0, 2), (2, 0), (1, 1), (0, 1), (1, 0), (0, 0))
"""Parts of a and b that are multiplied, the smallest products first; what is left out is below 2^-24 of the whole."""


@kernel
def _split(x: Tile) -> Any:
    """x as three BF16 numbers, each what the ones before leave."""
    high = x.astype("bf16")
    rest = x - high
    middle = rest.astype("bf16")
    return high, middle, (rest - middle).astype("bf16")


def matmul_fp32(a: Tensor, b: Tensor, *, cores: int | None = None) -> Tensor:
    """a @ b of FP32 matrices (M, K) and (K, N), rows contiguous: six BF16 products, summed in FP32 one after the other.

    The error is that of an FP32 product with FP32 sums. Numbers beyond BF16's range of exponents are as in FP32.
    cores: as `matmul`'s.
    Raises ValueError for other formats and for shapes that don't fit.
    """
    for name, x in (("a", a), ("b", b)):
        if x.dtype != "fp32" or x.ndim != 2:
            raise ValueError(f"matmul_fp32: {name} is {x.dtype} {x.shape}; it takes fp32 matrices")
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"matmul_fp32: a {a.shape} and b {b.shape} don't multiply")
    lefts, rights = _split(a, cores=cores), _split(b, cores=cores)
    total = None
    for left, right in PRODUCTS:
        total = matmul(lefts[left], rights[right], out_dtype="fp32", c=total, cores=cores)
    assert total is not None
    return total


def matmul_fp32_reference(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same in NumPy, bit by bit."""
    lefts, rights = (_parts(x) for x in (a, b))
    total = None
    for left, right in PRODUCTS:
        total, _ = block_matmul(lefts[left], "bf16", rights[right], "bf16", total)
    assert total is not None
    return total.view(np.float32)


def _parts(x: NDArray[np.float32]) -> list[NDArray[Any]]:
    parts, rest = [], x
    for _ in range(3):
        codes, _ = from_fp32(rest, "bf16")
        parts.append(codes)
        rest = rest - (codes.astype(np.uint32) << 16).view(np.float32)
    return parts


REFERENCES = {"matmul_fp32": matmul_fp32_reference}
