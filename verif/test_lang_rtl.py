"""Kernels of the language on the simulated nano chip, under random stalls: the plain interpreter's bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel import lang
from gemel.dtypes import to_codes


@gemel.kernel
def attention(q, k, v, *, scale: float):
    scores = lang.dot(q, k.T)
    weights = lang.exp((scores - scores.max()) * scale)
    return lang.dot(weights.astype("bf16"), v) / weights.sum()


@gemel.kernel
def linear(x, w, bias):
    y = lang.dot(x, w) + bias
    return (y * lang.sigmoid(y)).astype("e4m3"), y.max(), y.sum(axis=0)


@gemel.kernel
def normal(x, gain, shift, factor: float):
    d = (x - x.mean()) * factor
    return lang.fma(d * lang.rsqrt(lang.inner(d, d) * (1 / x.shape[1]) + 1e-5), gain, shift)


@gemel.kernel
def mixed(x, seed: int):
    rounded = x.astype("bf16", random=lang.random_bits(x, seed))
    large = lang.where(rounded > 1, lang.index(x, 1), lang.index(x, 0))
    return rounded, large.sum(axis=0), x.cumsum(), lang.argmax(x)


def normals(rng, *shapes):
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def compare(device, kernel, values, fmt=None, **options):
    values = [gemel.tensor(device, x, fmt if len(x) > 1 else None) if isinstance(x, np.ndarray) else x for x in values]
    expected, found = kernel.interpret(*values, **options), kernel(*values, **options)
    expected, found = ((x if isinstance(x, tuple) else (x,)) for x in (expected, found))
    for want, got in zip(expected, found, strict=True):
        assert_array_equal(to_codes(got.numpy())[0], to_codes(want)[0])


def test_attention(device, rng):
    compare(device, attention, normals(rng, (70, 32), (64, 32), (64, 32)), "bf16", scale=0.125)


def test_linear(device, rng):
    compare(device, linear, normals(rng, (50, 40), (40, 70), (1, 70)), "bf16")


@pytest.mark.parametrize("shape", [(40, 300), (5, 1100), (64, 128)], ids=str)
def test_normal(device, rng, shape):
    compare(device, normal, [*normals(rng, shape, (1, shape[1]), (1, shape[1])), float(rng.normal())])


@pytest.mark.parametrize("shape", [(9, 50), (33, 400)], ids=str)
def test_mixed(device, rng, shape):
    compare(device, mixed, [*normals(rng, shape), int(rng.integers(1 << 31))])
