"""Quantisation: device, interpreter and NumPy agree in every bit, and dequantised values are near the originals."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels import microscaling, quantise
from gemel_golden.formats import FORMATS
from gemel_verif.kernel_cases import assert_same_bytes, both, values

KINDS = {"tensor": (5, 70), "row": (9, 33), "column": (9, 33), "1x128": (3, 256), "128x128": (130, 128)}


@pytest.fixture(scope="module")
def device():
    with gemel.open("quad", backend="golden", memory_bytes=32 << 20) as opened:
        yield opened


@pytest.fixture
def upload(device):
    return lambda array: gemel.tensor(device, array)


@pytest.mark.parametrize("fmt", ["e4m3", "e2m1", "int8"])
@pytest.mark.parametrize("by", KINDS)
def test_quantise(upload, by, fmt, rng):
    shape = KINDS[by]
    if fmt == "e2m1":
        shape = (shape[0], shape[1] + shape[1] % 2)
    x = values(rng, shape, str(rng.choice(["fp32", "bf16"]))) * rng.choice([1e-3, 1, 1e3])
    x = x.astype(np.float32)
    found = both(upload, gemel.quantise, x, fmt, by=by)
    for got, want in zip(found, quantise.REFERENCES["quantise"](x, fmt, by), strict=True):
        assert_array_equal(got, want)
    back = gemel.dequantise(*found, by=by)
    assert_array_equal(back, quantise.REFERENCES["dequantise"](*found, by))
    assert abs(back - x).max() <= abs(x).max() * {"e4m3": 2**-4, "e2m1": 2**-2, "int8": 2**-8}[fmt] * 1.01


@pytest.mark.parametrize("by", KINDS)
def test_dequantise_on_the_device(upload, by, rng):
    x = values(rng, KINDS[by])
    codes, scales = gemel.quantise(upload(x), "e4m3", by=by)
    found = gemel.dequantise(codes, scales, by=by, dtype="bf16")
    assert_same_bytes(found, gemel.dequantise(codes.numpy(), scales.numpy(), by=by, dtype="bf16"))


def test_factors_are_rounded_once(rng):
    largest = np.exp(rng.uniform(-60, 80, (1, 10_000))).astype(np.float32)
    for most in (448.0, 127.0, 2688.0):
        inverse, scale = quantise.factors.interpret(largest, most=most)
        assert_array_equal(inverse, np.float32(most) / largest)
        assert_array_equal(scale, largest / np.float32(most))


@pytest.mark.parametrize("axis", [None, -1, 0])
def test_amax(upload, axis, rng):
    x = values(rng, (6, 100))
    assert_array_equal(both(upload, gemel.amax, x, axis=axis), quantise.REFERENCES["amax"](x, axis))


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("fmt", ["e4m3", "e5m2", "e2m1"])
def test_mx(upload, fmt, up, rng):
    x = values(rng, (4, 96)) * np.exp2(rng.integers(-20, 20, (4, 1))).astype(np.float32)
    x[0, :32], x[1, 40], x[2, :32] = 0, np.inf, np.float32(1e-41)
    most = np.float32(FORMATS[fmt].max_finite)
    x[3, :64] = np.concatenate([np.linspace(0, 8 * most, 32), np.linspace(0, np.nextafter(8 * most, np.inf), 32)])
    codes, scales = gemel.quantise_mx(upload(x), fmt, up=up)
    wanted = microscaling.REFERENCES["quantise_mx"](x, fmt, up)
    assert (codes.dtype, scales.dtype) == (fmt, "e8m0")
    assert_array_equal(codes.numpy(), wanted[0])
    assert_array_equal(scales.codes(), wanted[1])
    for got, want in zip(gemel.quantise_mx(x, fmt, up=up), wanted, strict=True):
        assert_array_equal(got, want)
    back = gemel.dequantise_mx(codes, scales)
    assert_array_equal(back.numpy(), microscaling.REFERENCES["dequantise_mx"](*wanted).astype(np.float32))
    assert_array_equal(gemel.dequantise_mx(*wanted), back.numpy())


def test_nvfp4(upload, rng):
    x = values(rng, (5, 48)) * np.exp2(rng.integers(-8, 8, (5, 1))).astype(np.float32)
    x[0, :16] = 0
    tensors = gemel.quantise_nvfp4(upload(x))
    wanted = microscaling.REFERENCES["quantise_nvfp4"](x)
    assert [t.dtype for t in tensors] == ["e2m1", "e4m3", "fp32"]
    for got, same, want in zip(tensors, gemel.quantise_nvfp4(x), wanted, strict=True):
        assert_array_equal(got.numpy(), want)
        assert_array_equal(same, want)
    back = gemel.dequantise_nvfp4(*tensors).numpy()
    assert_array_equal(back, microscaling.REFERENCES["dequantise_nvfp4"](*wanted))
    assert abs(back - x).max() <= abs(x).max() / 5


def test_messages(device):
    x = gemel.empty(device, (3, 70), "fp32")
    with pytest.raises(ValueError, match="quantise: by is one of tensor, row, column, 1x128, 128x128, not 'block'"):
        gemel.quantise(x, "e4m3", by="block")
    with pytest.raises(ValueError, match="quantise: rows of 70 elements don't fall into blocks of 128"):
        gemel.quantise(x, "e4m3", by="1x128")
    with pytest.raises(ValueError, match="quantise: bf16 isn't a format to quantise to"):
        gemel.quantise(x, "bf16")
    with pytest.raises(ValueError, match=r"x has shape \(3, 70\); it needs rows of a multiple of 32 elements"):
        gemel.quantise_mx(x)
    with pytest.raises(ValueError, match=r"scales have shape \(3, 70\); \(3, 70\) by row needs \(3,\)"):
        gemel.dequantise(x, x, by="row")
