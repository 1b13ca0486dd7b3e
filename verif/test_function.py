"""The function unit against golden, in bulk: every row of the tables, special values, and all functions mixed."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel_golden.functions import Function, evaluate
from gemel_rtl.numeric.function import FunctionUnit
from gemel_verif.numbers import CORNERS, fp32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through

LANES = 16
COUNT = LANES * 16_000
RANDOM = COUNT // 4
BINADES = np.arange(127 - 7, 127 + 4, dtype=np.uint32)


def run(function: NDArray[np.uint32], i: NDArray[np.uint32], idle: list[int] | None = None) -> None:
    """Compares the unit with golden on the vectors that `function` and `i` are."""
    got = through(
        Lanes(FunctionUnit, LANES), "functions", FunctionUnit.latency, ("o",), {"function": function, "i": i}, idle=idle
    )
    expected = np.zeros_like(i)
    for code in Function:
        expected[function == code] = evaluate(code, i[function == code])
    report(got["o"], expected, function=function, i=i)


def operands(rng: np.random.Generator, count: int) -> NDArray[np.uint32]:
    """Corners, random bits, neighbours of round numbers, and in half of them exponents where functions are curved."""
    bits = fp32_values(rng, count)
    near = rng.integers(0, 1 << 9, count, dtype=np.uint32) << 23 | (rng.integers(0, 8, count, dtype=np.uint32) << 20)
    exponents = rng.integers(127 - 30, 127 + 26, count, dtype=np.uint32) << 23
    curved = (bits & np.uint32(0x807F_FFFF)) | exponents
    part = count // 4
    bits[part : 2 * part] = (near + rng.integers(-2, 3, count).astype(np.uint32))[part : 2 * part]
    bits[2 * part :] = curved[2 * part :]
    return bits


@pytest.mark.parametrize("function", Function, ids=lambda f: f.name.lower())
def test_function(function: Function, rng: np.random.Generator) -> None:
    """Random operands, then stretches of neighbours that begin at a random place in each 128th of eleven binades."""
    rows = np.arange(128, dtype=np.uint32) << 16
    first = ((BINADES << 23)[:, None] | rows).ravel() + rng.integers(0, 1 << 16, BINADES.size * 128, dtype=np.uint32)
    dense = first[:, None] + np.arange((COUNT - RANDOM) // first.size, dtype=np.uint32)
    dense |= (rng.random(dense.shape) < 0.25).astype(np.uint32) << 31
    i = np.concatenate([operands(rng, RANDOM), dense.ravel()]).astype(np.uint32)
    i = i[: i.size - i.size % LANES]
    run(np.full(i.size, function, np.uint32), i)


def test_mixed_functions_with_gaps(rng: np.random.Generator) -> None:
    """Results of different functions side by side, each `latency` cycles after its operand, whatever comes between."""
    pairs = np.array([(code, corner) for code in Function for corner in CORNERS], np.uint32)
    count = LANES * 4000
    function = rng.integers(0, len(Function), count, dtype=np.uint32)
    i = operands(rng, count)
    function[: len(pairs)], i[: len(pairs)] = rng.permutation(pairs).T
    run(function, i, rng.integers(0, 4, count // LANES).tolist())
