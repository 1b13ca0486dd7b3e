"""A product shared by cores has the bytes of one core, whatever its shape, formats, scales, rounding and epilogue."""

from typing import Any

import numpy as np
import pytest

import gemel
from gemel.bench.matmul import random_codes
from gemel.bench.scaling import run_scaling
from gemel.dtypes import dtype


@pytest.fixture(scope="module")
def quad():
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as device:
        yield device


def tensor(device, rng, shape, name, *, turned=False):
    """Random codes on the device; `turned`: memory has them column by column."""
    codes = random_codes(rng, shape[::-1] if turned else shape, dtype(name))
    result = gemel.empty(device, codes.shape, name)
    result.write_codes(codes)
    return result.T if turned else result


def same(quad, a, b, **options):
    """The product on each number of cores; `options` may be functions that make an argument anew."""
    results = []
    for cores in (1, 2, 3, 4, None):
        made: dict[str, Any] = {name: value() if callable(value) else value for name, value in options.items()}
        results.append(gemel.matmul(a, b, cores=cores, **made).codes())
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


CASES = [
    ("e4m3", "bf16", (128, 64, 96), False),
    ("bf16", "fp32", (33, 40, 150), True),
    ("int8", "int32", (200, 70, 40), False),
    ("fp16", "e4m3", (7, 33, 129), True),
    ("e5m2", "e2m1", (40, 64, 300), False),
]


@pytest.mark.parametrize(("name", "out", "shape", "turned"), CASES)
def test_formats_and_shapes(quad, rng, name: str, out: str, shape: tuple[int, int, int], turned: bool) -> None:
    m, k, n = shape
    a, b = tensor(quad, rng, (m, k), name, turned=turned), tensor(quad, rng, (k, n), name, turned=turned)
    bias, scale = (gemel.tensor(quad, rng.standard_normal(n, np.float32)) for _ in range(2))
    same(quad, a, b, out_dtype=out, bias=bias, scale=scale, epilogue="relu_bias")


def test_four_bit_operands(quad, rng) -> None:
    a, b = tensor(quad, rng, (100, 64), "e2m1"), tensor(quad, rng, (70, 64), "e2m1").T
    same(quad, a, b, out_dtype="e2m1")


@pytest.mark.parametrize("shape", [(150, 64, 40), (20, 96, 200)], ids=str)
def test_stochastic_rounding(quad, rng, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    a, b = tensor(quad, rng, (m, k), "bf16"), tensor(quad, rng, (k, n), "bf16")
    same(quad, a, b, out_dtype="e4m3", rounding="stochastic", seed=5, tensor_number=3)


@pytest.mark.parametrize(("name", "group"), [("e8m0", 32), ("fp32", 128)])
def test_block_scales(quad, rng, name: str, group: int) -> None:
    """FP32: one scale for 128 columns of B, so that pieces of D begin at multiples of 128."""
    m, k, n = 96, 256, 384
    a, b = tensor(quad, rng, (m, k), "e4m3"), tensor(quad, rng, (n, k), "e4m3").T
    across = n // 128 if name == "fp32" else n
    a_scale, b_scale = (
        gemel.tensor(quad, np.exp2(rng.integers(-4, 5, (k // group, rows))), dtype(name)) for rows in (m, across)
    )
    same(quad, a, b, a_scale=a_scale.T, b_scale=b_scale)


@pytest.mark.parametrize("rows", [128, 100], ids=["even", "uneven"])
def test_sums_in_place(quad, rng, rows: int) -> None:
    """A start that the product is written over: pieces that overlap would add twice."""
    a, b = tensor(quad, rng, (rows, 64), "int8"), tensor(quad, rng, (64, 50), "int8")
    start = rng.integers(-1000, 1000, (rows, 50)).astype(np.int32)
    results = []
    for cores in (1, 2, 3, 4):
        c = gemel.tensor(quad, start)
        results.append(gemel.matmul(a, b, c=c, out=c, cores=cores).codes())
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def test_cores_that_the_chip_hasnt(quad, rng) -> None:
    a = tensor(quad, rng, (64, 64), "bf16")
    with pytest.raises(ValueError, match="the quad chip has 4 cores, not 5"):
        gemel.matmul(a, a, cores=5)
    from gemel.bench.matmul import product_of

    with pytest.raises(ValueError, match="at least one number of cores"):
        run_scaling(quad, product_of(32, 32, 32, "bf16"), [])
