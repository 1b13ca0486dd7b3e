"""What the drain does to an accumulator: scale, bias, ReLU and conversion, each step rounded once."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden import fp32
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, as_codes, by_name
from gemel_golden.rounding import from_fp32


def epilogue(
    acc_bits: ArrayLike,
    acc_is_int: bool,
    out_fmt: Format | str,
    *,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    relu: bool = False,
    random: ArrayLike | None = None,
    saturate: bool | None = None,
) -> tuple[NDArray[Any], Flags]:
    """Drain accumulators (M, N) to a format; returns (codes (M, N), flags).

    acc_bits: FP32 bits, or INT32 (signed or its bits) where acc_is_int; an integer is first rounded to FP32. Then, in
    this order and each an FP32 operation: * scale, + bias, ReLU, conversion by `rounding.from_fp32` (and its saturate).
    random: the random bits (M, N) of stochastic rounding to a format that has it; None rounds to nearest even.
    scale, bias: FP32 bits or float32 values, one per column (N,) or one for all. Without scale, bias and ReLU an INT32
    accumulator leaves as INT32, and an FP32 one as FP32, with its bits untouched.

    Flags: invalid where a product or a sum is NaN or a NaN meets a format without one; overflow where finite operands
    give an infinite result; saturated counts the clamped elements. Raises ValueError for a scale or bias that doesn't
    broadcast to (M, N).
    """
    out_fmt = by_name(out_fmt)
    if acc_is_int and out_fmt.name == "int32" and scale is None and bias is None and not relu:
        return as_codes(acc_bits, "int32").copy(), Flags()
    x = fp32.int32_to_fp32(acc_bits) if acc_is_int else as_codes(acc_bits, "fp32")
    flags = Flags()
    for name, vector, operation in (("scale", scale, fp32.mul), ("bias", bias, fp32.add)):
        if vector is None:
            continue
        operand = _vector(name, vector, x.shape)
        result = operation(x, operand)
        over = bool(fp32.overflowed(result, x, operand).any())
        flags |= Flags(invalid=bool(fp32.is_nan(result).any()), overflow=over)
        x = result
    if relu:
        x = fp32.relu(x)
    mode = "nearest" if random is None else "stochastic"
    codes, converted = from_fp32(x, out_fmt, mode=mode, random=random, saturate=saturate)
    return codes, flags | converted


def _vector(name: str, vector: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.uint32]:
    array = np.asarray(vector)
    bits = fp32.bits_of(array) if array.dtype.kind == "f" else as_codes(array, "fp32")
    columns = shape[-1] if shape else 1
    if bits.ndim > 1 or bits.size not in (1, columns):
        raise ValueError(f"{name} has shape {bits.shape}; it must be one value or one for each of {columns} columns")
    return bits
