"""`matmul` in NumPy, on codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.dtypes import dtype
from gemel.kernels.block_scales import block_scaled_sums
from gemel.kernels.matmul_epilogue import EPILOGUES, TileCode, epilogue_reference
from gemel.kernels.matmul_spec import ones_format, sums_format
from gemel_golden.epilogue import epilogue as drain
from gemel_golden.flags import Flags
from gemel_golden.formats import Format
from gemel_golden.philox import rounding_bits
from gemel_golden.rounding import encode

__all__ = ["fused_reference", "matmul_reference"]

Codes = NDArray[np.generic]


def matmul_reference(
    a: NDArray[np.generic],
    a_fmt: Format,
    b: NDArray[np.generic],
    b_fmt: Format,
    out_fmt: Format,
    *,
    scale: NDArray[np.float32] | float | None = None,
    bias: NDArray[np.float32] | None = None,
    relu: bool = False,
    c: NDArray[np.generic] | None = None,
    a_scale: NDArray[np.generic] | None = None,
    b_scale: NDArray[np.generic] | None = None,
    scale_fmt: Format | None = None,
    rounding: str = "nearest",
    seed: int = 0,
    tensor_number: int = 0,
    saturate: bool | None = None,
) -> tuple[NDArray[np.generic], Flags]:
    """`matmul` in NumPy, on codes: a (M, K), b (K, N), c (M, N) -> codes (M, N) and the sticky flags."""
    acc, summed = block_scaled_sums(a, a_fmt, b, b_fmt, c, a_scale, b_scale, scale_fmt)
    index = np.arange(acc.size).reshape(acc.shape)
    random = rounding_bits(seed, tensor_number, index, out_fmt.stochastic_bits) if rounding == "stochastic" else None
    bits = None if scale is None else np.asarray(scale, np.float32).view(np.uint32)
    codes, drained = drain(
        acc,
        a_fmt.is_int and b_fmt.is_int,
        out_fmt,
        scale=bits,
        bias=None if bias is None else np.asarray(bias, np.float32).view(np.uint32),
        relu=relu,
        random=random,
        saturate=out_fmt.saturates if saturate is None else saturate,
    )
    return codes, summed | drained


def fused_reference(
    a: Codes,
    a_fmt: Format,
    b: Codes,
    b_fmt: Format,
    out_fmt: Format,
    *,
    epilogue: str,
    approximate: str = "none",
    aux: Codes | None = None,
    aux_fmt: Format | None = None,
    saturate: bool | None = None,
    **options: Any,
) -> tuple[Codes, Codes | None, Codes | None]:
    """`matmul` with an epilogue: the codes of D, those of an aux that it writes, and those of the bias gradient.

    aux: the codes of an aux that it reads, of format `aux_fmt`, which that of an aux that it writes is too. options:
    `matmul_reference`'s.
    """
    entry = EPILOGUES[epilogue]
    saturate = out_fmt.saturates if saturate is None else saturate
    gradient = None
    if entry.gradient_of in ("a", "b"):
        gradient = _sums(entry.gradient_of, a, a_fmt, b, b_fmt, options)
    if not entry.vector:
        options |= {"relu": entry.drained_relu, "saturate": saturate}
        return matmul_reference(a, a_fmt, b, b_fmt, out_fmt, **options)[0], None, gradient
    x, _ = matmul_reference(a, a_fmt, b, b_fmt, dtype("fp32"), **options)
    code = TileCode(epilogue=entry, approximate=approximate, out=out_fmt, saturate=saturate, aux=aux_fmt)
    return epilogue_reference(code, x.astype(np.uint32), aux)


def _sums(side: str, a: Codes, a_fmt: Format, b: Codes, b_fmt: Format, options: dict[str, Any]) -> Codes:
    """The sums of A's rows or B's columns: products with ones."""
    x, fmt, scale = (a.T, a_fmt, "a_scale") if side == "a" else (b, b_fmt, "b_scale")
    scales = options.get(scale)
    if scales is not None and side == "a":
        scales = scales.T
    ones = ones_format(fmt, scales is not None)
    row = np.full((1, len(x)), encode([1.0], ones)[0][0])
    scale_fmt = None if scales is None else options.get("scale_fmt")
    sums, _ = block_scaled_sums(row, ones, x, fmt, None, None, scales, scale_fmt)
    return sums[0].astype(sums_format(fmt, scales is not None).storage)
