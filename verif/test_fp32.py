"""The FP32 adder, multiplier, fused multiply-add and integer conversion against golden, in bulk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.numeric.fp32_fma import Fp32Fma
from gemel_rtl.numeric.fp32_mul import Fp32Multiplier
from gemel_rtl.numeric.int_to_fp32 import IntToFp32
from gemel_verif.numbers import fp32_pairs, fp32_values, int32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through
from gemel_verif.triples import fp32_triples

LANES = 16
COUNT = LANES * 13_000
FLAGS = ("o", "invalid", "overflow")
ONE, MINUS_ZERO = np.uint32(0x3F80_0000), np.uint32(1 << 31)


def test_adder(rng: np.random.Generator) -> None:
    a, b = fp32_pairs(rng, COUNT)
    got = through(Lanes(Fp32Adder, LANES), "adders", Fp32Adder.latency, FLAGS, {"a": a, "b": b})
    expected = fp32.add(a, b)
    report(got["o"], expected, a=a, b=b)
    report(got["invalid"], fp32.is_nan(expected), a=a, b=b)
    report(got["overflow"], fp32.overflowed(expected, a, b), a=a, b=b)


def test_multiplier(rng: np.random.Generator) -> None:
    a, b = fp32_pairs(rng, COUNT)
    got = through(Lanes(Fp32Multiplier, LANES), "multipliers", Fp32Multiplier.latency, FLAGS, {"a": a, "b": b})
    expected = fp32.mul(a, b)
    report(got["o"], expected, a=a, b=b)
    report(got["invalid"], fp32.is_nan(expected), a=a, b=b)
    report(got["overflow"], fp32.overflowed(expected, a, b), a=a, b=b)


def _fma(operands: dict[str, NDArray[Any]], outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    return through(Lanes(Fp32Fma, LANES), "fmas", Fp32Fma.latency, outputs, operands)


def test_fma(rng: np.random.Generator) -> None:
    a, b, c = fp32_triples(rng, 2 * COUNT)
    got = _fma({"a": a, "b": b, "c": c}, FLAGS)
    expected = fp32.fma(a, b, c)
    report(got["o"], expected, a=a, b=b, c=c)
    report(got["invalid"], fp32.is_nan(expected), a=a, b=b, c=c)
    report(got["overflow"], fp32.overflowed(expected, a, b, c), a=a, b=b, c=c)


def test_fma_adds_and_multiplies(rng: np.random.Generator) -> None:
    """a * 1 + b is a + b, and a * b + (-0) is a * b, signs of zeros included."""
    a, b = fp32_pairs(rng, COUNT)
    one, zero = np.full_like(a, ONE), np.full_like(a, MINUS_ZERO)
    a2, b2, c2 = (np.concatenate(column) for column in ((a, a), (one, b), (b, zero)))
    got = _fma({"a": a2, "b": b2, "c": c2}, ("o",))
    report(got["o"], np.concatenate([fp32.add(a, b), fp32.mul(a, b)]), a=a2, b=b2, c=c2)


def test_fma_converts_integers(rng: np.random.Generator) -> None:
    i = int32_values(rng, COUNT // 4)
    zero = np.zeros_like(i)
    operands = {"a": i, "b": fp32_values(rng, i.size), "c": zero, "integer": zero + 1}
    report(_fma(operands, ("o",))["o"], fp32.int32_to_fp32(i), **operands)


def test_fma_multiplies_integers(rng: np.random.Generator) -> None:
    """The product leaves in the low bits of a word of 64, `product_latency` cycles after its operands."""
    a, b = fp32_pairs(rng, LANES * 1000)
    operands = {"a": a, "b": b, "c": fp32_values(rng, a.size), "raw": np.ones_like(a)}
    got = _fma(operands, ("product",))["product"]
    ahead = LANES * (Fp32Fma.latency - Fp32Fma.product_latency)
    low = np.uint64(0xFF_FFFF)
    expected = (a & low) * (b & low)
    np.testing.assert_array_equal(got[: -ahead or None], expected[ahead:])


def test_adder_with_gaps(rng: np.random.Generator) -> None:
    """The result of a vector comes `latency` cycles after it, whatever comes before and after."""
    a, b = fp32_pairs(rng, LANES * 2000)
    idle = rng.integers(0, 4, 2000).tolist()
    bank = Lanes(Fp32Adder, LANES)
    got = through(bank, "adders", Fp32Adder.latency, FLAGS, {"a": a, "b": b}, idle=idle)
    report(got["o"], fp32.add(a, b), a=a, b=b)


def test_int_to_fp32(rng: np.random.Generator) -> None:
    i = int32_values(rng, COUNT // 4)
    got = through(Lanes(IntToFp32, LANES), "int_to_fp32", IntToFp32.latency, ("o",), {"i": i})
    report(got["o"], fp32.int32_to_fp32(i), i=i)
