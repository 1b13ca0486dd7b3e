"""Attention without a matrix of scores in memory: softmax(scale Q K^T) V for any number of heads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel.dtypes import dtype
from gemel.kernels.attention_checks import check_heads, factors
from gemel.kernels.attention_program import (
    BLOCKS,
    LEAST,
    AttentionSpec,
    Compiled,
    compile_attention,
    limits_of,
    steps_of,
)
from gemel.kernels.attention_shares import share_heads
from gemel.kernels.attention_vector import STRIP
from gemel.kernels.split import cores_for
from gemel.tensors import Tensor, empty, tensor
from gemel_golden import lane_ops
from gemel_golden.dot import block_matmul
from gemel_golden.formats import Format
from gemel_golden.functions import Function, evaluate
from gemel_golden.lane_ops import LaneOp
from gemel_golden.rounding import from_fp32

__all__ = ["attention_reference", "attention_spec", "scaled_dot_product_attention"]

FORMATS = ("bf16", "fp16", "e4m3", "e5m2")
MOST_STEPS = 256
"""Strips times blocks of keys of a program with several heads, about: longer programs take long to make."""
RANGE = {"e4m3": 8.0, "e5m2": 14.0}
"""Weights don't exceed 1, and FP8 has range above: they are multiplied by 2 to this power, and so are their sums."""
Bits = NDArray[np.uint32]


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    heads: int = 1,
    kv_heads: int | None = None,
    causal: bool = False,
    scale: float | None = None,
    key_length: int | None = None,
    out_dtype: str | Format | None = None,
    return_logarithms: bool = False,
    cores: int | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """softmax(scale * q @ k.T) @ v for each head, as torch.nn.functional has it.

    Parameters: q: (Tq, heads * d), k, v: (Tk, kv_heads * d) in one of bf16, fp16, e4m3 and e5m2, rows contiguous; d is
    a multiple of 32 up to 256. kv_heads: a divisor of heads, whose keys and values are shared by consecutive heads
    (grouped queries); default heads. causal: query i sees keys up to i + Tk - Tq; Tk must be at least Tq. scale:
    positive; default 1 / sqrt(d). key_length: the keys from here on are padding; default Tk. out_dtype: default that
    of q, bf16 for FP8. return_logarithms: also the base-2 logarithm of the sum of exponentials, (heads, Tq) FP32, that
    the backward pass takes. cores: share the heads by so many of the chip's cores or, where they don't divide the heads
    and all keys are seen, each head's queries; the same bytes for any number; default: all.

    Scores are FP32, weights are rounded to q's format, sums are FP32. Returns (Tq, heads * d). Raises ``ValueError``
    for shapes and formats that don't fit.
    """
    kv_heads = heads if kv_heads is None else kv_heads
    d, keys = _shapes(q, k, v, heads, kv_heads, key_length, causal)
    fmt = q.format
    out_fmt = dtype(out_dtype) if out_dtype is not None else (dtype("bf16") if fmt.bits == 8 else fmt)
    if out_fmt.name not in ("fp32", *FORMATS):
        raise ValueError(f"attention can't write {out_fmt.name}; it writes fp32, {', '.join(FORMATS)}")
    out = empty(q.device, (q.shape[0], heads * d), out_fmt)
    logarithms = empty(q.device, (heads, q.shape[0]), "fp32")
    available = cores_for(q.device, cores)
    spec = attention_spec(*(x[:, :d] for x in (q, k, v, out)), keys=keys, causal=causal, scale=scale)
    strips = -(-q.shape[0] // STRIP) * -(-keys // BLOCKS[0])
    shares = share_heads(heads, kv_heads, len(available), q.shape[0], cut=not causal, most=MOST_STEPS // strips)
    spec = replace(
        spec,
        queries=shares.queries,
        heads=shares.heads,
        group=min(shares.heads, heads // kv_heads),
        logarithms_stride=logarithms.strides[0],
    )
    compiled = compile_attention(q.device.config, spec)
    constants = _constants(q, spec, compiled)
    name = f"attention {q.shape[0]} x {keys} x {d} {q.dtype}" + (" causal" if causal else "")
    for launch in shares.launches:
        arguments = []
        for head, query in launch:
            kv = head * kv_heads // heads
            parts = (q[query:, head * d :], k[:, kv * d :], v[:, kv * d :], out[query:, head * d :])
            arguments.append([x.address for x in (*constants, *parts, logarithms[head:, query:])])
        q.device.run(compiled.program, arguments, cores=available[: len(launch)], name=name)
    return (out, logarithms) if return_logarithms else out


def attention_spec(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor, *, keys: int, causal: bool, scale: float | None
) -> AttentionSpec:
    """What the program of one head is made for: q (Tq, d), k and v (at least `keys`, d), out (Tq, d)."""
    d = q.shape[1]
    _, factor = factors(scale, d)
    return AttentionSpec(
        queries=q.shape[0],
        keys=keys,
        head_dim=d,
        fmt=q.format,
        out=out.format,
        q_stride=q.strides[0],
        k_stride=k.strides[0],
        v_stride=v.strides[0],
        out_stride=out.strides[0],
        causal=causal,
        factor_bits=int(factor.view(np.uint32)),
        bias=RANGE.get(q.dtype, 0.0),
    )


def _constants(q: Tensor, spec: AttentionSpec, compiled: Compiled) -> tuple[Tensor, Tensor]:
    """The vector code and the limits, in the device's memory."""
    code = tensor(q.device, np.frombuffer(compiled.code, np.uint8).copy(), "uint8")
    return code, tensor(q.device, limits_of(spec), "fp32")


def _shapes(
    q: Tensor, k: Tensor, v: Tensor, heads: int, kv_heads: int, key_length: int | None, causal: bool
) -> tuple[int, int]:
    """The head's dimension and the number of keys that count."""
    if any(x.ndim != 2 for x in (q, k, v)):
        raise ValueError(f"q, k and v are matrices (tokens, heads * d), not {q.shape}, {k.shape} and {v.shape}")
    if q.dtype not in FORMATS or not q.format == k.format == v.format:
        raise ValueError(f"q, k and v are {q.dtype}, {k.dtype}, {v.dtype}; attention takes one of {', '.join(FORMATS)}")
    d = check_heads(q, k, v, heads, kv_heads)
    keys = k.shape[0] if key_length is None else key_length
    if not 1 <= keys <= k.shape[0] or q.shape[0] < 1:
        raise ValueError(f"{keys} keys of {k.shape[0]} and {q.shape[0]} queries: there must be at least one of each")
    if causal and keys < q.shape[0]:
        raise ValueError(f"with {keys} keys for {q.shape[0]} queries, the first queries would see no key")
    return d, keys


def attention_reference(
    spec: AttentionSpec, block: int, q: NDArray[Any], k: NDArray[Any], v: NDArray[Any]
) -> tuple[NDArray[Any], Bits]:
    """One head in NumPy on codes, bit by bit what the chip does in blocks of `block` keys; the result's codes, and the
    logarithms' FP32 bits."""
    factor, bias = np.uint32(spec.factor_bits), np.float32(spec.bias).view(np.uint32)
    limits = limits_of(spec).view(np.uint32)
    results: dict[int, NDArray[Any]] = {}
    logarithms: dict[int, Bits] = {}
    greatest = total = sums = np.zeros(0, np.uint32)
    for step in steps_of(spec, block):
        rows = slice(step.strip * STRIP, step.strip * STRIP + step.rows)
        if step.block == 0:
            greatest = np.full((step.rows, 1), LEAST, np.uint32)
        keys = np.zeros((step.columns, spec.head_dim), k.dtype)
        given = k[step.first_key : min(step.first_key + step.columns, spec.keys)]
        keys[: len(given)] = given
        scores, _ = block_matmul(q[rows], spec.fmt, keys.T, spec.fmt)
        whole = 32 * step.whole
        limit = limits[: step.rows, 32 * step.skipped :][:, : step.columns - whole]
        scores[:, whole:] = _op(LaneOp.MIN, scores[:, whole:], limit)
        before = greatest
        top = _op(LaneOp.MUL, _row_max(scores), factor)[:, None]
        greatest = _op(LaneOp.MAX, top, before)
        shift = _op(LaneOp.ADD, greatest, _negative(bias)) if spec.bias else greatest
        weights = evaluate(Function.EXP2, _op(LaneOp.FMA, scores, factor, _negative(shift)))
        alpha = evaluate(Function.EXP2, _op(LaneOp.ADD, before, _negative(greatest)))
        total = _op(LaneOp.FMA, total, alpha, _row_sum(weights)[:, None]) if step.block else _row_sum(weights)[:, None]
        codes, _ = from_fp32(weights, spec.fmt, saturate=True)
        c = _op(LaneOp.MUL, sums, alpha) if step.block else None
        values = v[step.first_key : step.first_key + step.keys]
        sums, _ = block_matmul(codes[:, : step.keys], spec.fmt, values, spec.fmt, c)
        if step.last:
            result = _op(LaneOp.MUL, sums, evaluate(Function.RECIPROCAL, total))
            results[step.strip], _ = from_fp32(result, spec.out, saturate=True)
            logarithm = _op(LaneOp.ADD, evaluate(Function.LOG2, total), _negative(bias))
            logarithms[step.strip] = _op(LaneOp.ADD, logarithm, greatest)[:, 0]
    strips = sorted(results)
    return np.concatenate([results[i] for i in strips]), np.concatenate([logarithms[i] for i in strips])


def _op(op: LaneOp, a: Any, b: Any, c: Any = 0) -> Bits:
    return lane_ops.apply(op, a, b, np.uint32(c) if np.ndim(c) == 0 else c)


def _negative(x: Any) -> Bits:
    return lane_ops.modify(x, False, True)


def _row_max(bits: Bits) -> Bits:
    """The greatest of each row's FP32 numbers; the order doesn't matter."""
    columns = list(bits.T)
    result = columns[0]
    for column in columns[1:]:
        result = _op(LaneOp.MAX, result, column)
    return result


def _row_sum(bits: Bits) -> Bits:
    """Each row's sum: vector by vector of 32 from zero, then lanes 16, 8, 4, 2 and 1 apart."""
    lanes = np.zeros((len(bits), 32), np.uint32)
    for start in range(0, bits.shape[1], 32):
        lanes = _op(LaneOp.ADD, lanes, bits[:, start : start + 32])
    for apart in (16, 8, 4, 2, 1):
        lanes = _op(LaneOp.ADD, lanes[:, np.arange(32) ^ apart], lanes)
    return lanes[:, 0]
