"""The FP32 adder, multiplier and integer conversion against golden, in bulk."""

import numpy as np

from gemel_golden import fp32
from gemel_rtl.numeric.fp32_add import Fp32Adder
from gemel_rtl.numeric.fp32_mul import Fp32Multiplier
from gemel_rtl.numeric.int_to_fp32 import IntToFp32
from gemel_verif.numbers import fp32_pairs, int32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through

LANES = 16
COUNT = LANES * 13_000
FLAGS = ("o", "invalid", "overflow")


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
