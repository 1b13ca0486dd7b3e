"""The drain's steps: raw pass-through, order, one rounding each, conversions and flags."""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from gemel_golden import judge
from gemel_golden.epilogue import epilogue
from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, decode

OUTPUTS = [n for n in FORMATS if n != "e8m0"]


def fp32_bits(*values: float) -> np.ndarray:
    return np.array(values, np.float32).view(np.uint32)


def test_untouched_accumulators_keep_their_bits(rng: np.random.Generator) -> None:
    acc = rng.integers(0, 1 << 32, (5, 7)).astype(np.uint32)
    np.testing.assert_array_equal(epilogue(acc, False, "fp32")[0], acc)
    np.testing.assert_array_equal(epilogue(acc, True, "int32")[0], acc)


def test_integers_go_through_fp32_as_soon_as_a_step_is_taken() -> None:
    acc = np.array([[(1 << 24) + 1, -7, (1 << 31) - 1]], np.int32)
    rounded = [[1 << 24, 0, (1 << 31) - 1]]
    codes, flags = epilogue(acc, True, "int32", relu=True)
    np.testing.assert_array_equal(codes.view(np.int32), rounded)
    assert flags == Flags(saturated=1)  # 2^31 - 1 rounds to 2^31 in FP32
    np.testing.assert_array_equal(epilogue(acc, True, "fp32")[0].view(np.float32), acc.astype(np.float32))


def by_rationals(acc: int, integer: bool, scale: int | None, bias: int | None, relu: bool) -> int:
    """Finite accumulators through the steps, in rationals, each step rounded once to FP32."""
    x = judge.round_to_fp32(Fraction(acc - (1 << 32) if acc >> 31 else acc)) if integer else acc
    if scale is not None:
        sign = (x ^ scale) & 1 << 31
        x = sign | judge.round_to_fp32(abs(Fraction(judge.fp32_value(x)) * Fraction(judge.fp32_value(scale))))
    if bias is not None:
        x = judge.add_fp32(x, bias)
    return 0 if relu and x >> 31 else x


@pytest.mark.parametrize("integer", [False, True])
@pytest.mark.parametrize("steps", range(1, 8))
def test_steps_in_order_each_rounded_once(steps: int, integer: bool, rng: np.random.Generator) -> None:
    shape = (6, 9)
    acc = (
        rng.integers(0, 1 << 32, shape).astype(np.uint32)
        if integer
        else fp32_bits(*rng.normal(0, 99, 54)).reshape(shape)
    )
    scale = fp32_bits(*rng.normal(0, 2, 9)) if steps & 1 else None
    bias = fp32_bits(*rng.normal(0, 50, 9)) if steps & 2 else None
    relu = bool(steps & 4)
    got, flags = epilogue(acc, integer, "fp32", scale=scale, bias=bias, relu=relu)
    expected = [
        [
            by_rationals(
                int(x), integer, None if scale is None else int(scale[j]), None if bias is None else int(bias[j]), relu
            )
            for j, x in enumerate(row)
        ]
        for row in acc
    ]
    np.testing.assert_array_equal(got, np.array(expected, np.uint32))
    assert flags == Flags()


@pytest.mark.parametrize("name", OUTPUTS)
def test_output_formats_hold_small_integers(name: str) -> None:
    acc = np.array([[-3, -1, 0, 1, 2, 3]], np.int32)
    codes, flags = epilogue(acc, True, name)
    assert codes.dtype == FORMATS[name].storage
    expected = np.maximum(acc, FORMATS[name].min_int if FORMATS[name].is_int else -3)
    np.testing.assert_array_equal(decode(codes, name), expected)
    assert flags == Flags(saturated=2 if name == "uint8" else 0)


def test_int8_to_int8_layer(rng: np.random.Generator) -> None:
    """The quantised layer of the demo, against float32 arithmetic."""
    acc = rng.integers(-40000, 40000, (20, 10)).astype(np.int32)
    scale, bias = rng.uniform(0.001, 0.01, 10).astype(np.float32), rng.normal(0, 30, 10).astype(np.float32)
    x = np.maximum(acc.astype(np.float32) * scale + bias, 0)
    expected = np.clip(np.rint(x), -128, 127).astype(np.int8)
    codes, flags = epilogue(acc, True, "int8", scale=scale, bias=bias, relu=True)
    np.testing.assert_array_equal(codes.view(np.int8), expected)
    assert flags == Flags(saturated=int((np.rint(x) > 127).sum()))


def test_bf16_output_rounds_the_fp32_result(rng: np.random.Generator) -> None:
    acc = rng.normal(0, 100, (50, 20)).astype(np.float32)
    codes, _ = epilogue(acc.view(np.uint32), False, "bf16", scale=np.float32(1 / 3))
    expected = (acc * np.float32(1 / 3)).astype(ml_dtypes.bfloat16).view(np.uint16)
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize(
    ("acc", "out", "steps", "code", "flags"),
    [
        (1e38, "fp32", {"scale": np.float32(10)}, 0x7F800000, Flags(overflow=True)),
        (3e38, "fp32", {"bias": np.float32(3e38)}, 0x7F800000, Flags(overflow=True)),
        (np.inf, "fp32", {"scale": np.float32(0)}, 0x7FC00000, Flags(invalid=True)),
        (np.inf, "fp32", {"bias": np.float32(-np.inf)}, 0x7FC00000, Flags(invalid=True)),
        (-np.nan, "e4m3", {"relu": True}, 0x7F, Flags()),
        (-np.inf, "bf16", {"relu": True}, 0, Flags()),
        (-0.0, "fp16", {}, 0x8000, Flags()),
        (-0.0, "fp16", {"relu": True}, 0, Flags()),
        (1e5, "fp16", {}, 0x7C00, Flags(overflow=True)),
        (1e5, "fp16", {"saturate": True}, 0x7BFF, Flags(saturated=1)),
        (1e5, "e4m3", {}, 0x7E, Flags(saturated=1)),
        (1e5, "e4m3", {"saturate": False}, 0x7F, Flags(overflow=True)),
        (np.nan, "int8", {}, 0, Flags(invalid=True)),
        (2.5, "int32", {}, 2, Flags()),
        (1e5, "int8", {"scale": np.float32(-1)}, 0x80, Flags(saturated=1)),
    ],
)
def test_specials_and_flags(acc: float, out: str, steps: dict, code: int, flags: Flags) -> None:
    codes, got = epilogue(fp32_bits(acc).reshape(1, 1), False, out, **steps)
    assert (hex(codes[0, 0]), got) == (hex(code), flags)


def test_errors_name_the_value() -> None:
    with pytest.raises(ValueError, match=r"bias has shape \(3,\); it must be one value or one for each of 4 columns"):
        epilogue(np.zeros((2, 4), np.uint32), False, "bf16", bias=np.zeros(3, np.float32))
