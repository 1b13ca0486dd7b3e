"""Four kernels on the assembler-level API: bit for bit as their references, and in how many cycles.

Cycles are those of the timing model, for 64 x 512 FP32 in L1, divided by the number of 32-element vectors.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from gemel.vector import Builder, VectorProgram
from gemel_golden import vector
from gemel_golden.functions import Function, evaluate
from gemel_golden.isa import Layout
from gemel_golden.l1 import read_rows, write_rows
from gemel_golden.lane_ops import LaneOp, apply
from gemel_golden.philox import rounding_bits
from gemel_golden.rounding import from_fp32

ROWS, COLUMNS = 64, 512
VECTORS = COLUMNS // 32
PITCH = ROWS // 2
BYTES = ROWS * COLUMNS * 4
Bits = np.ndarray


def bits(value: float) -> np.uint32:
    return np.float32(value).view(np.uint32)


def op(name: str, *operands: Bits | np.uint32) -> Bits:
    """A lane operation on arrays that broadcast."""
    full = np.broadcast_arrays(*operands, *[np.uint32(0)] * (3 - len(operands)))
    return apply(LaneOp[name], *full)


def negate(x: Bits) -> Bits:
    return x ^ np.uint32(1 << 31)


def chains(name: str, values: list[Bits], ways: int) -> Bits:
    """`Builder.combine`."""
    found = [reduce(lambda a, b: op(name, a, b), values[i::ways]) for i in range(ways)]
    while len(found) > 1:
        found = [op(name, *found[i : i + 2]) for i in range(0, len(found), 2)]
    return found[0]


def butterfly(name: str, v: Bits) -> Bits:
    """`Builder.reduce`."""
    lanes = np.arange(32)
    for step in (16, 8, 4, 2, 1):
        v = op(name, v[..., lanes ^ step], v)
    return v


def columns(x: Bits) -> list[Bits]:
    """The vectors of all rows, column by column."""
    return list(x.reshape(ROWS, -1, 32).swapaxes(0, 1))


def rows(vectors: list[Bits]) -> Bits:
    return np.stack(vectors, axis=1).reshape(ROWS, -1)


def run(program: VectorProgram, l1: Bits, *arguments: int) -> None:
    state = vector.VectorState()
    for i in range(len(program)):
        state.bundles[i] = program.bundles[32 * i : 32 * i + 32]
    fields = {f"x{i}": (arguments[i - 1] if i <= len(arguments) else 0) for i in range(1, 10)}
    vector.execute({"fetch": 0, "run": 1, "entry": 0, **fields}, state, l1)


def run_on_rows(program: VectorProgram, x: Bits, *more: int, extra: dict[int, Bits] | None = None) -> Bits:
    """x in tile layout at x1; the result from x2."""
    l1 = np.zeros(4 * BYTES, np.uint8)
    write_rows(l1, Layout.TILE, 0, PITCH, x.view(np.uint8).reshape(ROWS, -1))
    for address, values in (extra or {}).items():
        l1[address : address + values.nbytes] = values.view(np.uint8)
    run(program, l1, 0, BYTES, *more)
    return read_rows(l1, Layout.TILE, BYTES // 32, PITCH, ROWS, COLUMNS * 4).view(np.uint32)


def softmax(kept: int = 13) -> Builder:
    """Rows of a matrix. `kept` of a row's vectors wait in L1 for the row's sum, the others in registers."""
    b = Builder()
    first, second, third = (b.address(b.arg(1), PITCH, steps=(1, 0), region="x") for _ in range(3))
    out = b.address(b.arg(2), PITCH, steps=(1, 0), region="y", apart=True)
    put, get = (b.address(b.arg(2), PITCH, steps=(1, 0), region="kept", apart=True) for _ in range(2))
    b.move(put, row=-1)
    half = VECTORS // 2
    with b.loop(ROWS):
        x = [b.load(first, "fp32", col=j, post=j == half - 1) for j in range(half)]
        x += [b.load(second, "fp32", col=j, post=j == VECTORS - 1) for j in range(half, VECTORS)]
        top = b.reduce("max", b.combine("max", x, ways=2))
        e = []
        for j in range(VECTORS):
            e.append(b.exp(b.sub(b.load(third, "fp32", col=j, post=j == VECTORS - 1), top)))
            if j < kept:
                b.store(put, "fp32", e[j], row=int(j == 0), col=j, post=j == 0)
        scale = b.reciprocal(b.reduce("add", b.combine("add", e, ways=2)))
        b.fence()
        for j in [*range(kept, VECTORS), *range(kept)]:
            value = b.load(get, "fp32", col=j, post=j == kept - 1) if j < kept else e[j]
            b.store(out, "fp32", b.mul(value, scale), col=j, post=j == kept - 1)
    return b


def softmax_reference(x: Bits) -> Bits:
    vectors = columns(x)
    top = butterfly("MAX", chains("MAX", vectors, 2))
    e = [evaluate(Function.EXP, op("ADD", v, negate(top))) for v in vectors]
    scale = evaluate(Function.RECIPROCAL, butterfly("ADD", chains("ADD", e, 2)))
    return rows([op("MUL", v, scale) for v in e])


def gelu(unroll: int = 8) -> Builder:
    """x / 2 + x / 2 * tanh(sqrt(2 / pi) * (x + 0.044715 x^3)), over a matrix as it lies."""
    b = Builder()
    x, y = (b.address(b.arg(i), 0, False, steps=(0, unroll), region=str(i)) for i in (1, 2))
    with b.loop(ROWS * VECTORS // unroll):
        for j in range(unroll):
            v = b.load(x, "fp32", col=j, post=j == unroll - 1)
            half = b.mul(v, 0.5)
            inner = b.mul(b.fma(b.mul(v, v), 0.035677407, 0.79788456), v)
            b.store(y, "fp32", b.fma(half, b.tanh(inner), half), col=j, post=j == unroll - 1)
    return b


def gelu_reference(x: Bits) -> Bits:
    half = op("MUL", x, bits(0.5))
    inner = op("MUL", op("FMA", op("MUL", x, x), bits(0.035677407), bits(0.79788456)), x)
    return op("FMA", half, evaluate(Function.TANH, inner), half)


STATISTICS, GAMMA, BETA = 2 * BYTES, 2 * BYTES + 4096, 2 * BYTES + 8192


def layer_norm(half: int = VECTORS // 2) -> Builder:
    """Rows of a matrix: first their means and deviations, then half of the columns after the other."""
    b = Builder()
    first, second = (b.address(b.arg(1), PITCH, steps=(1, 0), region="x") for _ in range(2))
    mean, deviation, shift = (
        b.address(b.arg(3), 0, False, offset=4 * ROWS * i, steps=(0, 1), region="statistics", apart=True)
        for i in (0, 1, 0)
    )
    with b.loop(ROWS):
        values = [b.load(first, "fp32", col=j, post=j == VECTORS - 1) for j in range(VECTORS)]
        m = b.mul(b.reduce("add", b.combine("add", values, ways=4)), 1 / COLUMNS)
        b.store(mean, "fp32", m, element=True, post=True)
        squares = []
        for j in range(VECTORS):
            d = b.sub(b.load(second, "fp32", col=j, post=j == VECTORS - 1), m)
            squares.append(b.fma(d, d, squares[j - 4]) if j >= 4 else b.mul(d, d))
        variance = b.reduce("add", b.combine("add", squares[-4:], ways=4))
        b.store(deviation, "fp32", b.rsqrt(b.fma(variance, 1 / COLUMNS, 1e-5)), element=True, post=True)
    b.fence()
    b.move(mean)
    b.move(deviation)
    for i in range(ROWS // 32):
        product = b.mul(-b.load(mean, "fp32", col=i), b.load(deviation, "fp32", col=i))
        b.store(shift, "fp32", product, col=i)
    b.fence()
    x, y = (b.address(b.arg(i), PITCH, steps=(2, 0), region="xy"[i - 1]) for i in (1, 2))
    gamma, beta = (b.address(b.arg(i), 0, False, steps=(0, 1), region="parameters") for i in (4, 5))
    with b.loop(VECTORS // half):
        scales, shifts = ([b.load(of, "fp32", post=True) for _ in range(half)] for of in (gamma, beta))
        for address in (shift, deviation):
            b.move(address)
            b.step(address, 0, 2)
        with b.loop(ROWS // 2):
            for row in range(2):
                last = row == 1
                factor, term = (b.load(of, "fp32", element=True, col=row, post=last) for of in (deviation, shift))
                for j in range(half):
                    end = last and j == half - 1
                    n = b.fma(b.load(x, "fp32", row=row, col=j, post=end), factor, term)
                    b.store(y, "fp32", b.fma(n, scales[j], shifts[j]), row=row, col=j, post=end)
        b.move(x, -ROWS, half, relative=True)
        b.move(y, -ROWS, half, relative=True)
    return b


def layer_norm_reference(x: Bits, gamma: Bits, beta: Bits) -> Bits:
    vectors = columns(x)
    mean = op("MUL", butterfly("ADD", chains("ADD", vectors, 4)), bits(1 / COLUMNS))
    d = [op("ADD", v, negate(mean)) for v in vectors]
    squares = [op("MUL", v, v) for v in d[:4]]
    for j in range(4, VECTORS):
        squares[j % 4] = op("FMA", d[j], d[j], squares[j % 4])
    variance = butterfly("ADD", chains("ADD", squares, 4))
    factor = evaluate(Function.RSQRT, op("FMA", variance, bits(1 / COLUMNS), bits(1e-5)))[:, :1]
    n = op("FMA", x, factor, op("MUL", negate(mean[:, :1]), factor))
    return op("FMA", n, gamma, beta)


RATE, BETA1, BETA2, EPSILON, DECAY = 1e-3, 0.9, 0.999, 1e-8, 0.01


def adamw(vectors: int) -> Builder:
    """Weights, both moments and gradient at x1 to x4, the weights' BF16 copy at x5, Philox's state in x6 to x9."""
    b = Builder()
    read = [b.address(b.arg(i + 1), 0, False, steps=(0, 1), region="wmvg"[i], apart=True) for i in range(4)]
    written = [b.address(b.arg(i), 0, False, steps=(0, 1), region=name, apart=True) for i, name in enumerate("wmv", 1)]
    copy = b.address(b.arg(5), 0, False, steps=(0, 1), region="copy")
    state = b.philox_state(b.arg(6), b.arg(7), b.arg(8), b.arg(9))
    with b.loop(vectors):
        w, m, v, g = (b.load(address, "fp32", post=True) for address in read)
        m = b.fma(g, 1 - BETA1, b.mul(m, BETA1))
        v = b.fma(b.mul(g, 1 - BETA2), g, b.mul(v, BETA2))
        step = b.mul(b.mul(m, b.reciprocal(b.add(b.sqrt(v), EPSILON))), -RATE)
        w = b.fma(w, 1 - RATE * DECAY, step)
        random = b.philox(state)
        b.advance(state)
        for address, value in zip(written, (w, m, v), strict=True):
            b.store(address, "fp32", value, post=True)
        b.store(copy, "bf16", w, post=True, random=random)
    return b


def adamw_reference(w: Bits, m: Bits, v: Bits, g: Bits, seed: int, tensor: int, first: int) -> tuple[Bits, ...]:
    m = op("FMA", g, bits(1 - BETA1), op("MUL", m, bits(BETA1)))
    v = op("FMA", op("MUL", g, bits(1 - BETA2)), g, op("MUL", v, bits(BETA2)))
    root = op("ADD", evaluate(Function.SQRT, v), bits(EPSILON))
    step = op("MUL", op("MUL", m, evaluate(Function.RECIPROCAL, root)), bits(-RATE))
    w = op("FMA", w, bits(1 - RATE * DECAY), step)
    random = rounding_bits(seed, tensor, first + np.arange(w.size), 16)
    return w, m, v, from_fp32(w, "bf16", mode="stochastic", random=random, saturate=True)[0]


def normal(rng: np.random.Generator, *shape: int) -> Bits:
    return rng.normal(0, 2, shape).astype(np.float32).view(np.uint32)


def test_softmax(rng: np.random.Generator) -> None:
    x = normal(rng, ROWS, COLUMNS)
    np.testing.assert_array_equal(run_on_rows(softmax().build(), x), softmax_reference(x))


def test_gelu(rng: np.random.Generator) -> None:
    x = normal(rng, ROWS, COLUMNS)
    np.testing.assert_array_equal(run_on_rows(gelu().build(), x), gelu_reference(x))


def test_layer_norm(rng: np.random.Generator) -> None:
    x, gamma, beta = normal(rng, ROWS, COLUMNS), normal(rng, COLUMNS), normal(rng, COLUMNS)
    program = layer_norm().build()
    actual = run_on_rows(program, x, STATISTICS, GAMMA, BETA, extra={GAMMA: gamma, BETA: beta})
    np.testing.assert_array_equal(actual, layer_norm_reference(x, gamma, beta))


@pytest.mark.parametrize("vectors", [1, 2, 5, 64])
def test_adamw(vectors: int, rng: np.random.Generator) -> None:
    w, m, v, g = normal(rng, 4, 32 * vectors)
    v &= np.uint32(0x7FFF_FFFF)
    size = 128 * vectors
    l1 = np.concatenate([w, m, v, g, np.zeros(size // 4, np.uint32)]).view(np.uint8)
    run(adamw(vectors).build(), l1, *(size * i for i in range(5)), 0x1234, 0x5678, 9, 1000)
    expected = adamw_reference(w, m, v, g, 0x5678_0000_1234, 9, 4000)
    for i in range(3):
        np.testing.assert_array_equal(l1[size * i : size * (i + 1)].view(np.uint32), expected[i])
    np.testing.assert_array_equal(l1[size * 4 :].view(np.uint16)[: w.size], expected[3])


@pytest.mark.parametrize(
    ("kernel", "most"),
    [(softmax, 6.5), (gelu, 6.1), (layer_norm, 6.9), (lambda: adamw(ROWS * VECTORS), 12.5)],
    ids=["softmax", "gelu", "layer_norm", "adamw"],
)
def test_cycles_per_vector(kernel, most: float) -> None:
    cycles = kernel().build().estimate().cycles / (ROWS * VECTORS)
    print(f"{cycles:.2f} cycles per vector")
    assert cycles <= most, f"{cycles:.2f} cycles per vector"
