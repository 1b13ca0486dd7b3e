"""Epilogues of gemel.matmul on the golden back end: the bits of the reference, and of the kernels they replace."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gemel
from gemel.bench.matmul import from_memory, product_of
from gemel.kernels.matmul_epilogue import EPILOGUES
from gemel.kernels.matmul_reference import fused_reference
from gemel.kernels.split import split_product
from gemel_verif.epilogue_cases import EpilogueCase, run_epilogue


@pytest.fixture(scope="module")
def device():
    with gemel.open("nano", "golden", memory_bytes=16 << 20) as opened:
        yield opened


def assert_exact(device, case, rng):
    for name, found, expected in run_epilogue(gemel, fused_reference, device, case, rng):
        np.testing.assert_array_equal(found, expected, err_msg=f"{name} of {case}")


def product(device, rng, m, n, k, name="bf16"):
    """A and B of a product whose results are about 1."""
    shapes = (m, k), (n, k)
    a, b = (gemel.tensor(device, rng.standard_normal(shape) / k**0.5 * 1.7, name) for shape in shapes)
    return a, b.T


@pytest.mark.parametrize("name", EPILOGUES)
def test_every_epilogue_has_the_reference_s_bits(device, name, rng):
    case = EpilogueCase(m=5, n=41, k=40, epilogue=name, margin=2, kind="special", transposed=(False, False))
    assert_exact(device, case, rng)


@pytest.mark.parametrize("name", ["relu_aux_bias", "dgelu_bgrad", "bgrada", "bgradb"])
@pytest.mark.parametrize(
    ("n", "k"), [(40, 1100), (70, 400), (70, 240)], ids=["a cut k", "blocks of columns", "tiles one by one"]
)
def test_several_rows_and_columns_of_tiles(device, name, n, k, rng):
    case = EpilogueCase(m=34, n=n, k=k, epilogue=name, a="bf16", b="bf16", margin=2)
    assert_exact(device, case, rng)


def test_the_gradient_may_take_the_place_of_aux(device, rng):
    a, b = product(device, rng, 40, 40, 32)
    before = gemel.tensor(device, rng.standard_normal((40, 40)), "bf16")
    apart = gemel.matmul(a, b, epilogue="dgelu", aux=before, out_dtype="bf16").codes()
    gemel.matmul(a, b, epilogue="dgelu", aux=before, out=before, out_dtype="bf16")
    np.testing.assert_array_equal(before.codes(), apart)


@pytest.mark.parametrize(
    ("a", "out", "aux"),
    [("int8", "int8", "fp16"), ("bf16", "fp32", "e5m2"), ("e4m3", "e2m1", "fp32"), ("int8", "int32", "bf16")],
)
def test_formats(device, a, out, aux, rng):
    for name in ("gelu_aux_bias", "dgelu"):
        case = EpilogueCase(m=6, n=36, k=64, epilogue=name, a=a, b=a, out=out, aux=aux, approximate="tanh", c=True)
        assert_exact(device, case, rng)


SCALED = [
    ("e4m3", "mx", "gelu_aux_bias"),
    ("e4m3", "fp32", "bgrada"),
    ("bf16", "fp32", "bgradb"),
    ("e2m1", "nvfp4", "bgradb"),
]


@pytest.mark.parametrize(("name", "scales", "epilogue"), SCALED)
def test_block_scales(device, name, scales, epilogue):
    assert from_memory(device, product_of(9, 135, 200, name, scales=scales, epilogue=epilogue)).exact


@pytest.mark.parametrize("sizes", [(0, 5, 3), (3, 0, 5), (3, 5, 0)])
@pytest.mark.parametrize("name", ["gelu_aux_bias", "drelu_bgrad", "bgrada", "bgradb"])
def test_sizes_of_zero(device, name, sizes, rng):
    m, n, k = sizes
    found = run_epilogue(gemel, fused_reference, device, EpilogueCase(m=m, n=n, k=k, epilogue=name), rng)
    for what, got, expected in found:
        np.testing.assert_array_equal(got, expected, err_msg=what)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_has_the_bits_of_the_kernels_after_the_product(device, approximate, rng):
    a, b = product(device, rng, 9, 40, 48)
    bias = rng.standard_normal(40).astype(np.float32)
    plain = gemel.matmul(a, b, bias=bias)
    before = gemel.empty(device, (9, 40), "fp32")
    fused = gemel.matmul(a, b, epilogue="gelu_aux_bias", approximate=approximate, bias=bias, aux=before)
    np.testing.assert_array_equal(before.codes(), plain.codes())
    np.testing.assert_array_equal(fused.codes(), gemel.gelu(plain, approximate=approximate).codes())

    gradients = gemel.empty(device, (40,), "fp32")
    options: dict[str, Any] = {
        "epilogue": "dgelu_bgrad",
        "approximate": approximate,
        "aux": before,
        "bias_gradient": gradients,
    }
    fused = gemel.matmul(a, b, **options)
    apart = gemel.gelu_backward(gemel.matmul(a, b), before, approximate=approximate)
    np.testing.assert_array_equal(fused.codes(), apart.codes())
    np.testing.assert_array_equal(gradients.codes(), gemel.bias_backward(apart).codes())


def test_relu_s_mask_is_a_bit_for_each_column(device, rng):
    a, b = product(device, rng, 7, 45, 32)
    plain = gemel.matmul(a, b).numpy()
    mask, gradients = gemel.empty(device, (7, 2), "int32"), gemel.empty(device, (45,), "fp32")
    np.testing.assert_array_equal(gemel.matmul(a, b, epilogue="relu_aux", aux=mask).numpy(), np.maximum(plain, 0))
    bits = np.packbits(plain > 0, axis=1, bitorder="little")
    np.testing.assert_array_equal(mask.numpy().view(np.uint8)[:, : bits.shape[1]], bits)
    a, b = product(device, rng, 7, 45, 32)
    grad = gemel.matmul(a, b, epilogue="drelu_bgrad", aux=mask, bias_gradient=gradients, out_dtype="fp32")
    expected = np.where(plain > 0, gemel.matmul(a, b).numpy(), np.float32(0))
    np.testing.assert_array_equal(grad.numpy(), expected)
    np.testing.assert_array_equal(gradients.codes(), gemel.bias_backward(gemel.tensor(device, expected)).codes())


def test_operands_sums_are_exact_and_scaled(device, rng):
    a, b = rng.integers(-128, 128, (33, 70)).astype(np.int8), rng.integers(-128, 128, (70, 40)).astype(np.int8)
    for name, count, sums in (("bgrada", 33, a.sum(1, dtype=np.int32)), ("bgradb", 40, b.sum(0, dtype=np.int32))):
        found = gemel.empty(device, (count,), "int32")
        d = gemel.matmul(gemel.tensor(device, a), gemel.tensor(device, b), epilogue=name, bias_gradient=found)
        np.testing.assert_array_equal(found.numpy(), sums)
        np.testing.assert_array_equal(d.numpy(), a.astype(np.int32) @ b.astype(np.int32))
    x = gemel.tensor(device, a, "int4")
    scales = 2.0 ** rng.integers(-3, 4, (3, 33))
    found = gemel.empty(device, (33,), "fp32")
    y, scale = gemel.tensor(device, np.ones((5, 70)), "e4m3").T, gemel.tensor(device, scales, "e8m0").T
    gemel.matmul(x, y, a_scale=scale, epilogue="bgrada", bias_gradient=found)
    np.testing.assert_array_equal(found.numpy(), (x.numpy() * scales.repeat(32, 0)[:70].T).sum(1))


@pytest.mark.parametrize("name", ["drelu_bgrad", "gelu_aux"])
def test_cores_share_a_product_and_its_epilogue(name, rng):
    a, b, bits = rng.standard_normal((100, 32)), rng.standard_normal((64, 32)), rng.integers(0, 1 << 31, (100, 2))
    found = []
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as quad:
        for cores in (1, 2):
            mask = name == "drelu_bgrad"
            aux = gemel.tensor(quad, bits, "int32") if mask else gemel.empty(quad, (100, 64), "bf16")
            sums = gemel.empty(quad, (64,), "fp32") if mask else None
            x, y = gemel.tensor(quad, a, "e4m3"), gemel.tensor(quad, b, "e4m3").T
            d = gemel.matmul(x, y, epilogue=name, aux=aux, bias_gradient=sums, cores=cores)
            found.append((d.codes(), aux.codes(), sums.codes() if sums is not None else 0))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_sums_of_columns_need_whole_columns():
    pieces = split_product(70, 64, 2, tile=32, column_granule=32, whole_columns=True)
    assert (pieces.rows, pieces.columns, pieces.starts) == (70, 32, ((0, 0), (0, 32)))
    assert split_product(70, 64, 2, tile=32, column_granule=32).starts == ((0, 0), (35, 0))


WRONG = {
    "name": ({"epilogue": "swish"}, "no epilogue 'swish'; there are default, bias, relu, relu_bias, relu_aux"),
    "no bias": ({"epilogue": "gelu_bias"}, "epilogue 'gelu_bias' adds a bias: pass bias="),
    "a bias": ({"epilogue": "gelu", "bias": np.zeros(5)}, "epilogue 'gelu' adds no bias; 'gelu_bias' does"),
    "a bias alone": ({"epilogue": "default", "bias": np.zeros(5)}, "'default' adds no bias; 'bias' does"),
    "approximate": (
        {"epilogue": "relu", "approximate": "tanh"},
        "approximate='tanh' is of GELU; epilogue 'relu' has none",
    ),
    "approximation": (
        {"epilogue": "gelu", "approximate": "erf"},
        'matmul: approximate is "none" or "tanh", not \'erf\'',
    ),
    "no aux": ({"epilogue": "gelu_aux"}, r"'gelu_aux' writes aux: pass a tensor \(4, 5\) in one of fp32, bf16, fp16"),
    "an aux": ({"epilogue": "gelu", "aux": ((4, 5), "bf16")}, "epilogue 'gelu' has no aux"),
    "aux's format": ({"epilogue": "drelu", "aux": ((4, 5), "bf16")}, "aux is bf16; epilogue 'drelu' takes int32"),
    "aux's shape": ({"epilogue": "drelu", "aux": ((4, 5), "int32")}, r"aux is int32 \(4, 5\); .* takes int32 \(4, 1\)"),
    "no gradient": ({"epilogue": "bgrada"}, r"'bgrada' writes bias_gradient: pass a tensor \(4,\) in int32"),
    "a gradient": ({"bias_gradient": ((5,), "fp32")}, "epilogue 'default' gives no bias gradient"),
    "gradient's shape": (
        {"epilogue": "bgradb", "bias_gradient": ((4,), "fp32")},
        r"bias_gradient is fp32 \(4,\); this product takes int32 \(5,\)",
    ),
    "rounding": ({"epilogue": "gelu", "rounding": "stochastic", "out_dtype": "bf16"}, "'gelu' rounds to nearest"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_sentences(device, name):
    options, sentence = WRONG[name]
    tensors: dict[str, Any] = {
        key: gemel.empty(device, *value) if isinstance(value, tuple) else value for key, value in options.items()
    }
    a, b = gemel.empty(device, (4, 6), "int8"), gemel.empty(device, (6, 5), "int8")
    with pytest.raises(ValueError, match=sentence):
        gemel.matmul(a, b, **tensors)


def test_the_page_names_every_epilogue():
    page = (Path(__file__).parents[1] / "docs" / "kernel-library.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert [name for name in EPILOGUES if not any(f"`{name}`" in row for row in rows)] == []
