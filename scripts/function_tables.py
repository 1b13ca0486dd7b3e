"""Fits the tables of the FP32 functions and writes golden/gemel_golden/function_tables.py, in a second.

Each page approximates one function on [0, 1) by 128 parabolas. All samples come from decimal arithmetic of 40 digits,
all fits from integers: no machine's mathematical library has a say, and the tables are the same everywhere.
"""

import argparse
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TARGET = Path(__file__).parents[1] / "golden" / "gemel_golden" / "function_tables.py"
ROWS, OFFSET_BITS, SQUARED_BITS = 128, 20, 16
C0_BITS, C1_BITS, C2_BITS = 28, 22, 14
UNIT = 48
"""Fraction bits of c1 * offset, in which samples and errors are counted."""

HALF, TWO = Decimal("0.5"), Decimal(2)
PI = Decimal("3.14159265358979323846264338327950288419716939937511")


def exp2(u: Decimal) -> Decimal:
    return (u * TWO.ln()).exp() / 2


def log2(u: Decimal) -> Decimal:
    t = u if u < HALF else (u - 1) / 2
    return (1 / TWO.ln() if t == 0 else (1 + t).ln() / (t * TWO.ln())) / 2


def reciprocal(u: Decimal) -> Decimal:
    return 1 / (1 + u)


def rsqrt_even(u: Decimal) -> Decimal:
    return 1 / (1 + u).sqrt()


def rsqrt_odd(u: Decimal) -> Decimal:
    return 1 / (2 + 2 * u).sqrt()


def sine(u: Decimal) -> Decimal:
    """Both halves are Taylor series in angle^2; their terms end below 1e-40."""
    cosine = u >= HALF
    v = u - HALF if cosine else u
    square = (v * PI / 2) ** 2
    term, total = (square / 4 if cosine else PI / 4), Decimal(0)
    for n in range(3 if cosine else 2, 40, 2):
        total += term
        term *= -square / (n * (n + 1))
    return total / v if cosine and v else total


def tanh(x: Decimal) -> Decimal:
    return 1 - 2 / ((2 * x).exp() + 1)


def tanh_low(u: Decimal) -> Decimal:
    return tanh(2 * u) / (2 * u) if u else Decimal(1)


def tanh_middle(u: Decimal) -> Decimal:
    return tanh(2 + 2 * u)


def tanh_high(u: Decimal) -> Decimal:
    return tanh(4 + 8 * u)


def erf(x: Decimal) -> Decimal:
    """2 / sqrt(pi) e^(-x^2) (x + 2 x^3 / 3 + 4 x^5 / 15 + ...), up to terms below 1e-40."""
    term, total, n = x, Decimal(0), 1
    while term > Decimal("1e-40"):
        total += term
        n += 2
        term *= 2 * x * x / n
    return 2 / PI.sqrt() * (-x * x).exp() * total


def erf_low(u: Decimal) -> Decimal:
    return erf(u) / (2 * u) if u else 1 / PI.sqrt()


def erf_middle(u: Decimal) -> Decimal:
    return erf(1 + u)


def erf_high(u: Decimal) -> Decimal:
    return erf(2 + 2 * u)


PAGES: tuple[tuple[str, str, Callable[[Decimal], Decimal]], ...] = (
    ("EXP2", "2^u / 2", exp2),
    ("LOG2", "log2(1 + t) / (2 t), where t = u for u < 1/2, (u - 1) / 2 above", log2),
    ("RECIPROCAL", "1 / (1 + u)", reciprocal),
    ("RSQRT_EVEN", "1 / sqrt(1 + u)", rsqrt_even),
    ("RSQRT_ODD", "1 / sqrt(2 + 2 u)", rsqrt_odd),
    ("SINE", "sin(pi u / 2) / (2 u) for u < 1/2, (1 - cos(pi v / 2)) / (2 v), v = u - 1/2, above", sine),
    ("TANH_LOW", "tanh(2 u) / (2 u)", tanh_low),
    ("TANH_MIDDLE", "tanh(2 + 2 u)", tanh_middle),
    ("TANH_HIGH", "tanh(4 + 8 u)", tanh_high),
    ("ERF_LOW", "erf(u) / (2 u)", erf_low),
    ("ERF_MIDDLE", "erf(1 + u)", erf_middle),
    ("ERF_HIGH", "erf(2 + 2 u)", erf_high),
)

# The parabola through a cubic's values at these three offsets, the zeros of T3, is the one of least maximum error.
REACH = 454_047  # 2^20 * cos(pi / 6) / 2
NODES = [(1 << OFFSET_BITS - 1) + step for step in (-REACH, 0, REACH)]
GRID = [min(i << 15, (1 << OFFSET_BITS) - 1) for i in range(33)]


def samples(function: Callable[[Decimal], Decimal], offsets: list[int]) -> NDArray[np.int64]:
    """`function` at each of `offsets` (columns) into each row's segment, in units of 2^-48."""
    with localcontext(prec=40):
        scale = Decimal(1 << OFFSET_BITS) * ROWS
        rows = [[function(Decimal((row << OFFSET_BITS) + t) / scale) for t in offsets] for row in range(ROWS)]
        return np.array([[int((y * (1 << UNIT)).to_integral_value()) for y in row] for row in rows], np.int64)


def fit(function: Callable[[Decimal], Decimal]) -> tuple[NDArray[np.int64], float]:
    """The page's 64-bit words, and the greatest error at the samples in units of 2^-28."""
    below, centre, above = samples(function, NODES).T
    wanted = samples(function, GRID)
    t = np.array(GRID, np.int64)
    square = (t >> (OFFSET_BITS - SQUARED_BITS)) ** 2 >> SQUARED_BITS
    c2 = np.array([round(int(d) * (1 << 17) / REACH**2) for d in below - 2 * centre + above], np.int64)
    slope = np.array([round(int(d) / (2 * REACH)) for d in above - below], np.int64) - 4 * c2

    best = [np.full(ROWS, np.iinfo(np.int64).max), *(np.zeros(ROWS, np.int64) for _ in range(3))]
    for step2 in (-1, 0, 1):
        for step1 in range(-8, 9):
            second, first = c2 + step2, slope - 4 * step2 + step1
            curve = first[:, None] * t + ((second[:, None] * square) << 6)
            rest = wanted - curve
            middle = (rest.max(1) + rest.min(1) + (1 << OFFSET_BITS)) >> (OFFSET_BITS + 1)
            zeroth = np.clip(middle, 0, (1 << C0_BITS) - 1)
            error = np.abs(rest - (zeroth << OFFSET_BITS)[:, None]).max(1)
            better = error < best[0]
            best = [np.where(better, a, b) for a, b in zip((error, zeroth, first, second), best, strict=True)]
    error, zeroth, first, second = best
    assert np.abs(first).max() < 1 << (C1_BITS - 1), f"c1 reaches {np.abs(first).max()}"
    assert np.abs(second).max() < 1 << (C2_BITS - 1), f"c2 reaches {np.abs(second).max()}"
    word = zeroth | ((first & ((1 << C1_BITS) - 1)) << C0_BITS)
    return word | (second << (C0_BITS + C1_BITS)), float(error.max()) / (1 << OFFSET_BITS)


HEAD = '''"""Tables of the FP32 functions: a parabola in each of 128 segments of [0, 1), page by page.

Written by `scripts/function_tables.py`. A page is a function of u, whose top 7 bits choose the row; the 20 bits after
them are the offset t in [0, 1) into the segment, and c0 + c1 * t + c2 * t^2 is the value. A row is a 64-bit word.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

INDEX_BITS = 7
OFFSET_BITS = 20
SQUARED_BITS = 16
"""Bits of the offset that are squared, and of the square that are kept."""

C0_BITS = 28
"""Bits [27:0] of a row: c0 in units of 2^-28, unsigned."""

C1_BITS = 22
"""Bits [49:28]: c1 in units of 2^-28, signed."""

C2_BITS = 14
"""Bits [63:50]: c2 in units of 2^-26, signed."""


class Page(IntEnum):
    """What each page holds, on u in [0, 1)."""

'''


def module() -> str:
    """The text of the module."""
    lines = [HEAD.rstrip("\n"), ""]
    for number, (name, formula, _) in enumerate(PAGES):
        lines += [f"    {name} = {number}", f'    """{formula}"""', ""]
    lines += ["", "_WORDS = {"]
    for name, _, function in PAGES:
        words = [f"{int(word) & (1 << 64) - 1:016x}" for word in fit(function)[0]]
        lines += [f'    Page.{name}: """']
        lines += ["        " + " ".join(words[i : i + 6]) for i in range(0, ROWS, 6)]
        lines += ['    """,']
    lines += [
        "}",
        "",
        "_TEXT = [row for page in Page for row in _WORDS[page].split()]",
        "ROWS: NDArray[np.uint64] = np.array([int(row, 16) for row in _TEXT], np.uint64)",
        '"""All pages, one after the other, 128 rows each."""',
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--errors", action="store_true", help="print each page's greatest error and write nothing")
    if parser.parse_args().errors:
        for name, _, function in PAGES:
            print(f"{name:12} {fit(function)[1]:.3f} * 2^-28")
    else:
        TARGET.write_text(module())


if __name__ == "__main__":
    main()
