"""Attention on the golden chip against its NumPy reference bit for bit, and against float64 for its accuracy."""

import math

import numpy as np
import pytest

import gemel
from gemel.kernels.attention import attention_reference, attention_spec, scaled_dot_product_attention
from gemel.kernels.attention_program import compile_attention


def run(device, rng, *, queries, keys, d, fmt="bf16", causal=False, key_length=None, out=None, scale=None):
    """Run one head and compare it with the reference; the values of its operands and result."""
    q, k, v = (gemel.tensor(device, rng.standard_normal((n, d)), fmt) for n in (queries, keys, keys))
    results = scaled_dot_product_attention(
        q, k, v, causal=causal, scale=scale, key_length=key_length, out_dtype=out, return_logarithms=True
    )
    assert isinstance(results, tuple)
    result, logarithms = results
    spec = attention_spec(q, k, v, result, keys=key_length or keys, causal=causal, scale=scale)
    block = compile_attention(device.config, spec).block
    expected, logs = attention_reference(spec, block, q.codes(), k.codes(), v.codes())
    np.testing.assert_array_equal(logarithms.codes()[0], logs)
    np.testing.assert_array_equal(result.codes(), expected)
    return [x.numpy().astype(np.float64) for x in (q, k, v, result, logarithms)]


def exact(q, k, v, causal):
    """Attention in float64, and the base-2 logarithms of its sums."""
    s = q @ k.T / math.sqrt(q.shape[1])
    if causal:
        i, j = np.indices(s.shape)
        s = np.where(j <= i + s.shape[1] - s.shape[0], s, -np.inf)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    total = p.sum(axis=1, keepdims=True)
    return p / total @ v, (np.log2(total) + s.max(axis=1, keepdims=True) * math.log2(math.e))[:, 0]


@pytest.fixture(scope="module")
def nano():
    with gemel.open("nano", "golden") as device:
        yield device


@pytest.fixture(scope="module")
def inference():
    with gemel.open("inference", "golden") as device:
        yield device


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("queries", "keys"), [(1, 1), (32, 32), (33, 70), (64, 64), (5, 200), (70, 130), (96, 300), (300, 301)]
)
def test_shapes(nano, rng, queries, keys, causal):
    q, k, v, result, logarithms = run(nano, rng, queries=queries, keys=keys, d=32, causal=causal)
    wanted, logs = exact(q, k, v, causal)
    assert np.abs(result - wanted).max() < 0.02
    assert np.abs(logarithms[0] - logs).max() < 1e-5


@pytest.mark.parametrize("d", [64, 96, 128])
def test_head_dimensions(inference, rng, d):
    run(inference, rng, queries=40, keys=100, d=d, causal=True)


@pytest.mark.parametrize("fmt", ["fp16", "e4m3", "e5m2"])
def test_formats(nano, rng, fmt):
    q, k, v, result, _ = run(nano, rng, queries=40, keys=96, d=32, fmt=fmt, out="fp32")
    assert np.abs(result - exact(q, k, v, False)[0]).max() < {"fp16": 0.002, "e4m3": 0.06, "e5m2": 0.12}[fmt]


def test_padding_and_scale(nano, rng):
    run(nano, rng, queries=20, keys=90, d=32, key_length=50, scale=0.7)


def test_grouped_heads_share_their_keys(nano, rng):
    q = gemel.tensor(nano, rng.standard_normal((34, 4 * 32)), "bf16")
    k, v = (gemel.tensor(nano, rng.standard_normal((34, 2 * 32)), "bf16") for _ in "kv")
    result = scaled_dot_product_attention(q, k, v, heads=4, kv_heads=2, causal=True)
    assert isinstance(result, gemel.Tensor)
    for head in range(4):
        one = slice(32 * head, 32 * head + 32)
        shared = slice(32 * (head // 2), 32 * (head // 2) + 32)
        alone = scaled_dot_product_attention(q[:, one], k[:, shared], v[:, shared], causal=True)
        assert isinstance(alone, gemel.Tensor)
        np.testing.assert_array_equal(result.codes()[:, one], alone.codes())


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((4, 40), (4, 40), (4, 40)), {}, r"multiple of 32 up to 256, not 40"),
        (((4, 64), (4, 64), (4, 64)), {"heads": 3}, r"3 heads and 3 of keys don't divide 64"),
        (((4, 32), (3, 32), (3, 32)), {"causal": True}, r"with 3 keys for 4 queries"),
        (((4, 32), (3, 32), (4, 32)), {}, r"k \(3, 32\) and v \(4, 32\) should be \(tokens, 32\)"),
        (((4, 32), (4, 32), (4, 32)), {"key_length": 5}, r"5 keys of 4"),
        (((4, 32), (4, 32), (4, 32)), {"scale": -1.0}, r"positive finite scale, not -1.0"),
    ],
)
def test_what_does_not_fit_is_refused(nano, shapes, options, message):
    tensors = [gemel.tensor(nano, np.zeros(shape), "bf16") for shape in shapes]
    with pytest.raises(ValueError, match=message):
        scaled_dot_product_attention(*tensors, **options)
