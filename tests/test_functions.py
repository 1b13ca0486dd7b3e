"""The FP32 functions against float64 over whole binades, their special values one by one, and their tables."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

from gemel_golden.function_judge import reference, ulp_errors
from gemel_golden.function_tables import ROWS
from gemel_golden.functions import Function, evaluate

SCRIPTS = Path(__file__).parents[1] / "scripts"
ACCURACY = runpy.run_path(str(SCRIPTS / "function_accuracy.py"))
BINADE = 1 << 23

# The first numbers of binades that together hold every case of the reduced argument: rows, signs, parities, octants.
BINADES = {
    Function.EXP2: (0x3D800000, 0x3F800000, 0xBF800000),
    Function.EXP: (0x3D800000, 0x3F800000, 0xBF800000),
    Function.LOG2: (0x3F000000, 0x3F800000, 0x42000000),
    Function.RECIPROCAL: (0x3F800000, 0x7E800000),
    Function.RSQRT: (0x3F800000, 0x40000000),
    Function.SQRT: (0x3F800000, 0x40000000),
    Function.SIN: (0x3D000000, 0x3E000000, 0x3E800000, 0x3F000000),
    Function.COS: (0x3D000000, 0x3E000000, 0x3E800000, 0x3F000000),
    Function.TANH: (0x3E000000, 0x3F000000, 0x3F800000, 0x40000000, 0x40800000),
    Function.ERF: (0x3E000000, 0x3F000000, 0x3F800000, 0x40000000),
}

INF, NAN, ONE, MINUS = 0x7F800000, 0x7FC00000, 0x3F800000, 1 << 31
LARGEST, SMALLEST, NORMAL = 0x7F7FFFFF, 0x00000001, 0x00800000


def fp32(x: float) -> int:
    return int(np.float32(x).view(np.uint32))


# Input and result: zeros, infinities, NaNs quiet and signalling, limits, subnormals, and what is exact.
SPECIALS = {
    Function.EXP2: [
        *((0, ONE), (MINUS, ONE), (INF, INF), (MINUS | INF, 0), (SMALLEST, ONE), (MINUS | SMALLEST, ONE)),
        *((fp32(128), INF), (fp32(127), 0x7F000000), (fp32(-126), NORMAL), (fp32(-149), SMALLEST), (fp32(-150), 0)),
        *((LARGEST, INF), (MINUS | LARGEST, 0), (0x42FFFFFF, 0x7F7FFFA7), (fp32(-149.5), SMALLEST), (fp32(-256), 0)),
    ],
    Function.EXP: [
        *((0, ONE), (MINUS, ONE), (INF, INF), (MINUS | INF, 0), (SMALLEST, ONE), (MINUS | SMALLEST, ONE)),
        *((fp32(89), INF), (0x42B17217, 0x7F7FFF84), (0x42B17218, INF), (fp32(-103), 1), (fp32(-104), 0)),
        *((LARGEST, INF), (MINUS | LARGEST, 0), (ONE, 0x402DF854), (MINUS | ONE, 0x3EBC5AB2)),
    ],
    Function.LOG2: [
        *((0, MINUS | INF), (MINUS, MINUS | INF), (INF, INF), (MINUS | INF, NAN), (MINUS | ONE, NAN)),
        *((MINUS | SMALLEST, NAN), (ONE, 0), (SMALLEST, fp32(-149)), (0x00400000, fp32(-127)), (NORMAL, fp32(-126))),
        *((ONE + 1, 0x3438AA3A), (ONE - 1, 0xB3B8AA3C), (LARGEST, fp32(128))),
    ],
    Function.RECIPROCAL: [
        *(
            (0, INF),
            (MINUS, MINUS | INF),
            (INF, 0),
            (MINUS | INF, MINUS),
            (SMALLEST, INF),
            (MINUS | SMALLEST, MINUS | INF),
        ),
        *((0x00200000, INF), (0x00200001, 0x7F7FFFF8), (0x00400000, 0x7F000000), (0x7F000000, 0x00400000)),
        *((LARGEST, 0x00200000), (MINUS | LARGEST, 0x80200000), (fp32(3), fp32(1 / 3)), (fp32(-2), fp32(-0.5))),
    ],
    Function.RSQRT: [
        *((0, INF), (MINUS, MINUS | INF), (INF, 0), (MINUS | INF, NAN), (MINUS | ONE, NAN), (MINUS | SMALLEST, NAN)),
        *((fp32(4), fp32(0.5)), (SMALLEST, 0x64B504F3), (LARGEST, 0x1F800000), (NORMAL, 0x5F000000)),
    ],
    Function.SQRT: [
        *((0, 0), (MINUS, MINUS), (INF, INF), (MINUS | INF, NAN), (MINUS | ONE, NAN), (MINUS | SMALLEST, NAN)),
        *((fp32(4), fp32(2)), (fp32(9), fp32(3)), (SMALLEST, 0x1A3504F3), (LARGEST, 0x5F7FFFFF), (NORMAL, 0x20000000)),
    ],
    Function.SIN: [
        *((0, 0), (MINUS, MINUS), (INF, NAN), (MINUS | INF, NAN), (ONE, 0), (MINUS | ONE, MINUS), (fp32(0.5), 0)),
        *((fp32(-0.5), MINUS), (fp32(0.25), ONE), (fp32(0.75), MINUS | ONE), (fp32(-2.25), MINUS | ONE)),
        *((LARGEST, 0), (MINUS | LARGEST, MINUS), (SMALLEST, 6), (MINUS | SMALLEST, MINUS | 6), (NORMAL, 0x01C90FDB)),
        *((fp32(0.125), 0x3F3504F3), (fp32(8388607.5), 0), (fp32(4194303.75), MINUS | ONE)),
    ],
    Function.COS: [
        *((0, ONE), (MINUS, ONE), (INF, NAN), (MINUS | INF, NAN), (ONE, ONE), (fp32(-0.5), MINUS | ONE)),
        *((fp32(0.25), 0), (fp32(-0.25), 0), (fp32(0.75), 0), (LARGEST, ONE), (SMALLEST, ONE), (MINUS | SMALLEST, ONE)),
        *((fp32(0.125), 0x3F3504F3), (fp32(8388607.5), MINUS | ONE), (fp32(4194303.75), 0)),
    ],
    Function.TANH: [
        *(
            (0, 0),
            (MINUS, MINUS),
            (INF, ONE),
            (MINUS | INF, MINUS | ONE),
            (LARGEST, ONE),
            (MINUS | LARGEST, MINUS | ONE),
        ),
        *((SMALLEST, SMALLEST), (MINUS | SMALLEST, MINUS | SMALLEST), (NORMAL, NORMAL), (0x007FFFFF, 0x007FFFFF)),
        *((0x39000000, 0x39000000), (fp32(8), 0x3F7FFFFC), (fp32(12), ONE), (0x413FFFFF, ONE)),
    ],
    Function.ERF: [
        *(
            (0, 0),
            (MINUS, MINUS),
            (INF, ONE),
            (MINUS | INF, MINUS | ONE),
            (LARGEST, ONE),
            (MINUS | LARGEST, MINUS | ONE),
        ),
        *((SMALLEST, SMALLEST), (MINUS | SMALLEST, MINUS | SMALLEST), (NORMAL, 0x00906EBA), (fp32(4), ONE)),
        *((fp32(2), fp32(math.erf(2))), (fp32(-0.5), fp32(math.erf(-0.5))), (fp32(3), fp32(math.erf(3)))),
    ],
}
NANS = (NAN, MINUS | NAN, INF + 1, MINUS | INF + 1, 0x7FFFFFFF)


@pytest.mark.parametrize("function", Function, ids=lambda f: f.name.lower())
def test_whole_binades_are_within_an_ulp(function: Function) -> None:
    ulps = [ACCURACY["measure"](function, first, first + BINADE - 1).ulps for first in BINADES[function]]
    assert max(ulps) < ACCURACY["PROMISE"]


@pytest.mark.parametrize("function", Function, ids=lambda f: f.name.lower())
def test_random_inputs_are_within_an_ulp(function: Function, rng: np.random.Generator) -> None:
    bits = rng.integers(0, 1 << 32, 1 << 20, dtype=np.uint32)
    errors = ulp_errors(evaluate(function, bits), reference(function, bits))
    worst = int(errors.argmax())
    assert errors[worst] < ACCURACY["PROMISE"], f"{errors[worst]} ulp at {int(bits[worst]):#010x}"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("function", Function, ids=lambda f: f.name.lower())
def test_every_input_is_within_an_ulp(function: Function) -> None:
    worst = ACCURACY["measure"](function)
    assert worst.inputs == 1 << 32
    assert worst.ulps < ACCURACY["PROMISE"], worst


@pytest.mark.parametrize("function", Function, ids=lambda f: f.name.lower())
def test_special_values(function: Function) -> None:
    cases = [*SPECIALS[function], *((nan, NAN) for nan in NANS)]
    bits, expected = np.array(cases, np.uint32).T
    got = evaluate(function, bits)
    wrong = [f"{x:#010x}: {g:#010x}, not {e:#010x}" for x, g, e in zip(bits, got, expected, strict=True) if g != e]
    assert wrong == []


def test_signs(rng: np.random.Generator) -> None:
    """The sign of an odd function's operand is its result's, that of an even function's doesn't count; roots need +."""
    positive = np.concatenate([rng.integers(0, INF + 1, 1 << 18), [0, SMALLEST, NORMAL, ONE, INF]]).astype(np.uint32)
    negative = positive | np.uint32(MINUS)
    for function in Function:
        plus, minus = evaluate(function, positive), evaluate(function, negative)
        if function in (Function.RECIPROCAL, Function.SIN, Function.TANH, Function.ERF):
            flipped = np.where(plus == NAN, plus, plus ^ np.uint32(MINUS))
            np.testing.assert_array_equal(minus, flipped, err_msg=function.name)
        elif function is Function.COS:
            np.testing.assert_array_equal(minus, plus)
        elif function in (Function.LOG2, Function.RSQRT, Function.SQRT):
            assert (minus[positive > 0] == NAN).all(), function.name


def test_powers_of_two_are_exact() -> None:
    powers = np.arange(-149, 128)
    bits = np.ldexp(1.0, powers).astype(np.float32).view(np.uint32)
    finite = bits[powers > -128]
    np.testing.assert_array_equal(
        evaluate(Function.EXP2, powers.astype(np.float32).view(np.uint32)), bits, err_msg="exp2 of integers"
    )
    np.testing.assert_array_equal(evaluate(Function.LOG2, bits), powers.astype(np.float32).view(np.uint32))
    np.testing.assert_array_equal(evaluate(Function.RECIPROCAL, evaluate(Function.RECIPROCAL, finite)), finite)
    even = powers[powers % 2 == 0]
    roots = np.ldexp(1.0, even // 2)
    squares = np.ldexp(1.0, even).astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(evaluate(Function.SQRT, squares), roots.astype(np.float32).view(np.uint32))
    np.testing.assert_array_equal(evaluate(Function.RSQRT, squares), (1 / roots).astype(np.float32).view(np.uint32))


def test_roots_of_squares_are_exact() -> None:
    roots = np.arange(1, 1 << 12)
    squares = (roots * roots).astype(np.float32).view(np.uint32)
    np.testing.assert_array_equal(evaluate(Function.SQRT, squares), roots.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize(
    ("function", "first", "last", "rises"),
    [
        (Function.EXP2, 0x3D800000, 0x3FFFFFFF, True),
        (Function.EXP, 0xBD800000, 0xBFFFFFFF, False),
        (Function.LOG2, 0x3F000000, 0x3FFFFFFF, True),
        (Function.RECIPROCAL, 0x3F800000, 0x40000000, False),
        (Function.RSQRT, 0x3F800000, 0x40800000, False),
        (Function.SQRT, 0x3F800000, 0x40800000, True),
        (Function.SIN, 0x3C800000, 0x3E800000, True),
        (Function.COS, 0x3C800000, 0x3F000000, False),
        (Function.TANH, 0x3E000000, 0x41200000, True),
        (Function.ERF, 0x3E000000, 0x40900000, True),
    ],
)
def test_functions_are_monotone(function: Function, first: int, last: int, rises: bool) -> None:
    bits = np.arange(first, last + 1, dtype=np.uint32)
    chunks = [evaluate(function, chunk).view(np.float32) for chunk in np.array_split(bits, 1 + bits.size // 16384)]
    steps = np.diff(np.concatenate(chunks).astype(np.float64))
    assert not np.count_nonzero(steps < 0 if rises else steps > 0)


def test_shape_is_kept_and_codes_are_checked() -> None:
    assert evaluate(Function.EXP, np.zeros((2, 3), np.uint32)).shape == (2, 3)
    assert evaluate(1, 0) == ONE
    with pytest.raises(ValueError, match="10 is not a valid Function"):
        evaluate(10, 0)


def test_tables_are_current() -> None:
    script = runpy.run_path(str(SCRIPTS / "function_tables.py"))
    assert script["TARGET"].read_text() == script["module"](), "run `python scripts/function_tables.py`"
    assert ROWS.size == 128 * len(script["PAGES"])
