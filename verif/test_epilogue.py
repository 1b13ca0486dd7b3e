"""The drain's lane against golden: every result format, with and without each step, stalled or not."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel_golden.epilogue import epilogue
from gemel_golden.formats import FORMATS
from gemel_golden.fp32 import NAN, is_nan
from gemel_rtl.numeric.epilogue import EpilogueLane
from gemel_verif.numbers import fp32_values, int32_values, report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through

RESULTS = tuple(name for name, fmt in FORMATS.items() if fmt.kind != "scale")
LANES = 4
SHARED = ("valid", "o_valid", "advance")
OPERANDS = ("acc", "scale", "bias", "random")
OUTPUTS = ("o", "saturated", "invalid", "overflow")
COMBINATIONS = tuple(product((False, True), repeat=4))
STOCHASTIC = tuple(fmt.name for fmt in FORMATS.values() if fmt.stochastic_bits)


def _accumulators(rng: np.random.Generator, fmt: str, count: int) -> NDArray[np.uint32]:
    """FP32 bits: corners, any bits, and numbers around the format's ties, its smallest and its largest value."""
    acc = fp32_values(rng, count)
    target = FORMATS[fmt]
    half = count // 2
    exponent = (
        rng.integers(max(target.emin - target.p - 1, -149), min(target.emax + 3, 128), half)
        if not target.is_int
        else rng.integers(-3, target.bits + 2, half)
    )
    steps = rng.integers(1 << (target.p - 1), 1 << target.p, half) * 2 + rng.integers(0, 2, half)
    near = steps * 1024 + rng.choice([-1, 0, 1], half)
    value = np.ldexp(near.astype(np.float64) * rng.choice([-1.0, 1.0], half), exponent - target.p - 10)
    with np.errstate(over="ignore"):
        acc[half : 2 * half] = value.astype(np.float32).view(np.uint32)
    return np.where(is_nan(acc), np.uint32(NAN), acc)


def _check(
    rng: np.random.Generator, fmt: str, count: int, stalls: tuple[int, ...] = (), *, stochastic: bool = False
) -> None:
    columns: dict[str, list[NDArray[np.uint32]]] = {name: [] for name in (*OPERANDS, *OUTPUTS)}
    control: dict[str, list[NDArray[np.uint8]]] = {}
    for integer, scaled, biased, relu in COMBINATIONS:
        acc = int32_values(rng, count) if integer else _accumulators(rng, fmt, count)
        mild = rng.integers(100, 150, count).astype(np.uint32) << 23 | rng.integers(0, 1 << 23, count, dtype=np.uint32)
        scale = np.where(rng.random(count) < 0.9, mild, fp32_values(rng, count))
        bias = np.where(rng.random(count) < 0.9, acc ^ np.uint32(1 << 31) ^ (mild >> 7), fp32_values(rng, count))
        saturate = rng.random(count) < 0.5
        random = rng.integers(0, 1 << FORMATS[fmt].stochastic_bits, count, dtype=np.uint32)
        fields = {
            "stochastic": stochastic,
            "integer": integer,
            "scale_en": scaled,
            "bias_en": biased,
            "relu": relu,
            "fmt": FORMATS[fmt].code,
        }
        for name, value in (*fields.items(), ("saturate", saturate)):
            control.setdefault(name, []).append(np.full(count, value, np.uint8))
        for name, values in zip(OPERANDS, (acc, scale, bias, random), strict=True):
            columns[name].append(values)
        results = np.zeros((count, len(OUTPUTS)), np.uint32)
        for i in range(count):
            code, flags = epilogue(
                acc[i : i + 1],
                integer,
                fmt,
                scale=scale[i : i + 1] if scaled else None,
                bias=bias[i : i + 1] if biased else None,
                relu=relu,
                random=random[i : i + 1] if stochastic else None,
                saturate=bool(saturate[i]),
            )
            results[i] = int(code[0]) & 0xFFFF_FFFF, flags.saturated, flags.invalid, flags.overflow
        for name, values in zip(OUTPUTS, results.T, strict=True):
            columns[name].append(values)
    operands = {name: np.concatenate(columns[name]) for name in OPERANDS}
    order = rng.permutation(len(operands["acc"]))
    everything = {**operands, **{name: np.concatenate(values) for name, values in control.items()}}
    everything = {name: values[order] for name, values in everything.items()}
    bank = Lanes(EpilogueLane, LANES, shared=SHARED)
    got = through(bank, "epilogues", EpilogueLane.latency, OUTPUTS, everything, clock_enable="advance", stalls=stalls)
    for name in OUTPUTS:
        report(got[name], np.concatenate(columns[name])[order], **everything)


@pytest.mark.parametrize("fmt", RESULTS)
def test_epilogue(rng: np.random.Generator, fmt: str) -> None:
    _check(rng, fmt, 400)


@pytest.mark.parametrize("fmt", STOCHASTIC)
def test_stochastic_rounding(rng: np.random.Generator, fmt: str) -> None:
    _check(rng, fmt, 100, stochastic=True)


def test_epilogue_with_stalls(rng: np.random.Generator) -> None:
    _check(rng, "bf16", 100, tuple(int(x) for x in np.flatnonzero(rng.random(3000) < 0.4)))
