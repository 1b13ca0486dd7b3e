"""The gradients of attention, without a matrix of scores in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.kernels.attention_backward_program import compile_backward
from gemel.kernels.attention_backward_units import BackwardSpec, gradient_limits, key_strips
from gemel.kernels.attention_checks import check_heads, factors
from gemel.kernels.attention_vector import STRIP
from gemel.kernels.split import cores_for
from gemel.tensors import Tensor, empty, tensor
from gemel_golden import lane_ops
from gemel_golden.dot import block_matmul
from gemel_golden.epilogue import epilogue
from gemel_golden.functions import Function, evaluate
from gemel_golden.lane_ops import LaneOp
from gemel_golden.rounding import from_fp32
from gemel_golden.widen import widen

__all__ = ["HeadCodes", "attention_backward_reference", "backward_spec", "scaled_dot_product_attention_backward"]

FORMATS = ("bf16", "fp16")
OUTPUTS = ("fp32", *FORMATS)
Codes = NDArray[Any]
Bits = NDArray[np.uint32]


def scaled_dot_product_attention_backward(
    grad_out: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    logarithms: Tensor,
    *,
    heads: int = 1,
    kv_heads: int | None = None,
    causal: bool = False,
    scale: float | None = None,
    key_length: int | None = None,
    cores: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients (dq, dk, dv) of `scaled_dot_product_attention`, with weights P recomputed strip by strip.

    dV = P^T dO, dS = P * (dO V^T - D) with D the row sums of dO * O, dQ = scale dS K, dK = scale dS^T Q.

    Parameters: grad_out (dO): like the result, (Tq, heads * d), in q's format; q, k, v and the options: those of the
    forward pass, in bf16 or fp16; out (O): its result in fp32, bf16 or fp16; logarithms: (heads, Tq) FP32, which
    it gives with return_logarithms. cores: share the heads of keys by so many of the chip's cores, the same bytes for
    any number; default: all.

    S, dP, P and dS are FP32; P and dS are rounded to q's format for the products that they enter, whose sums are FP32,
    over all heads that share keys, and rounded once. Keys from key_length on get zeros. The bits don't depend on the
    chip. Returns tensors of the shapes and formats of q, k and v. Raises ``ValueError`` for shapes and formats that
    don't fit.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    keys = k.shape[0] if key_length is None else key_length
    d = _head_dim(grad_out, q, k, v, out, logarithms, heads, kv_heads)
    if not 1 <= keys <= k.shape[0] or q.shape[0] < 1:
        raise ValueError(f"{keys} keys of {k.shape[0]} and {q.shape[0]} queries: there must be at least one of each")
    if causal and keys < q.shape[0]:
        raise ValueError(f"with {keys} keys for {q.shape[0]} queries, the first queries would see no key")
    dq, dk, dv = (empty(q.device, x.shape, q.format) for x in (q, k, v))
    for padded in (dk[keys:], dv[keys:]):
        padded.write_codes(np.zeros(padded.shape, q.format.storage))
    group, available = heads // kv_heads, cores_for(q.device, cores)
    wide, narrow = slice(group * d), slice(d)
    parts = (*zip((q, k, v, grad_out, out), (wide, narrow, narrow, wide, wide), strict=True),)
    parts += ((dq, wide), (dk, narrow), (dv, narrow))
    spec = backward_spec(*(x[:, part] for x, part in parts), keys=keys, group=group, causal=causal, scale=scale)
    compiled = compile_backward(q.device.config, spec)
    code = tensor(q.device, np.frombuffer(compiled.code, np.uint8).copy(), "uint8")
    limits = tensor(q.device, gradient_limits(spec), "fp32")
    partial = empty(q.device, (min(len(available), kv_heads), compiled.partial_bytes), "uint8")
    name = f"attention backward {q.shape[0]} x {keys} x {d} {q.dtype}" + (" causal" if causal else "")
    for first in range(0, kv_heads, len(available)):
        arguments = []
        for rank, kv in enumerate(range(first, min(first + len(available), kv_heads))):
            *operands, dqs, dks, dvs = (x[:, kv * part.stop :] for x, part in parts)
            placed = [code, limits, *operands, logarithms[kv * group :], dqs, dks, dvs, partial[rank:]]
            arguments.append([x.address for x in placed])
        q.device.run(compiled.program, arguments, cores=available[: len(arguments)], name=name)
    return dq, dk, dv


def backward_spec(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    grad_out: Tensor,
    out: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    *,
    keys: int,
    group: int,
    causal: bool,
    scale: float | None,
) -> BackwardSpec:
    """What the program is made for: k, v, dk, dv (at least `keys`, d), all others (Tq, group * d)."""
    d = k.shape[1]
    value, factor = factors(scale, d)
    return BackwardSpec(
        queries=q.shape[0],
        keys=keys,
        head_dim=d,
        group=group,
        fmt=q.format,
        out=out.format,
        q_stride=q.strides[0],
        k_stride=k.strides[0],
        v_stride=v.strides[0],
        grad_stride=grad_out.strides[0],
        out_stride=out.strides[0],
        dq_stride=dq.strides[0],
        dk_stride=dk.strides[0],
        dv_stride=dv.strides[0],
        causal=causal,
        factor_bits=int(factor.view(np.uint32)),
        scale_bits=int(np.float32(value).view(np.uint32)),
    )


def _head_dim(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, logarithms: Tensor, heads: int, kv_heads: int
) -> int:
    """The head's dimension, once everything fits."""
    if any(x.ndim != 2 for x in (grad_out, q, k, v, out, logarithms)):
        raise ValueError("grad_out, q, k, v, out and logarithms are matrices")
    if q.dtype not in FORMATS or not q.format == k.format == v.format == grad_out.format:
        names = f"{grad_out.dtype}, {q.dtype}, {k.dtype}, {v.dtype}"
        raise ValueError(f"grad_out, q, k and v are {names}; the backward pass takes one of {', '.join(FORMATS)}")
    if out.dtype not in OUTPUTS or logarithms.dtype != "fp32":
        raise ValueError(
            f"out is {out.dtype} and the logarithms {logarithms.dtype}; "
            f"they should be one of {', '.join(OUTPUTS)}, and fp32"
        )
    d = check_heads(q, k, v, heads, kv_heads)
    if grad_out.shape != q.shape or out.shape != q.shape:
        raise ValueError(f"grad_out {grad_out.shape} and out {out.shape} should be as q, {q.shape}")
    if logarithms.shape != (heads, q.shape[0]):
        raise ValueError(f"logarithms {logarithms.shape} should be {(heads, q.shape[0])}: a row for each head")
    return d


@dataclass(frozen=True)
class HeadCodes:
    """Codes of what one head of queries brings: q, grad_out and out (Tq, d), and the logarithms' FP32 bits (Tq)."""

    q: Codes
    grad_out: Codes
    out: Codes
    logarithms: Bits


def attention_backward_reference(
    spec: BackwardSpec, heads: list[HeadCodes], k: Codes, v: Codes
) -> tuple[list[Codes], Codes, Codes]:
    """In NumPy on codes, bit by bit what the chip does for heads that share k and v (keys, d): dq by head, dk, dv."""
    fmt, limits = spec.fmt, gradient_limits(spec).view(np.uint32)
    factor, scale = np.uint32(spec.factor_bits), np.uint32(spec.scale_bits)
    strips = range(-(-spec.keys // STRIP))
    sums: list[list[Bits | None]] = [[None, None] for _ in strips]
    dqs = []
    for head in heads:
        delta = _row_products(widen(head.grad_out, fmt), widen(head.out, spec.out))
        dq = np.zeros((spec.queries, spec.head_dim), np.uint32)
        for strip in key_strips(spec, strips, 0, spec.queries):
            keys = slice(strip.number * STRIP, strip.number * STRIP + strip.rows)
            begin, masked = strip.begin, 32 * strip.masked
            q, grad = head.q[begin:], head.grad_out[begin:]
            scores, _ = block_matmul(k[keys], fmt, q.T, fmt)
            bounds = limits[: strip.rows, strip.skipped :][:, : min(masked, len(q))]
            scores[:, :masked] = _op(LaneOp.MIN, scores[:, :masked], bounds)
            products, _ = block_matmul(v[keys], fmt, grad.T, fmt)
            logarithms = _negative(head.logarithms[begin:])
            weights = evaluate(Function.EXP2, _op(LaneOp.FMA, scores, factor, logarithms))
            gradients = _op(LaneOp.MUL, weights, _op(LaneOp.ADD, products, _negative(delta[begin:])))
            p, ds = (from_fp32(x, fmt, saturate=True)[0] for x in (weights, gradients))
            for which, (left, right) in enumerate(((ds, q), (p, grad))):
                sums[strip.number][which], _ = block_matmul(left, fmt, right, fmt, sums[strip.number][which])
            dq[begin:], _ = block_matmul(ds.T, fmt, k[keys], fmt, dq[begin:] if strip.number else None)
        dqs.append(from_fp32(_op(LaneOp.MUL, dq, scale), fmt, saturate=True)[0])
    dk = np.concatenate([epilogue(_known(each[0]), False, fmt, scale=scale, saturate=True)[0] for each in sums])
    dv = np.concatenate([epilogue(_known(each[1]), False, fmt, saturate=True)[0] for each in sums])
    return dqs, dk, dv


def _known(bits: Bits | None) -> Bits:
    assert bits is not None, "each key is seen by a query"
    return bits


def _row_products(a: Bits, b: Bits) -> Bits:
    """The sums of rows of a * b: vector by vector of 32, then lanes 16, 8, 4, 2 and 1 apart."""
    total = _op(LaneOp.MUL, a[:, :32], b[:, :32])
    for start in range(32, a.shape[1], 32):
        total = _op(LaneOp.FMA, a[:, start : start + 32], b[:, start : start + 32], total)
    for apart in (16, 8, 4, 2, 1):
        total = _op(LaneOp.ADD, total[:, np.arange(32) ^ apart], total)
    return total[:, 0]


def _op(op: LaneOp, a: Any, b: Any, c: Any = 0) -> Bits:
    return lane_ops.apply(op, a, b, np.uint32(c) if np.ndim(c) == 0 else c)


def _negative(x: Any) -> Bits:
    return lane_ops.modify(x, False, True)
