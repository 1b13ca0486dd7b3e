"""Attention's backward pass on the golden chip against its NumPy reference bit for bit, and against float64."""

import math

import numpy as np
import pytest

import gemel
from gemel.kernels.attention import scaled_dot_product_attention
from gemel.kernels.attention_backward import (
    HeadCodes,
    attention_backward_reference,
    backward_spec,
    scaled_dot_product_attention_backward,
)


def run(device, rng, *, queries, keys, d, heads=1, kv_heads=1, fmt="bf16", out=None, key_length=None, **options):
    """Run both passes and compare each head of the backward one with the reference; values of operands and results."""
    shapes = ((queries, heads * d), (keys, kv_heads * d), (keys, kv_heads * d), (queries, heads * d))
    q, k, v, grad = (gemel.tensor(device, rng.standard_normal(shape), fmt) for shape in shapes)
    shared = {"heads": heads, "kv_heads": kv_heads, "key_length": key_length, **options}
    forward = scaled_dot_product_attention(q, k, v, out_dtype=out, return_logarithms=True, **shared)
    assert isinstance(forward, tuple)
    result, logarithms = forward
    dq, dk, dv = scaled_dot_product_attention_backward(grad, q, k, v, result, logarithms, **shared)
    group, keys = heads // kv_heads, key_length or keys
    settings = {"keys": keys, "group": group, "causal": False, "scale": None} | options
    for kv in range(kv_heads):
        one = slice(kv * d, kv * d + d)
        numbers = range(kv * group, kv * group + group)
        columns = [slice(h * d, h * d + d) for h in numbers]
        spec = backward_spec(q, k[:, one], v[:, one], grad, result, dq, dk, dv, **settings)
        parts = [
            HeadCodes(q.codes()[:, c], grad.codes()[:, c], result.codes()[:, c], logarithms.codes()[h])
            for h, c in zip(numbers, columns, strict=True)
        ]
        dqs, dks, dvs = attention_backward_reference(spec, parts, k.codes()[:keys, one], v.codes()[:keys, one])
        for c, expected in zip(columns, dqs, strict=True):
            np.testing.assert_array_equal(dq.codes()[:, c], expected)
        np.testing.assert_array_equal(dk.codes()[:keys, one], dks)
        np.testing.assert_array_equal(dv.codes()[:keys, one], dvs)
    for padded in (dk[keys:], dv[keys:]):
        np.testing.assert_array_equal(padded.codes(), 0)
    return [x.numpy().astype(np.float64) for x in (q, k[:keys], v[:keys], grad, dq, dk[:keys], dv[:keys])]


def exact(q, k, v, grad, *, causal=False, scale=None):
    """The gradients of one head in float64, by the chain rule on the whole matrix."""
    scale = scale or 1 / math.sqrt(q.shape[1])
    s = scale * q @ k.T
    if causal:
        i, j = np.indices(s.shape)
        s = np.where(j <= i + s.shape[1] - s.shape[0], s, -np.inf)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    dp = grad @ v.T
    ds = p * (dp - (p * dp).sum(axis=1, keepdims=True)) * scale
    return ds @ k, ds.T @ q, p.T @ grad


def assert_close(found, wanted, tolerance):
    for name, a, b in zip(("dq", "dk", "dv"), found, wanted, strict=True):
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max()), name


@pytest.fixture(scope="module")
def nano():
    with gemel.open("nano", "golden") as device:
        yield device


@pytest.fixture(scope="module")
def inference():
    with gemel.open("inference", "golden") as device:
        yield device


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (32, 32), (33, 70), (64, 64), (5, 200), (70, 130), (300, 301)])
def test_shapes(nano, rng, queries, keys, causal):
    *operands, dq, dk, dv = run(nano, rng, queries=queries, keys=keys, d=32, causal=causal)
    assert_close((dq, dk, dv), exact(*operands, causal=causal), 0.02)


@pytest.mark.parametrize(
    ("d", "tokens", "causal"), [(64, 300, True), (96, 100, False), (128, 290, True), (256, 70, True)]
)
def test_head_dimensions(inference, rng, d, tokens, causal):
    *operands, dq, dk, dv = run(inference, rng, queries=tokens - 5, keys=tokens, d=d, causal=causal)
    assert_close((dq, dk, dv), exact(*operands, causal=causal), 0.02)


@pytest.mark.parametrize(("out", "tolerance"), [("fp32", 0.003), ("fp16", 0.003)])
def test_formats(nano, rng, out, tolerance):
    *operands, dq, dk, dv = run(nano, rng, queries=40, keys=96, d=32, fmt="fp16", out=out)
    assert_close((dq, dk, dv), exact(*operands), tolerance)


def test_padding_and_scale(nano, rng):
    *operands, dq, dk, dv = run(nano, rng, queries=20, keys=90, d=32, key_length=50, scale=0.7)
    assert_close((dq, dk, dv), exact(*operands, scale=0.7), 0.02)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_that_share_keys_are_summed(nano, rng, causal):
    q, k, v, grad, dq, dk, dv = run(nano, rng, queries=140, keys=150, d=32, heads=4, kv_heads=2, causal=causal)
    for kv in range(2):
        one = slice(32 * kv, 32 * kv + 32)
        parts = [slice(32 * head, 32 * head + 32) for head in (2 * kv, 2 * kv + 1)]
        wanted = [exact(q[:, c], k[:, one], v[:, one], grad[:, c], causal=causal) for c in parts]
        sums = [sum(w[i] for w in wanted) for i in (1, 2)]
        for c, (dq_wanted, _, _) in zip(parts, wanted, strict=True):
            assert_close((dq[:, c], dk[:, one], dv[:, one]), (dq_wanted, *sums), 0.02)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"grad_out": (4, 64)}, {}, r"grad_out \(4, 64\) and out \(4, 32\) should be as q, \(4, 32\)"),
        ({"logarithms": (2, 4)}, {}, r"logarithms \(2, 4\) should be \(1, 4\)"),
        ({"k": (3, 32), "v": (3, 32)}, {"causal": True}, r"with 3 keys for 4 queries"),
        ({}, {"key_length": 5}, r"5 keys of 4"),
        ({}, {"heads": 3}, r"3 heads and 3 of keys don't divide 32"),
        ({}, {"scale": -1.0}, r"positive finite scale, not -1.0"),
        ({"v": (3, 32)}, {}, r"k \(4, 32\) and v \(3, 32\) should be \(tokens, 32\)"),
    ],
)
def test_what_does_not_fit_is_refused(nano, changes, options, message):
    shapes = dict.fromkeys(("grad_out", "q", "k", "v", "out"), (4, 32)) | {"logarithms": (1, 4)} | changes
    tensors = {n: gemel.tensor(nano, np.zeros(s), "fp32" if n == "logarithms" else "bf16") for n, s in shapes.items()}
    with pytest.raises(ValueError, match=message):
        scaled_dot_product_attention_backward(**tensors, **options)


def test_formats_of_eight_bits_are_refused(nano):
    grad, q, k, v, out = (gemel.tensor(nano, np.zeros((4, 32)), "e4m3") for _ in range(5))
    logarithms = gemel.tensor(nano, np.zeros((1, 4)), "fp32")
    with pytest.raises(ValueError, match="e4m3, e4m3, e4m3, e4m3; the backward pass takes one of bf16, fp16"):
        scaled_dot_product_attention_backward(grad, q, k, v, out, logarithms)
