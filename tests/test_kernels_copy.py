"""Copies by the DMA units on the golden chip: NumPy's and the kernel library's bits, for views of any shape."""

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels.copy import REFERENCES


@pytest.fixture
def device() -> Iterator[gemel.Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as opened:
        yield opened


def numbers(rng: np.random.Generator, *shape: int, kind: Any = np.float32) -> np.ndarray:
    """Numbers of many magnitudes, row by row."""
    return (rng.standard_normal(shape) * np.exp2(rng.integers(-9, 9, (*shape[:-1], 1)))).astype(kind)


@pytest.mark.parametrize(
    "source", [np.float32, ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
)
@pytest.mark.parametrize("target", ["fp32", "bf16", "fp16", "e4m3", "e5m2"])
def test_cast_is_the_vector_core_s(device: gemel.Device, rng: np.random.Generator, source: type, target: str) -> None:
    x = gemel.tensor(device, rng.standard_normal((30, 96)).astype(source))
    assert_array_equal(gemel.copy(x, target).codes(), gemel.cast(x, target).codes())


def test_scale(device: gemel.Device, rng: np.random.Generator) -> None:
    x = rng.standard_normal((30, 64)).astype(np.float32)
    found = gemel.copy(gemel.tensor(device, x), "e4m3", scale=0.37)
    assert_array_equal(found.codes(), gemel.tensor(device, x * np.float32(0.37), "e4m3").codes())
    assert_array_equal(found.numpy(), gemel.copy(x, "e4m3", scale=0.37))


FORMATS = (
    ("fp32", "fp32"),
    ("bf16", "bf16"),
    ("e4m3", "e4m3"),
    ("bf16", "fp32"),
    ("fp32", "e5m2"),
    ("e4m3", "bf16"),
)
SHAPES = (
    (1, 1),
    (1, 70),
    (70, 1),
    (33, 7),
    (7, 130),
    (65, 66),
    (300, 65),
    (40, 600),
    (2, 9000),
    (57, 2, 3),
    (4, 5, 6, 7),
)
CASES = [(shape, *FORMATS[i % len(FORMATS)]) for i, shape in enumerate(SHAPES * 2)]


@pytest.mark.parametrize(("shape", "source", "target"), CASES)
def test_transposes(
    device: gemel.Device, rng: np.random.Generator, shape: tuple[int, ...], source: str, target: str
) -> None:
    """From a transposed view and to one, which meet in the same bytes."""
    x = gemel.tensor(device, numbers(rng, *shape), source)
    expected = REFERENCES["copy"](x.numpy().astype(np.float32), target)
    assert_array_equal(gemel.copy(x.T, target).numpy(), expected.T)
    out = gemel.empty(device, shape[::-1], target)
    assert gemel.copy(x, out=out.T).address == out.address
    assert_array_equal(out.numpy(), expected.T)
    again = gemel.empty(device, shape, target)
    gemel.copy(x.T, out=again.T)
    assert_array_equal(again.numpy(), expected)


def test_long_rows(device: gemel.Device, rng: np.random.Generator) -> None:
    """Rows longer than a piece, and than L1."""
    x = numbers(rng, 2, 50001)
    for view, values in ((gemel.tensor(device, x), x), (gemel.tensor(device, x)[:, 1:], x[:, 1:])):
        assert_array_equal(gemel.copy(view).numpy(), values)
        assert_array_equal(gemel.copy(view, "bf16").numpy(), REFERENCES["copy"](values, "bf16"))


@pytest.mark.parametrize("name", ["fp32", "bf16", "int8"])
def test_pieces_of_views(device: gemel.Device, rng: np.random.Generator, name: str) -> None:
    """Nothing beside the view changes; its elements may all lie apart."""
    values = rng.integers(-100, 100, (90, 75)).astype(np.float32)
    x = gemel.tensor(device, values, name)
    for rows, columns in ((slice(3, 80), slice(5, 6)), (slice(4, 5), slice(1, 74)), (slice(1, 70), slice(3, 72))):
        for turned in (False, True):
            view = x[rows, columns].T if turned else x[rows, columns]
            expected = np.full((100, 100), 7, np.float32)
            expected[9 : 9 + view.shape[0], 11 : 11 + view.shape[1]] = view.numpy()
            for way in (False, True):
                target = gemel.tensor(device, np.full((100, 100), 7), name)
                if way:
                    gemel.copy(view, out=target[9 : 9 + view.shape[0], 11 : 11 + view.shape[1]])
                else:
                    gemel.copy(view.T, out=target[9 : 9 + view.shape[0], 11 : 11 + view.shape[1]].T)
                assert_array_equal(target.numpy(), expected)


QUANTISED = ((1, 1), (1, 32), (40, 256), (7, 130), (65, 300), (2, 3, 100))


@pytest.mark.parametrize(("source", "target"), [(np.float32, "e4m3"), (ml_dtypes.bfloat16, "e5m2")])
@pytest.mark.parametrize("copy", ["copy_mx", "copy_fp8"])
def test_quantised_as_numpy_has_it(
    device: gemel.Device, rng: np.random.Generator, copy: str, source: type, target: str
) -> None:
    for shape in QUANTISED:
        x = numbers(rng, *shape, kind=source)
        for view, values in ((gemel.tensor(device, x), x), (gemel.tensor(device, x).T, x.T)):
            codes, scales = getattr(gemel, copy)(view, target)
            expected, expected_scales = REFERENCES[copy](values, target)
            assert_array_equal(codes.numpy(), np.float32(expected))
            found = scales.codes() if copy == "copy_mx" else scales.numpy()
            assert_array_equal(found, expected_scales)


@pytest.mark.parametrize("target", ["e4m3", "e5m2"])
def test_quantised_as_the_vector_core_has_it(device: gemel.Device, rng: np.random.Generator, target: str) -> None:
    x = gemel.tensor(device, numbers(rng, 40, 256), "bf16")
    for found, expected in zip(gemel.copy_mx(x, target), gemel.quantise_mx(x, target), strict=True):
        assert_array_equal(found.codes(), expected.codes())
    for found, expected in zip(gemel.copy_fp8(x, target), gemel.quantise(x, target, by="1x128"), strict=True):
        assert_array_equal(found.codes(), expected.codes())


def test_scales_by_group_are_a_product_s(device: gemel.Device, rng: np.random.Generator) -> None:
    """What `matmul` takes without another copy."""
    x = gemel.tensor(device, numbers(rng, 40, 300), "bf16")
    codes, scales = gemel.copy_fp8(x, by_group=True)
    plain, rows = gemel.copy_fp8(x)
    assert_array_equal(codes.codes(), plain.codes())
    assert_array_equal(scales.numpy(), rows.numpy())
    b = gemel.tensor(device, numbers(rng, 24, 300), "e4m3").T
    expected = gemel.matmul(plain, b, a_scale=gemel.copy(rows, out=gemel.empty(device, (3, 40), "fp32").T))
    assert_array_equal(gemel.matmul(codes, b, a_scale=scales).numpy(), expected.numpy())


def test_copy_keeps_bits(device: gemel.Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.integers(-8, 8, (40, 70)), "int4")
    assert_array_equal(gemel.copy(x[3:9, 2:40]).codes(), x[3:9, 2:40].codes())
    nan = gemel.tensor(device, np.array([0x7FC00001, 0xFF800001], np.uint32).view(np.float32))
    assert_array_equal(gemel.copy(nan).codes(), nan.codes())


def test_errors_name_formats_and_shapes(device: gemel.Device) -> None:
    with pytest.raises(ValueError, match="not int8 to fp16"):
        gemel.copy(gemel.empty(device, (2, 32), "int8"), "fp16")
    with pytest.raises(ValueError, match=r"out is bf16 \(2, 40\); the copy is bf16 \(40, 2\)"):
        gemel.copy(gemel.empty(device, (40, 2), "fp32"), "bf16", out=gemel.empty(device, (2, 40), "bf16"))
    with pytest.raises(ValueError, match="can't transpose int4"):
        gemel.copy(gemel.empty(device, (2, 40), "int4").T)
    with pytest.raises(ValueError, match="has 3 int4 elements"):
        gemel.copy(gemel.empty(device, (2, 3), "int4"), out=gemel.empty(device, (2, 8), "int4")[:, 0:3])
    with pytest.raises(ValueError, match="side by side along one dimension"):
        gemel.copy_mx(gemel.empty(device, (40, 64), "bf16")[:, 0:1].T)
    with pytest.raises(ValueError, match=r"\(2, 3, 40\)"):
        gemel.copy_fp8(gemel.empty(device, (2, 3, 40), "bf16"), by_group=True)
