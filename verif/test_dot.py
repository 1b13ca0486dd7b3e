"""Dot units behind their decoders against golden: every pair of operand formats, every kind of data."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gemel_golden import fp32
from gemel_golden.dot import block_elements, block_matmul
from gemel_golden.formats import FORMATS, by_name, decode, pack4
from gemel_golden.isa import BlockScale
from gemel_golden.rounding import encode
from gemel_golden.scaled import SCALE_GROUP, scaled_matmul
from gemel_rtl.numeric.dot import DotUnit
from gemel_verif.numeric_benches import DotGrid
from gemel_verif.runner import simulate
from gemel_verif.stimulus import KINDS, operands

OPERANDS = ("bf16", "fp16", "e4m3", "e5m2", "int8", "e2m1", "int4")
SCALES = {BlockScale.MX: "e8m0", BlockScale.NVFP4: "e4m3"}
SIDE = 2
BLOCKS = 32
"""Blocks of each operand in a case; all their pairs are computed."""


def _blocks(rng: np.random.Generator, codes: NDArray[Any], bits: int, place: int) -> list[int]:
    """Rows of codes as blocks of 32 bytes, elements in the part asked for, everything else random."""
    data = rng.integers(0, 256, (len(codes), 32), np.uint8)
    content = np.ascontiguousarray(pack4(codes) if bits == 4 else codes).view(np.uint8)
    data[:, content.shape[1] * place :][:, : content.shape[1]] = content
    return [int.from_bytes(row.tobytes(), "little") for row in data]


def _scales(rng: np.random.Generator, mode: BlockScale, width: int, line: int) -> tuple[NDArray[Any], list[int]]:
    """Codes (blocks, groups) of one operand's scales, and what the decoders get for them."""
    fmt = by_name(SCALES[mode])
    groups = -(-width // SCALE_GROUP[fmt.name])
    spread = int(rng.choice([2, 20, 127]))
    codes = rng.integers(127 - spread, 128 + spread, (BLOCKS, groups)).astype(np.uint8)
    if mode == BlockScale.NVFP4:
        codes = rng.integers(0, 256 if spread > 100 else 127, (BLOCKS, groups)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.03] = 0xFF  # NaN in both
    words = rng.integers(0, 256, (BLOCKS, 4), np.uint8)
    words[:, line : line + groups] = codes
    return codes, [int.from_bytes(row.tobytes(), "little") for row in words]


def _codes(rng: np.random.Generator, fmt: str, width: int, kind: str) -> NDArray[Any]:
    """Blocks of `gemel_verif.stimulus`'s kinds, and "opposed": even blocks have zeros in their first half, odd ones the
    largest numbers, both small numbers in the other. A zero's exponent must not count as the block's largest.
    """
    if kind != "opposed":
        return operands(rng, fmt, (BLOCKS, width), kind)
    spec = by_name(fmt)
    codes = encode(rng.uniform(-2, 2, (BLOCKS, width)) * 2.0 ** max(spec.emin, -20), fmt)[0]
    large = np.where(np.arange(BLOCKS)[:, None] % 2, spec.largest, 0) | rng.integers(0, 2, codes.shape) << spec.bits - 1
    codes[:, : width // 2] = large[:, : width // 2]
    return codes


def _case(
    rng: np.random.Generator, fmt_a: str, fmt_b: str, kinds: tuple[str, str], mode: BlockScale = BlockScale.NONE
) -> dict[str, Any]:
    """All pairs of random blocks of two formats: golden's results, and the ports' values cycle by cycle."""
    width = block_elements(fmt_a, fmt_b)
    least = int(mode != BlockScale.NONE)
    lanes = width if kinds[0] == "opposed" or rng.random() < 0.6 else int(rng.integers(least, width + 1))
    four = width == 64
    sides, ports, scales = [], {}, {}
    for side, name, kind in zip("ab", (fmt_a, fmt_b), kinds, strict=True):
        fmt = by_name(name)
        codes = _codes(rng, name, width, kind)
        place = int(rng.integers(0, 256 // fmt.bits // width))
        blocks = _grouped(_blocks(rng, codes, fmt.bits, place), 256)
        scaling, line = mode if rng.random() < 0.8 else BlockScale.NONE, 0 if four else int(rng.integers(2))
        words = [int(word) for word in rng.integers(0, 1 << 32, BLOCKS)]
        if scaling:
            scales[f"scale_{side}"], words = _scales(rng, scaling, width, line)
            scales[f"scale_{side}"] = scales[f"scale_{side}"][:, : -(-lanes // SCALE_GROUP[SCALES[mode]])]
        sides.append(codes[:, :lanes])
        ports |= {side: blocks, f"scale_{side}": _grouped(words, 32)}
        ports |= {f"fmt_{side}": fmt.code, f"place_{side}": place, f"scaling_{side}": scaling, f"line_{side}": line}
    if scales and lanes:
        scales["scale_b"] = scales["scale_b"].T if "scale_b" in scales else None
        expected = scaled_matmul(sides[0], fmt_a, sides[1].T, fmt_b, **scales, scale_fmt=SCALES[mode])[0]
    else:
        expected = block_matmul(sides[0], fmt_a, sides[1].T, fmt_b)[0]
    steps = list(product(range(BLOCKS // SIDE), repeat=2))
    values = {name: [value] * len(steps) for name, value in ports.items() if isinstance(value, int)}
    values |= {name: [ports[name][i] for i, _ in steps] for name in ("a", "scale_a")}
    values |= {name: [ports[name][j] for _, j in steps] for name in ("b", "scale_b")}
    constants = {"wide": width == 16, "four": four, "quarters": mode == BlockScale.NVFP4, "lanes": lanes}
    constants["integer"] = FORMATS[fmt_a].is_int and FORMATS[fmt_b].is_int
    return {
        "ports": values | {name: [int(value)] * len(steps) for name, value in constants.items()},
        "expected": np.asarray(expected).view(np.uint32).reshape(BLOCKS // SIDE, SIDE, BLOCKS // SIDE, SIDE),
        "codes": sides,
        "scaled": bool(scales),
    }


def _grouped(words: list[int], bits: int) -> list[int]:
    """The words of as many rows or columns as the grid has, side by side."""
    return [sum(word << bits * i for i, word in enumerate(words[at : at + SIDE])) for at in range(0, BLOCKS, SIDE)]


@pytest.mark.parametrize("fmt_b", OPERANDS)
@pytest.mark.parametrize("fmt_a", OPERANDS)
def test_dot(rng: np.random.Generator, fmt_a: str, fmt_b: str) -> None:
    mixed = [(str(a), str(b)) for a, b in rng.choice(KINDS, (4, 2))]
    kinds = [*((kind, kind) for kind in (*KINDS, "opposed")), *mixed]
    cases = [_case(rng, fmt_a, fmt_b, pair) for pair in kinds]
    if not (FORMATS[fmt_a].is_int and FORMATS[fmt_b].is_int):
        modes = [BlockScale.MX, BlockScale.NVFP4] if block_elements(fmt_a, fmt_b) == 64 else [BlockScale.MX]
        cases += [_case(rng, fmt_a, fmt_b, pair, mode) for mode in modes for pair in kinds]
        kinds = kinds * (1 + len(modes))
    ports = {name: [v for case in cases for v in case["ports"][name]] for name in cases[0]["ports"]}
    grid = DotGrid(rows=SIDE, cols=SIDE)
    inputs = {"ports": ports, "outputs": ("o", "overflow"), "latency": 1 + DotUnit.latency}
    results = simulate(grid, "dot_grid", "tb_stream", inputs)
    words = b"".join(value.to_bytes(4 * SIDE * SIDE, "little") for value in results["o"])
    shape = (len(cases), BLOCKS // SIDE, BLOCKS // SIDE, SIDE, SIDE)
    got = np.frombuffer(words, np.uint32).reshape(shape).transpose(0, 1, 3, 2, 4)
    overflow = np.array([[value >> at & 1 for at in range(SIDE * SIDE)] for value in results["overflow"]])
    overflow = overflow.reshape(shape).transpose(0, 1, 3, 2, 4)
    for number, (kind, case) in enumerate(zip(kinds, cases, strict=True)):
        expected = case["expected"]
        wrong = np.argwhere(got[number] != expected)
        if wrong.size:
            i, r, j, c = wrong[0]
            a, b = case["codes"][0][i * SIDE + r], case["codes"][1][j * SIDE + c]
            hexadecimal = [" ".join(f"{int(code):x}" for code in codes) for codes in (a, b)]
            raise AssertionError(
                f"{fmt_a} x {fmt_b} {number}, {kind}: {len(wrong)} of {expected.size} results differ; the first has\n"
                f"a = {hexadecimal[0]}\nb = {hexadecimal[1]}\n"
                f"expected {int(expected[i, r, j, c]):#010x}, got {int(got[number][i, r, j, c]):#010x}"
            )
        if not inputs["ports"]["integer"][0] and not case["scaled"]:
            finite = [
                np.isfinite(np.asarray(decode(codes, fmt), np.float64)).all(axis=1)
                for codes, fmt in zip(case["codes"], (fmt_a, fmt_b), strict=True)
            ]
            pairs = np.outer(finite[0], finite[1]).reshape(expected.shape)
            np.testing.assert_array_equal(overflow[number], pairs & fp32.is_inf(expected))
