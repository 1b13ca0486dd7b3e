"""gemel.matmul on the golden back end: all formats, shapes from 0 to 130, views, epilogues and errors."""

import numpy as np
import pytest

import gemel
from gemel.kernels.matmul import matmul_reference
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
    found = gemel.matmul(a, b, out_dtype="int8", scale=3.5, bias=bias, activation="relu")
    expected, _ = matmul_reference(
        a.codes(), a.format, b.codes(), b.format, found.format, scale=3.5, bias=bias, relu=True
    )
    np.testing.assert_array_equal(found.codes(), expected)


WRONG = {
    "inner": ({"b": (7, 5)}, {}, r"a \(4, 6\) and b \(7, 5\) don't multiply: a has 6 columns, b has 7 rows"),
    "vector": ({"b": (6,)}, {}, r"b has shape \(6,\); matmul takes matrices"),
    "operand format": (
        {"a_dtype": "fp32"},
        {},
        "a is fp32; the tensor core multiplies bf16, fp16, e4m3, e5m2, int8, e2m1, int4",
    ),
    "activation": ({}, {"activation": "gelu"}, "activation 'gelu' isn't one of None, 'relu'"),
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
