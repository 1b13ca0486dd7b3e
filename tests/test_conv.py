"""Convolutions on the golden chip: NumPy's bits, and exact sums of small integers."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels.conv import REFERENCES
from gemel.kernels.conv_backward import REFERENCES as BACKWARD_REFERENCES
from gemel.kernels.conv_spec import boxes

NATIVE = {"bf16": ml_dtypes.bfloat16, "e5m2": ml_dtypes.float8_e5m2}


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as opened:
        yield opened


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Exact in every format, their products and sums too."""
    return rng.integers(-7, 8, shape).astype(np.float32)


def direct(x: np.ndarray, weight: np.ndarray, stride: Any, padding: Any, dilation: Any) -> np.ndarray:
    """The definition, a loop over pixels and taps."""
    (sy, sx), (py, px), (dy, dx) = stride, padding, dilation
    outputs, kh, kw, _ = weight.shape
    wide = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
    height = (wide.shape[1] - dy * (kh - 1) - 1) // sy + 1
    width = (wide.shape[2] - dx * (kw - 1) - 1) // sx + 1
    found = np.zeros((len(x), height, width, outputs), np.float64)
    for i, j, a, b in np.ndindex(height, width, kh, kw):
        found[:, i, j] += wide[:, i * sy + a * dy, j * sx + b * dx] @ weight[:, a, b].T
    return found


CASES = [
    # x, weight, stride, padding, dilation
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1)),
    ((2, 7, 9, 32), (40, 3, 3, 32), (1, 1), (1, 1), (1, 1)),
    ((1, 12, 40, 3), (16, 5, 7, 3), (2, 3), (0, 0), (1, 1)),
    ((3, 6, 5, 70), (33, 3, 2, 70), (2, 1), (2, 1), (1, 1)),
    ((9, 3, 3, 16), (5, 3, 3, 16), (1, 1), (1, 1), (1, 1)),
    ((1, 20, 18, 24), (7, 3, 3, 24), (1, 2), (4, 3), (3, 2)),
    ((2, 8, 8, 300), (48, 1, 1, 300), (1, 1), (0, 0), (1, 1)),
    ((1, 9, 9, 320), (34, 3, 3, 320), (1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), CASES)
@pytest.mark.parametrize("name", ["bf16", "e4m3", "int8"])
def test_sums_are_exact(
    device: gemel.Device,
    rng: np.random.Generator,
    name: str,
    shape: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> None:
    x, weight = integers(rng, *shape), integers(rng, *kernel)
    where = {"stride": stride, "padding": padding, "dilation": dilation}
    found = gemel.conv2d(gemel.tensor(device, x, name), gemel.tensor(device, weight, name), **where)
    assert found.dtype == ("int32" if name == "int8" else "fp32")
    assert_array_equal(found.numpy(), direct(x, weight, stride, padding, dilation))


@pytest.mark.parametrize("name", ["bf16", "e5m2"])
@pytest.mark.parametrize("case", [2, 3, 7])
def test_bits_are_numpy_s(device: gemel.Device, rng: np.random.Generator, name: str, case: int) -> None:
    """Numbers of many magnitudes, with the whole epilogue."""
    shape, kernel, stride, padding, dilation = CASES[case]
    arrays = [(rng.standard_normal(s) * np.exp2(rng.integers(-6, 6, s))).astype(NATIVE[name]) for s in (shape, kernel)]
    bias = rng.standard_normal(kernel[0]).astype(np.float32)
    x, weight = (gemel.tensor(device, values) for values in arrays)
    how: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "scale": 0.3,
        "activation": "relu",
        "out_dtype": "bf16",
    }
    found = gemel.conv2d(x, weight, gemel.tensor(device, bias), **how)
    assert_array_equal(found.numpy(), gemel.conv2d(arrays[0], arrays[1], bias, **how))
    assert_array_equal(found.numpy(), REFERENCES["conv2d"](*arrays, bias, **how))


def test_views_and_out(device: gemel.Device, rng: np.random.Generator) -> None:
    """A part of larger images, and a part of a larger result; nothing else changes."""
    x, weight = integers(rng, 3, 10, 12, 40), integers(rng, 6, 3, 3, 40)
    view = gemel.tensor(device, x, "bf16")[1:, 1:9, 2:, 3:36]
    out = gemel.tensor(device, np.full((2, 9, 12, 10), 5), "fp32")
    gemel.conv2d(view, gemel.tensor(device, weight, "bf16")[:, :, :, 3:36], padding=1, out=out[:, 1:, 1:11, 2:8])
    expected = np.full((2, 9, 12, 10), 5, np.float32)
    expected[:, 1:, 1:11, 2:8] = direct(x[1:, 1:9, 2:, 3:36], weight[:, :, :, 3:36], (1, 1), (1, 1), (1, 1))
    assert_array_equal(out.numpy(), expected)


BACKWARD = [case for case in CASES if case[0][3] < 100] + [((1, 9, 10, 8), (3, 3, 3, 8), (2, 3), (2, 2), (1, 1))]


@pytest.mark.parametrize(("shape", "kernel", "stride", "padding", "dilation"), BACKWARD)
@pytest.mark.parametrize("name", ["bf16", "e4m3"])
def test_gradients_are_exact(
    device: gemel.Device,
    rng: np.random.Generator,
    name: str,
    shape: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
) -> None:
    """Of the sum of all results times grad: both derivatives by the definition; NumPy arrays give the same."""
    x, weight = integers(rng, *shape), integers(rng, *kernel)
    result = direct(x, weight, stride, padding, dilation)
    grad = integers(rng, *result.shape)
    where = {"stride": stride, "padding": padding, "dilation": dilation}
    tensors = [gemel.tensor(device, values, name) for values in (grad, x, weight)]
    images, kernels = gemel.conv2d_backward(tensors[0], tensors[1], tensors[2], **where)
    gradient = np.zeros(weight.shape)
    around = (0, 0), (padding[0],) * 2, (padding[1],) * 2, (0, 0)
    wide, padded = np.pad(np.zeros(shape), around), np.pad(x, around)
    for i, j, a, b in np.ndindex(*result.shape[1:3], *kernel[1:3]):
        at = slice(None), i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
        wide[at] += grad[:, i, j] @ weight[:, a, b]
        gradient[:, a, b] += grad[:, i, j].T @ padded[at]
    inner = wide[:, padding[0] : padding[0] + shape[1], padding[1] : padding[1] + shape[2]]
    assert_array_equal(images.numpy(), inner)
    assert_array_equal(kernels.numpy(), gradient)
    if name == "bf16":
        arrays = [values.astype(ml_dtypes.bfloat16) for values in (grad, x, weight)]
        found = gemel.conv2d_backward(arrays[0], arrays[1], arrays[2], **where)
        assert_array_equal(found[0], inner)
        assert_array_equal(found[1], gradient)


def test_gradients_bits_are_numpy_s(device: gemel.Device, rng: np.random.Generator) -> None:
    shape, kernel, stride, padding, dilation = CASES[3]
    where: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    size = direct(np.zeros(shape), np.zeros(kernel), stride, padding, dilation).shape
    arrays = [
        (rng.standard_normal(s) * np.exp2(rng.integers(-6, 6, s))).astype(ml_dtypes.bfloat16)
        for s in (size, shape, kernel)
    ]
    tensors = [gemel.tensor(device, values) for values in arrays]
    found = gemel.conv2d_backward(tensors[0], tensors[1], tensors[2], dtype="bf16", **where)
    for got, wanted in zip(found, BACKWARD_REFERENCES["conv2d_backward"](*arrays, dtype="bf16", **where), strict=True):
        assert_array_equal(got.numpy(), wanted)


@pytest.mark.parametrize("size", [(1, 1, 1), (5, 3, 3), (2, 56, 56), (1, 7, 90), (40, 1, 1), (3, 33, 2)])
def test_boxes_are_all_pixels(size: tuple[int, int, int]) -> None:
    """Each once, and no more blocks than lines of 32 would be."""
    seen = np.zeros(size, int)
    found = boxes(*size, 32)
    for box in found:
        assert box.rows <= 32
        seen[tuple(slice(start, start + count) for start, count in box)] += 1
    assert (seen == 1).all()
    assert len(found) <= size[0] * size[1] * -(-size[2] // 32)
    assert len(boxes(2, 56, 56, 32)) == 2 * 56 * 56 // 32


def test_errors_name_shapes(device: gemel.Device) -> None:
    x, weight = gemel.empty(device, (1, 5, 6, 8), "bf16"), gemel.empty(device, (4, 3, 3, 8), "bf16")
    for bad, message in (
        ((x, weight[:, :, :, 1:]), r"\(1, 5, 6, 8\).*\(4, 3, 3, 7\) .* don't fit"),
        ((x[:, 0:2], weight), r"reaches over \[3, 3\] doesn't fit images of \(2, 6\)"),
        ((x, gemel.empty(device, (4, 3, 3, 8), "e4m3")), "not bf16 by e4m3"),
        ((x, weight, gemel.empty(device, (3,), "fp32")), r"bias is fp32 \(3,\); 4 output channels"),
    ):
        with pytest.raises(ValueError, match=message):
            gemel.conv2d(*bad)
    with pytest.raises(TypeError, match="not some of both"):
        gemel.conv2d(x, weight.numpy())
    with pytest.raises(ValueError, match=r"stride beyond 1\.\.31"):
        gemel.conv2d(x, weight, stride=32)
    with pytest.raises(ValueError, match=r"result is fp32 \(1, 3, 4, 4\)"):
        gemel.conv2d(x, weight, out=gemel.empty(device, (1, 3, 4, 5), "fp32"))
