"""Matrix product with an epilogue, in every operand and output format of the tensor core."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel.dtypes import dtype
from gemel.kernels.block_scales import OperandScales, block_scaled_sums, operand_scales, scale_mode
from gemel.kernels.matmul_program import MatmulSpec, matmul_program, rounding_keys
from gemel.kernels.split import Split, split_product
from gemel.kernels.tiling import Operand
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.config import ChipConfig
from gemel_golden.epilogue import epilogue
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, by_code
from gemel_golden.isa import OPERAND_FORMATS, OUTPUT_FORMATS, ScaleMode
from gemel_golden.philox import rounding_bits
from gemel_golden.rounding import MODES
from gemel_golden.scaled import FP32_GROUP

__all__ = ["matmul", "matmul_reference"]

ACTIVATIONS = (None, "relu")
OPERAND_NAMES = ", ".join(by_code(code).name for code in OPERAND_FORMATS)


def matmul(
    a: Tensor,
    b: Tensor,
    *,
    out_dtype: str | Format | None = None,
    bias: Tensor | ArrayLike | None = None,
    activation: str | None = None,
    scale: Tensor | ArrayLike | float | None = None,
    c: Tensor | None = None,
    a_scale: Tensor | None = None,
    b_scale: Tensor | None = None,
    rounding: str = "nearest",
    seed: int = 0,
    tensor_number: int = 0,
    saturate: bool | None = None,
    out: Tensor | None = None,
    cores: int | None = None,
) -> Tensor:
    """activation(scale * (c + a @ b) + bias), rounded once to ``out_dtype`` after each FP32 step.

    Parameters: a, b: (M, K) and (K, N) tensors in bf16, fp16, e4m3, e5m2, int8, e2m1 or int4, formats independent; rows
    or columns contiguous, so transposed and sliced views are used without a copy; of 4-bit formats contiguous along K,
    so that b is the ``.T`` of an (N, K) tensor. Any of M, N, K may be 0. out_dtype: any format; default int32 for two
    integer operands, fp32 otherwise. scale: one number, or N FP32 numbers, one per column. bias: N FP32 numbers. c:
    (M, N) start of the accumulation, int32 for two integer operands, fp32 otherwise.
    a_scale, b_scale: scales along K within the sum, of one format. e8m0 (MX): (M, ceil(K / 32)) and (ceil(K / 32), N).
    e4m3 (NVFP4; two 4-bit operands, the tensor's own scale being `scale`): likewise with 16. fp32: likewise with 128,
    or one for 128 rows or columns too: (ceil(M / 128), ceil(K / 128)), (ceil(K / 128), ceil(N / 128)). What is missing
    counts as 1. The scales of one group of K lie side by side in memory: a_scale is the ``.T`` of a (groups, M) tensor.
    rounding: "nearest" (ties to even) or, to bf16, fp16, e4m3, e5m2 and e2m1, "stochastic": element (i, j) takes the
    random bits that `gemel_golden.philox.rounding_bits` has for the seed (64 bits), the tensor's number (32 bits) and
    index i * N + j, however the product is cut. activation: ``None`` or "relu". saturate: clamp to the largest finite
    value; default: FP8 and FP4 clamp, bf16 and fp16 overflow to infinity. out: write here instead of into a new tensor;
    (M, N), rows contiguous. cores: share the product by so many of the chip's cores, the same bytes for any number;
    default: all that get at least 32 rows or columns of D.

    The sum is the block-exact dot product of the numerics contract: the same bits on every chip. Returns an (M, N)
    tensor. Raises ``ValueError`` for shapes and formats that don't fit, `DeviceFault` when the chip stops.
    """
    device = a.device
    m, k, n = _shapes(a, b)
    integer = a.format.is_int and b.format.is_int
    fmt = dtype(out_dtype) if out_dtype is not None else dtype("int32" if integer else "fp32")
    if fmt.code not in OUTPUT_FORMATS:
        raise ValueError(f"matmul can't write {fmt.name}")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} isn't one of {', '.join(map(repr, ACTIVATIONS))}")
    _check_rounding(rounding, seed, tensor_number, fmt)
    _check_matrix("c", c, (m, n), dtype("int32" if integer else "fp32"))
    _check_matrix("out", out, (m, n), fmt)
    d = empty(device, (m, n), fmt) if out is None else out
    if m == 0 or n == 0:
        return d
    scalar = scale is not None and not isinstance(scale, Tensor) and np.ndim(scale) == 0
    vector = None if scalar else _column_vector(a, "scale", scale, n)
    biases = _column_vector(a, "bias", bias, n)
    bits = int(np.asarray(scale, np.float32).view(np.uint32)) if scalar else 0
    mode = scale_mode(a.format, b.format, a_scale, b_scale)
    scales = (
        operand_scales("a_scale", a_scale, m, k, "a", mode),
        operand_scales("b_scale", None if b_scale is None else b_scale.T, n, k, "b", mode),
    )
    a_operand, b_operand = _Stored.of("a", a, m, k, scales[0]), _Stored.of("b", b.T, n, k, scales[1])
    spec = MatmulSpec(
        a=a_operand.operand,
        a_stride=a_operand.stride,
        b=b_operand.operand,
        b_stride=b_operand.stride,
        out=fmt,
        d_stride=d.strides[0],
        c_stride=None if c is None else c.strides[0],
        scale_mode=ScaleMode.COLUMN if vector is not None else ScaleMode.SCALAR if scalar else ScaleMode.NONE,
        scale_bits=bits,
        bias=biases is not None,
        relu=activation == "relu",
        saturate=fmt.saturates if saturate is None else saturate,
        stochastic=rounding == "stochastic",
        zero_k=k == 0,
    )
    available = device.library_cores
    split = _share(spec, device.config, cores, len(available), in_place=c is not None and c.address == d.address)
    piece = replace(spec, a=replace(spec.a, rows=split.rows), b=replace(spec.b, rows=split.columns))
    keys = [
        device.upload(rounding_keys(device.config, piece, seed, tensor_number, columns=n, start=start))
        for start in (split.starts if spec.stochastic else ())
    ]
    bases = [None if t is None else t.address for t in (a, b, d, vector, biases, c, a_scale, b_scale)]
    arguments = []
    for rank, (row, column) in enumerate(split.starts):
        steps = spec.offsets(row, column)
        arguments.append([0 if base is None else base + step for base, step in zip(bases, steps, strict=True)])
        arguments[-1].append(keys[rank].address if keys else 0)
    device.run(matmul_program(device.config, piece), arguments, cores=available[: split.cores])
    return d


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
    codes, drained = epilogue(
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


@dataclass(frozen=True)
class _Stored:
    """An operand as memory has it."""

    operand: Operand
    stride: int

    @classmethod
    def of(cls, name: str, x: Tensor, rows: int, k: int, scales: OperandScales | None) -> _Stored:
        """Rows (of A, or columns of B) by K, contiguous along one of them."""
        size = x.format.bits // 8
        along_k = x.strides[1] == size or (size > 0 and k <= 1)
        along_rows = x.strides[0] == size or rows == 1
        if size == 0 and not along_k:
            turned = "a tensor" if name == "a" else "the .T of an (N, K) tensor"
            raise ValueError(f"{name} is {x.dtype} and must be contiguous along K: pass {turned} whose rows are K long")
        if not (along_k or along_rows):
            raise ValueError(f"{name} has strides {x.strides} bytes; matmul needs its rows or its columns contiguous")
        transposed = not along_k
        stride = x.strides[1] if transposed else x.strides[0]
        kept = scales if k else None
        return cls(Operand(fmt=x.format, rows=rows, k=max(k, 1), transposed=transposed, scales=kept), stride)


def _share(spec: MatmulSpec, config: ChipConfig, cores: int | None, available: int, *, in_place: bool) -> Split:
    """Who computes what, on `cores` cores or all that are available.

    A sum that is written over its start is shared only in pieces without a common element.
    """
    if cores is not None and not 1 <= cores <= config.cores:
        raise ValueError(f"the {config.name} chip has {config.cores} cores, not {cores}")
    if cores is not None and cores > available:
        raise ValueError(f"the current stream has {available} of the chip's cores, not {cores}")
    granules = [FP32_GROUP if len(operand.windows()) > 1 else 1 for operand in (spec.a, spec.b)]
    if spec.out.bits < 8:
        granules[1] = max(granules[1], 8 // spec.out.bits)
    m, n = spec.a.rows, spec.b.rows
    for count in range(cores or available, 0, -1):
        split = split_product(m, n, count, tile=config.tile, row_granule=granules[0], column_granule=granules[1])
        if not (in_place and split.overlaps(m, n)):
            return split
    raise AssertionError("a single piece has nothing in common with another")


def _shapes(a: Tensor, b: Tensor) -> tuple[int, int, int]:
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


def _check_rounding(rounding: str, seed: int, number: int, fmt: Format) -> None:
    if rounding not in MODES:
        raise ValueError(f"unknown rounding {rounding!r}; there are {', '.join(MODES)}")
    if rounding == "stochastic" and not fmt.stochastic_bits:
        raise ValueError(f"stochastic rounding is not defined for {fmt}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed {seed} doesn't fit 64 bits")
    if not 0 <= number < 1 << 32:
        raise ValueError(f"tensor number {number} doesn't fit 32 bits")


def _check_matrix(name: str, x: Tensor | None, shape: tuple[int, int], fmt: Format) -> None:
    if x is None:
        return
    if x.shape != shape or x.format != fmt:
        raise ValueError(f"{name} is {x.dtype} {x.shape}; this product takes {fmt.name} {shape}")
    if shape[1] > 1 and x.strides[1] * 8 not in (fmt.bits, 0):
        raise ValueError(f"{name} has strides {x.strides} bytes; its rows must be contiguous")


def _column_vector(a: Tensor, name: str, x: Tensor | ArrayLike | None, n: int) -> Tensor | None:
    """N FP32 numbers on the device, contiguous, or ``None``."""
    if x is None:
        return None
    vector = x if isinstance(x, Tensor) else tensor(a.device, np.asarray(x, np.float32))
    if vector.shape != (n,) or vector.dtype != "fp32":
        raise ValueError(f"{name} is {vector.dtype} {vector.shape}; this product takes fp32 ({n},), one per column")
    return vector
