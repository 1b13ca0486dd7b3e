"""Matrix product with an epilogue, in every operand and output format of the tensor core."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from gemel.dtypes import dtype
from gemel.kernels.block_scales import OperandScales, operand_scales, scale_mode
from gemel.kernels.matmul_checks import (
    check_aux,
    check_gradient,
    check_matrix,
    check_rounding,
    column_vector,
    find_epilogue,
    shapes,
)
from gemel.kernels.matmul_epilogue import Epilogue
from gemel.kernels.matmul_fused import NEGATIVE_ZERO
from gemel.kernels.matmul_program import matmul_program, rounding_keys
from gemel.kernels.matmul_spec import MatmulSpec, Register, ones_format
from gemel.kernels.split import Split, cores_for, split_product
from gemel.kernels.tiling import Operand
from gemel.tensors import Tensor, empty, tensor
from gemel_golden.config import ChipConfig
from gemel_golden.formats import Format
from gemel_golden.isa import OUTPUT_FORMATS, ScaleMode
from gemel_golden.scaled import FP32_GROUP
from gemel_golden.vector_isa import LANES

__all__ = ["matmul"]


def matmul(
    a: Tensor,
    b: Tensor,
    *,
    out_dtype: str | Format | None = None,
    bias: Tensor | ArrayLike | None = None,
    epilogue: str | None = None,
    approximate: str = "none",
    aux: Tensor | None = None,
    bias_gradient: Tensor | None = None,
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
    """epilogue(scale * (c + a @ b) + bias), rounded once to ``out_dtype`` after each FP32 step.

    Parameters: a, b: (M, K) and (K, N) tensors in bf16, fp16, e4m3, e5m2, int8, e2m1 or int4, formats independent; rows
    or columns contiguous, so transposed and sliced views are used without a copy; of 4-bit formats contiguous along K,
    so that b is the ``.T`` of an (N, K) tensor. Any of M, N, K may be 0. out_dtype: any format; default int32 for two
    integer operands, fp32 otherwise. scale: one number, or N FP32 numbers, one per column. bias: N FP32 numbers. c:
    (M, N) start of the accumulation, int32 for two integer operands, fp32 otherwise.

    epilogue: a name of `matmul_epilogue.EPILOGUES`, done in the same launch; names and meanings are cuBLASLt's.
    approximate: of GELU, "none" or "tanh". aux: (M, N) in fp32, bf16, fp16, e4m3 or e5m2 for GELU's pre-activation, and
    (M, ceil(N / 32)) int32 for ReLU's bit mask (bit j % 32 of word j // 32); "..._aux..." write it, "d..." read it.
    bias_gradient: "..._bgrad" write the sums of D's columns, before D is rounded and row after row, (N,) fp32; "bgrada"
    the sums of A's rows, (M,), and "bgradb" those of B's columns, (N,), as a product with ones gives them: int32 of an
    integer operand without scales, else fp32.

    a_scale, b_scale: scales along K within the sum, of one format. e8m0 (MX): (M, ceil(K / 32)) and (ceil(K / 32), N).
    e4m3 (NVFP4; two 4-bit operands, the tensor's own scale being `scale`): likewise with 16. fp32: likewise with 128,
    or one for 128 rows or columns too: (ceil(M / 128), ceil(K / 128)), (ceil(K / 128), ceil(N / 128)). What is missing
    counts as 1. The scales of one group of K lie side by side in memory: a_scale is the ``.T`` of a (groups, M) tensor.
    rounding: "nearest" (ties to even) or, to bf16, fp16, e4m3, e5m2 and e2m1 and with the tensor core's own epilogues,
    "stochastic": element (i, j) takes the random bits that `gemel_golden.philox.rounding_bits` has for the seed (64
    bits), the tensor's number (32 bits) and index i * N + j, however the product is cut. saturate: clamp to the largest
    finite value; default: FP8 and FP4 clamp, bf16 and fp16 overflow to infinity. out: write here instead of into a new
    tensor; (M, N), rows contiguous. cores: share the product by so many of the chip's cores, the same bytes for any
    number; default: all that get at least 32 rows or columns of D.

    The sum is the block-exact dot product of the numerics contract: the same bits on every chip. Returns an (M, N)
    tensor. Raises ``ValueError`` for shapes and formats that don't fit, `DeviceFault` when the chip stops.
    """
    device = a.device
    m, k, n = shapes(a, b)
    integer = a.format.is_int and b.format.is_int
    fmt = dtype(out_dtype) if out_dtype is not None else dtype("int32" if integer else "fp32")
    if fmt.code not in OUTPUT_FORMATS:
        raise ValueError(f"matmul can't write {fmt.name}")
    entry = find_epilogue(epilogue, approximate, bias=bias is not None)
    check_rounding(rounding, seed, tensor_number, fmt, entry)
    check_matrix("c", c, (m, n), dtype("int32" if integer else "fp32"))
    check_matrix("out", out, (m, n), fmt)
    check_aux(entry, aux, m, n)
    check_gradient(entry, bias_gradient, a, b, scaled=(a_scale is not None, b_scale is not None))
    d = empty(device, (m, n), fmt) if out is None else out
    if m == 0 or n == 0:
        if bias_gradient is not None:
            _gradient_alone(entry, bias_gradient, a, a_scale, b, b_scale)
        return d
    scalar = scale is not None and not isinstance(scale, Tensor) and np.ndim(scale) == 0
    vector = None if scalar else column_vector(a, "scale", scale, n)
    biases = column_vector(a, "bias", bias, n)
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
        epilogue=entry,
        approximate=approximate,
        aux=None if aux is None else aux.format,
        aux_stride=0 if aux is None else aux.strides[0],
        saturate=fmt.saturates if saturate is None else saturate,
        stochastic=rounding == "stochastic",
        zero_k=k == 0,
    )
    available = cores_for(device, cores)
    in_place = any(x is not None and x.address == d.address for x in (c, aux))
    split = _share(spec, device.config, len(available), in_place=in_place)
    piece = replace(spec, a=replace(spec.a, rows=split.rows), b=replace(spec.b, rows=split.columns))
    compiled = matmul_program(device.config, piece)
    keys = [
        device.upload(rounding_keys(device.config, piece, seed, tensor_number, columns=n, start=start))
        for start in (split.starts if spec.stochastic else ())
    ]
    code = device.upload(compiled.code) if compiled.code else None
    tensors = {
        Register.A: a,
        Register.B: b,
        Register.D: d,
        Register.SCALE: vector,
        Register.BIAS: biases,
        Register.C: c,
        Register.A_SCALES: a_scale,
        Register.B_SCALES: b_scale,
        Register.AUX: aux,
        Register.GRADIENT: bias_gradient,
        Register.CODE: code,
    }
    arguments = []
    for rank, start in enumerate(split.starts):
        steps = spec.offsets(*start)
        addresses = {name: x.address + steps.get(name, 0) for name, x in tensors.items() if x is not None}
        if keys:
            addresses[Register.KEYS] = keys[rank].address
        arguments.append([addresses.get(name, 0) for name in Register])
    formats = a.dtype if a.dtype == b.dtype else f"{a.dtype} x {b.dtype}"
    name = f"matmul {m} x {n} x {k} {formats}{f' {entry.name}' if entry.vector or entry.gradient_of else ''}"
    device.run(compiled.program, arguments, cores=available[: split.cores], name=name)
    return d


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


def _share(spec: MatmulSpec, config: ChipConfig, cores: int, *, in_place: bool) -> Split:
    """Who computes what, on up to so many cores.

    A sum that is written over its start is shared only in pieces without a common element.
    """
    granules = [FP32_GROUP if len(operand.windows()) > 1 else 1 for operand in (spec.a, spec.b)]
    if spec.epilogue.vector:
        granules[1] = max(granules[1], LANES)
    if spec.out.bits < 8:
        granules[1] = max(granules[1], 8 // spec.out.bits)
    m, n = spec.a.rows, spec.b.rows
    for count in range(cores, 0, -1):
        split = split_product(
            m,
            n,
            count,
            tile=config.tile,
            row_granule=granules[0],
            column_granule=granules[1],
            whole_columns=spec.epilogue.gradient_of == "d",
        )
        if not (in_place and split.overlaps(m, n)):
            return split
    raise AssertionError("a single piece has nothing in common with another")


def _gradient_alone(
    entry: Epilogue, gradient: Tensor, a: Tensor, a_scale: Tensor | None, b: Tensor, b_scale: Tensor | None
) -> None:
    """The bias gradient beside a result without elements."""
    count = gradient.shape[0]
    if entry.gradient_of == "d":
        gradient.write_codes(np.full(count, NEGATIVE_ZERO, np.uint32))
    elif count:
        x, scale = (a, a_scale) if entry.gradient_of == "a" else (b, b_scale)
        ones = tensor(a.device, np.ones((1, a.shape[1])), ones_format(x.format, scale is not None))
        if entry.gradient_of == "a":
            matmul(a, ones.T, a_scale=a_scale, out_dtype=gradient.format, out=gradient.reshape(count, 1))
        else:
            matmul(ones, b, b_scale=b_scale, out_dtype=gradient.format, out=gradient.reshape(1, count))
