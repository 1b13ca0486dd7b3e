"""gemel.matmul on the golden back end: all formats, shapes from 0 to 130, views, epilogues and errors."""

import numpy as np
import pytest

import gemel
from gemel.kernels.matmul_reference import matmul_reference
from gemel_golden.scaled import fp32_scaled_matmul
from gemel_verif.matmul_cases import NAMES, OUTPUTS, Case, random_case, run


@pytest.fixture(scope="module", params=["nano", "inference"])
def device(request):
    with gemel.open(request.param, "golden") as opened:
        yield opened


def assert_exact(device, case, rng):
    found, expected = run(gemel, device, case, rng)
    np.testing.assert_array_equal(found, expected, err_msg=str(case))


@pytest.mark.parametrize("b", NAMES)
@pytest.mark.parametrize("a", NAMES)
def test_every_pair_of_formats_into_every_output(device, a, b, rng):
    # One half of the outputs on each chip.
    for out in OUTPUTS[device.config.name == "nano" :: 2]:
        assert_exact(device, random_case(rng, a, b, out), rng)


@pytest.mark.parametrize("m", [0, 1, 33])
@pytest.mark.parametrize("n", [0, 1, 33])
@pytest.mark.parametrize("k", [0, 1, 33])
def test_sizes_of_zero_and_one(device, m, n, k, rng):
    for a, out in (("int8", "int32"), ("e4m3", "bf16")):
        case = Case(m=m, n=n, k=k, a=a, b=a, out=out, bias=out == "bf16", c=True)
        assert_exact(device, case, rng)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
def test_a_long_inner_dimension_is_cut_and_summed_in_rising_order(device, transposed, rng):
    a, b = transposed
    case = Case(m=70, n=45, k=5000, a="bf16", b="e5m2", out="fp32", a_transposed=a, b_transposed=b, kind="cancelling")
    assert_exact(device, case, rng)


def test_an_odd_number_of_4_bit_columns(device, rng):
    for out in ("e2m1", "int4"):
        assert_exact(device, Case(m=9, n=51, k=40, a="e4m3", b="e4m3", out=out), rng)


def test_the_default_output_is_exact(device, rng):
    a, b = rng.integers(-128, 128, (20, 40)).astype(np.int8), rng.integers(-128, 128, (40, 30)).astype(np.int8)
    product = gemel.matmul(gemel.tensor(device, a), gemel.tensor(device, b))
    assert product.dtype == "int32"
    np.testing.assert_array_equal(product.numpy(), a.astype(np.int32) @ b.astype(np.int32))
    assert gemel.matmul(gemel.tensor(device, a), gemel.tensor(device, b, "e5m2")).dtype == "fp32"


def test_the_kernel_and_its_reference_agree(device, rng):
    a, b = (gemel.tensor(device, rng.standard_normal(shape), "e4m3") for shape in ((40, 100), (100, 60)))
    bias = rng.standard_normal(60).astype(np.float32)
    found = gemel.matmul(a, b, out_dtype="int8", scale=3.5, bias=bias, epilogue="relu_bias")
    expected, _ = matmul_reference(
        a.codes(), a.format, b.codes(), b.format, found.format, scale=3.5, bias=bias, relu=True
    )
    np.testing.assert_array_equal(found.codes(), expected)


SCALED = [
    ("e4m3", "e4m3", "e8m0", "rows", "rows"),
    ("e4m3", "e5m2", "fp32", "rows", "blocks"),
    ("bf16", "e2m1", "e8m0", "none", "rows"),
    ("bf16", "int4", "fp32", "blocks", "rows"),
    ("e2m1", "e2m1", "e4m3", "rows", "rows"),
    ("e2m1", "int4", "e8m0", "rows", "none"),
]


@pytest.mark.parametrize(("m", "n", "k"), [(1, 130, 385), (300, 290, 40), (33, 45, 3000), (130, 1, 128), (5, 5, 0)])
@pytest.mark.parametrize(("a", "b", "block_scale", "a_scaled", "b_scaled"), SCALED)
def test_block_scales(device, a, b, block_scale, a_scaled, b_scaled, m, n, k, rng):
    scaled = {"block_scale": block_scale, "a_scaled": a_scaled, "b_scaled": b_scaled}
    case = Case(m=m, n=n, k=k, a=a, b=b, out="fp32", b_transposed=True, c=bool(rng.integers(2)), **scaled)
    assert_exact(device, case, rng)


def test_block_scales_are_deduced_from_formats_and_shapes(device, rng):
    a = gemel.tensor(device, rng.standard_normal((150, 256)), "e4m3")
    b = gemel.tensor(device, rng.standard_normal((140, 256)), "e4m3").T
    x = gemel.tensor(device, 2.0 ** rng.integers(-3, 4, (2, 150)), "fp32")
    y = gemel.tensor(device, 2.0 ** rng.integers(-3, 4, (2, 2)), "fp32")
    found = gemel.matmul(a, b, a_scale=x.T, b_scale=y)
    rows, columns = x.codes().T, y.codes().repeat(128, 1)[:, :140]
    expected, _ = fp32_scaled_matmul(a.codes(), "e4m3", b.codes(), "e4m3", scale_a=rows, scale_b=columns)
    np.testing.assert_array_equal(found.codes(), expected)


WRONG_SCALES = {
    "shape": (
        {"a_scale": ("e8m0", (3, 4), True)},
        r"a_scale is e8m0 \(4, 3\); one for 32 elements of K makes \(4, 2\)",
    ),
    "blocks": (
        {"b_scale": ("fp32", (2, 5), False)},
        r"b_scale is fp32 \(2, 5\); one for 128 elements of K makes \(1, 5\) or \(1, 1\)",
    ),
    "order": ({"a_scale": ("e8m0", (4, 2), False)}, r"must lie side by side in memory: pass the .T of a \(groups, M\)"),
    "format": ({"a_scale": ("bf16", (2, 4), True)}, "block scales are e8m0, e4m3, fp32, not bf16"),
    "two formats": (
        {"a_scale": ("e8m0", (2, 4), True), "b_scale": ("fp32", (1, 5), False)},
        "a_scale is e8m0 and b_scale fp32; both block scales have one format",
    ),
    "nvfp4": (
        {"a_scale": ("e4m3", (4, 4), True)},
        "e4m3 block scales belong to two 4-bit operands, not to e4m3 x e4m3",
    ),
    "integers": ({"dtype": "int8", "a_scale": ("e8m0", (2, 4), True)}, "int8 x int8 accumulates integers"),
}


@pytest.mark.parametrize("name", WRONG_SCALES)
def test_errors_of_block_scales_are_sentences(device, name):
    given, sentence = WRONG_SCALES[name]
    fmt = given.get("dtype", "e4m3")
    options = {}
    for side in ("a_scale", "b_scale"):
        if side in given:
            scale_fmt, shape, turned = given[side]
            scale = gemel.empty(device, shape, scale_fmt)
            options[side] = scale.T if turned else scale
    a, b = gemel.empty(device, (4, 60), fmt), gemel.empty(device, (60, 5), fmt)
    with pytest.raises(ValueError, match=sentence):
        gemel.matmul(a, b, **options)


def test_4_bit_operands_lie_along_k(device):
    a, b = gemel.empty(device, (4, 6), "e2m1"), gemel.empty(device, (6, 5), "e2m1")
    with pytest.raises(ValueError, match=r"b is e2m1 and must be contiguous along K: pass the .T of an \(N, K\)"):
        gemel.matmul(a, b)
    with pytest.raises(ValueError, match="a is e2m1 and must be contiguous along K: pass a tensor whose rows"):
        gemel.matmul(gemel.empty(device, (6, 4), "e2m1").T, gemel.empty(device, (5, 6), "e2m1").T)


WRONG = {
    "inner": ({"b": (7, 5)}, {}, r"a \(4, 6\) and b \(7, 5\) don't multiply: a has 6 columns, b has 7 rows"),
    "vector": ({"b": (6,)}, {}, r"b has shape \(6,\); matmul takes matrices"),
    "operand format": (
        {"a_dtype": "fp32"},
        {},
        "a is fp32; the tensor core multiplies bf16, fp16, e4m3, e5m2, int8, e2m1, int4",
    ),
    "output": ({}, {"out_dtype": "e8m0"}, "matmul can't write e8m0"),
    "unknown": ({}, {"out_dtype": "fp7"}, "unknown dtype 'fp7'; there are fp32, int32, .*aliases float32"),
    "bias": ({}, {"bias": np.zeros(4)}, r"bias is fp32 \(4,\); this product takes fp32 \(5,\), one per column"),
    "scale": ({}, {"scale": np.ones((1, 5))}, r"scale is fp32 \(1, 5\); this product takes fp32 \(5,\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_sentences(device, name):
    operands, options, sentence = WRONG[name]
    a = gemel.tensor(device, np.zeros((4, 6)), operands.get("a_dtype", "int8"))
    b = gemel.tensor(device, np.zeros(operands.get("b", (6, 5))), "int8")
    with pytest.raises(ValueError, match=sentence):
        gemel.matmul(a, b, **options)


def test_start_and_result_must_fit(device):
    a, b = gemel.tensor(device, np.zeros((4, 6)), "int8"), gemel.tensor(device, np.zeros((6, 5)), "int8")
    with pytest.raises(ValueError, match=r"c is fp32 \(4, 5\); this product takes int32 \(4, 5\)"):
        gemel.matmul(a, b, c=gemel.tensor(device, np.zeros((4, 5)), "fp32"))
    with pytest.raises(ValueError, match=r"out is int32 \(5, 4\); this product takes int32 \(4, 5\)"):
        gemel.matmul(a, b, out=gemel.empty(device, (5, 4), "int32"))
    with pytest.raises(ValueError, match=r"out has strides \(4, 16\) bytes; its rows must be contiguous"):
        gemel.matmul(a, b, out=gemel.empty(device, (5, 4), "int32").T)
    with gemel.open("nano", "golden") as other, pytest.raises(ValueError, match="live on different devices"):
        gemel.matmul(a, gemel.tensor(other, np.zeros((6, 5)), "int8"))
