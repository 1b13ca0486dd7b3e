"""Dropout, rotary embedding, top-k and sampling: device and interpreter agree in every bit, and with NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import dropout, rope, topk
from gemel_verif.kernel_cases import both, special_values, values


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


@pytest.mark.parametrize("shape", [(3, 7), (2, 300), (512,)], ids=str)
def test_dropout_has_the_references_bits(upload, shape, rng):
    seed, p = int(rng.integers(1 << 31)), float(rng.choice([0.1, 0.5, 0.9]))
    x = values(rng, shape)
    assert_array_equal(both(upload, gemel.dropout, x, p, seed), dropout.REFERENCES["dropout"](x, p, seed))
    both(upload, gemel.dropout_backward, values(rng, shape, "bf16"), p, seed)


def test_dropout_drops_as_often_as_it_should(rng):
    kept = gemel.dropout(np.ones(100_000, np.float32), 0.3, 5) != 0
    assert abs(kept.mean() - 0.7) < 0.01
    assert_array_equal(gemel.dropout(np.ones(600, np.float32), 0.0, 5), np.ones(600))


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 4, 64)], ids=str)
def test_rope(upload, shape, interleaved, rng):
    x = values(rng, shape)
    positions = rng.integers(0, 100_000, shape[-2]).astype(np.int32)
    for name in rope.REFERENCES:
        for given in ([x], [x, positions]):
            found = both(upload, getattr(gemel, name), *given, interleaved=interleaved)
            expected = rope.REFERENCES[name](x.astype(np.float64), *given[1:], interleaved=interleaved)
            assert abs(found - expected).max() < 1e-5
        both(upload, getattr(gemel, name), special_values(rng, shape, "bf16"), interleaved=interleaved, base=500.0)


@pytest.mark.parametrize(("shape", "k"), [((4, 20), 2), ((2, 3, 40), 3), ((5,), 4), ((3, 1), 1)], ids=str)
def test_top_k(upload, shape, k, rng):
    for x in (values(rng, shape), np.round(values(rng, shape)), special_values(rng, shape)):
        found = both(upload, gemel.top_k, x, k)
        for got, want in zip(found, topk.REFERENCES["top_k"](x, k), strict=True):
            assert_array_equal(got, want)
    both(upload, gemel.top_k, special_values(rng, shape, "e4m3"), k)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7}, {"temperature": 0}, {"top_k": 3}], ids=str)
def test_sampling(upload, options, rng):
    for shape in ((2, 3, 50),):
        x, seed = values(rng, shape), int(rng.integers(1 << 31))
        found = both(upload, gemel.sample, x, **options, seed=seed)
        assert_array_equal(found, topk.REFERENCES["sample"](x.astype(np.float64), **options, seed=seed))


def test_sampled_frequencies(rng):
    logits = np.array([0.0, 1.0, 2.0, -1.0], np.float32)
    found = np.bincount(gemel.sample(np.tile(logits, (20_000, 1)), 1.0, 3), minlength=4) / 20_000
    assert abs(found - gemel.softmax(logits)).max() < 0.015


def test_messages(device):
    x = gemel.empty(device, (3, 5), "fp32")
    with pytest.raises(ValueError, match="dropout: p is a probability below 1, not 1"):
        gemel.dropout(x, 1)
    with pytest.raises(ValueError, match=r"rope: x has shape \(3, 5\); it needs \(\.\.\., S, D\) with an even D"):
        gemel.rope(x)
    with pytest.raises(ValueError, match="top_k: k is 6; rows of 5 have 1 to 5 largest elements"):
        gemel.top_k(x, 6)
    with pytest.raises(ValueError, match="sample: temperature is at least 0, not -1"):
        gemel.sample(x, -1)
