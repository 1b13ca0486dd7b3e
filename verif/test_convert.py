"""The converter on every pattern of the high half of FP32, to every format in both rounding modes, against golden."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel_golden.flags import Flags
from gemel_golden.formats import FORMATS, Format, decode
from gemel_golden.fp32 import NAN, is_nan
from gemel_golden.rounding import from_fp32, to_e8m0
from gemel_rtl.numeric.convert import Converter
from gemel_verif.numbers import fp32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through

LANES = 16
OUTPUTS = ("o", "saturated", "invalid", "overflow")


def _inputs(rng: np.random.Generator) -> NDArray[np.uint32]:
    """Every high half with a low half that is random or at a tie of BF16, and 8192 more numbers, corners included."""
    high = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    low = rng.choice(np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32), high.size)
    any_low = rng.integers(0, 1 << 16, high.size, dtype=np.uint32)
    return np.concatenate([high | np.where(rng.random(high.size) < 0.5, low, any_low), fp32_values(rng, 1 << 13)])


def _random(rng: np.random.Generator, i: NDArray[np.uint32], fmt: Format) -> NDArray[np.int64]:
    """Random bits of `fmt`: uniform, at their ends, and those that bring a normal number's carry or just miss it."""
    r, cut = fmt.stochastic_bits, 23 - fmt.mantissa_bits
    missing = (1 << cut) - (i.astype(np.int64) & ((1 << cut) - 1))
    near = (missing << (r - cut)) - rng.integers(0, 2, i.size) & ((1 << r) - 1)
    kind = rng.integers(0, 8, i.size)
    return np.select([kind < 4, kind == 4, kind == 5], [near, 0, (1 << r) - 1], rng.integers(0, 1 << r, i.size))


def _expected(i: NDArray[np.uint32], fmt: Format, random: NDArray[np.int64] | None, saturate: bool) -> tuple:
    if fmt.kind == "scale":
        return to_e8m0(decode(i, "fp32")), Flags()
    mode = "nearest" if random is None else "stochastic"
    codes, flags = from_fp32(i, fmt, mode=mode, random=random, saturate=saturate)
    return (np.where(is_nan(i), np.uint32(NAN), codes) if fmt.name == "fp32" else codes), flags


@pytest.mark.parametrize("stochastic", [False, True])
def test_converter(rng: np.random.Generator, stochastic: bool) -> None:
    columns, flags = [], {}
    for fmt in FORMATS.values():
        for saturate, i in enumerate(np.split(rng.permutation(_inputs(rng)), 2)):
            random = _random(rng, i, fmt) if stochastic and fmt.stochastic_bits else None
            codes, flags[fmt.name, saturate] = _expected(i, fmt, random, bool(saturate))
            # What a rounding mode or a format doesn't use can hold anything.
            noise = rng.integers(0, 1 << 22, i.size) if random is None else random
            shared = [np.full(i.size, value) for value in (fmt.code, stochastic, saturate)]
            columns.append((i, noise, *shared, codes.astype(np.uint32)))
    i, random, fmt, stochastic_in, saturate, expected = (np.concatenate(c) for c in zip(*columns, strict=True))
    operands = {"i": i, "random": random, "fmt": fmt, "stochastic": stochastic_in, "saturate": saturate}
    got = through(Lanes(Converter, LANES), "converters", Converter.latency, OUTPUTS, operands)
    report(got["o"], expected, **operands)
    sums = {name: got[name].reshape(len(flags), -1).sum(axis=1, dtype=int).tolist() for name in OUTPUTS[1:]}
    found = [
        Flags(saturated=s, invalid=v > 0, overflow=o > 0)
        for s, v, o in zip(sums["saturated"], sums["invalid"], sums["overflow"], strict=True)
    ]
    assert dict(zip(flags, found, strict=True)) == flags
