"""Kernels on the golden device against the plain interpreter, bit for bit, over shapes, formats, views and numbers."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel import lang
from gemel.dtypes import to_codes
from gemel_golden.formats import FORMATS

SHAPES = [(1, 1), (3, 5), (2, 33), (7, 64), (33, 130), (5, 700), (1, 1000), (70, 3)]


@gemel.kernel
def add(x, y):
    return x + y


@gemel.kernel
def softmax(x):
    e = lang.exp(x - x.max())
    return e / e.sum()


@gemel.kernel
def layer_norm(x, line_gain, line_bias):
    d = x - x.mean()
    return d * lang.rsqrt((d * d).mean() + 1e-5) * line_gain + line_bias


@gemel.kernel
def choices(x, y):
    inside = (x > 0) & (x < 1) | lang.isnan(y)
    return lang.where(inside, x, -y), lang.where(~inside & (y >= x), 1, 0), lang.maximum(x, y) - lang.minimum(abs(x), 2)


@gemel.kernel
def reductions(x):
    return x.max(), x.min(), lang.argmax(x), lang.argmin(x), x.sum(axis=0), x.max(axis=0), x.cumsum()


@gemel.kernel
def conversions(x):
    wide = x * 10
    narrow = x.astype("bf16"), x.astype("e4m3"), wide.astype("e5m2", saturate=False), x.astype("e2m1")
    return *narrow, wide.astype("int8"), wide.astype("int32"), wide.astype("int32").astype("fp32")


@gemel.kernel
def rounded_in_between(x):
    y = x.astype("bf16")
    z = (y + 1.0 / 3).astype("e4m3")
    return y, z * 2, y.sum()


@gemel.kernel
def numbering(x):
    columns = lang.index(x, 1)
    return lang.index(x, 0) * 1000 + columns, (columns << 2 | 1) ^ lang.index(x, 0), (x * columns.astype("fp32")).sum(0)


@gemel.kernel
def randomness(x, seed: int):
    return lang.random_bits(x, seed, stream=3), lang.uniform(x, 7), lang.random_bits(x, 5).sum(axis=0)


@gemel.kernel
def stochastic(x, seed: int):
    return x.astype("bf16", random=lang.random_bits(x, seed)), x.astype("e4m3", random=lang.random_bits(x, seed))


@gemel.kernel
def numbers(x, factor: float, seed: int):
    return x * factor + lang.rint(x), x.astype("int32") + seed, x * (1 - factor)


@gemel.kernel
def of_each_row(x, each_row):
    return x * each_row, each_row + 1.0, (x + each_row).sum() * each_row


@gemel.kernel
def last_of_all(x):
    return x.sum(axis=0) * 0.5, x.max(axis=0).sum(), lang.exp(x.sum(axis=0) * 0.01) / 3, (x * x).sum().sum(axis=0)


@gemel.kernel
def gradients(dy, x, line_gain):
    hat = (x - x.mean()) * lang.rsqrt((x * x).mean() + 1e-6)
    return dy * line_gain + (dy * hat).sum(), (dy * hat).sum(axis=0), dy.sum(axis=0)


@gemel.kernel
def quotients(x, y):
    return lang.divide(x, y), x / y, 1 / x, lang.ceil(x) - lang.floor(y)


@gemel.kernel
def many_constants(x):
    total = x
    for i in range(1, 18):
        total = lang.fma(total, x, 1.0 / i)
    return total


@gemel.kernel
def functions(x):
    return (
        lang.exp2(x) + lang.log2(abs(x)) + lang.sqrt(abs(x)),
        lang.sin(x) * lang.cos(x) + lang.tanh(x) * lang.erf(x),
        lang.log(abs(x) + 1) * lang.sigmoid(x),
    )


@gemel.kernel
def passes(x):
    e = lang.exp(x - x.max())
    p = e / e.sum()
    logs = lang.log(p + 1e-3)
    return p * logs - (p * logs).sum(), (p * logs).sum(axis=0), p.cumsum() * (p * logs).sum()


@gemel.kernel
def inner_products(x, y, line_gain, each_row):
    return lang.inner(x, y), lang.inner(x, line_gain) * x, lang.inner(each_row, each_row), lang.inner(x + 1, -x)


KERNELS = [
    inner_products,
    add,
    softmax,
    layer_norm,
    choices,
    reductions,
    conversions,
    rounded_in_between,
    numbering,
    randomness,
    stochastic,
    numbers,
    of_each_row,
    last_of_all,
    gradients,
    quotients,
    many_constants,
    functions,
    passes,
]


@pytest.fixture(scope="module")
def device():
    with gemel.open("nano", backend="golden") as opened:
        yield opened


def arguments(kernel, shape, rng):
    """Arrays and numbers by the names of the parameters."""
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -3e38], np.float32)
    found = []
    for name in inspect.signature(kernel.function).parameters:
        if name == "seed":
            found.append(int(rng.integers(0, 1 << 31)))
        elif name == "factor":
            found.append(float(rng.normal()))
        else:
            size = (1, shape[1]) if name.startswith("line") else (shape[0], 1) if name == "each_row" else shape
            values = rng.normal(0, 2, size).astype(np.float32)
            few = rng.random(size) < 0.01
            values[few] = rng.choice(special, int(few.sum()))
            found.append(values)
    return found


def bits(values):
    return to_codes(values)[0]


def compare(device, kernel, values, **options):
    """The same bits on the device and in the interpreter."""
    expected = kernel.interpret(*values, **options)
    found = kernel(*(gemel.tensor(device, v) if isinstance(v, np.ndarray) else v for v in values), **options)
    expected, found = ((x if isinstance(x, tuple) else (x,)) for x in (expected, found))
    for want, got in zip(expected, found, strict=True):
        assert_array_equal(bits(got.numpy()), bits(want))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.function.__name__)
def test_device_and_interpreter_agree(device, kernel, shape, rng):
    compare(device, kernel, arguments(kernel, shape, rng))


@pytest.mark.parametrize("kernel", [softmax, layer_norm, reductions], ids=lambda kernel: kernel.function.__name__)
def test_random_shapes(device, kernel, rng):
    for _ in range(4):
        shape = tuple(int(size) for size in rng.integers(1, 131, 2))
        compare(device, kernel, arguments(kernel, shape, rng))


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "e8m0"])
def test_every_format_comes_and_goes(device, name, rng):
    fmt = FORMATS[name]

    @gemel.kernel
    def copy(x):
        return x, x.astype("fp32") if fmt.name != "int32" else x + 1, x.astype("fp32").sum()

    codes = rng.integers(0, 1 << fmt.bits, (9, 70), dtype=np.uint64).astype(fmt.storage)
    x = gemel.empty(device, codes.shape, fmt)
    x.write_codes(codes)
    found = copy(x)
    expected = copy.interpret(x)
    for want, got in zip(expected, found, strict=True):
        assert_array_equal(bits(got.numpy()), bits(want))


def test_views_are_read_and_written(device, rng):
    whole = gemel.tensor(device, rng.normal(size=(40, 100)).astype(np.float32))
    out = gemel.tensor(device, np.zeros((40, 100), np.float32))
    view = whole[3:30, 7:60]
    add(view, whole[10:37, 40:93], out=out[5:32, 11:64])
    expected = np.zeros((40, 100), np.float32)
    expected[5:32, 11:64] = view.numpy() + whole.numpy()[10:37, 40:93]
    assert_array_equal(out.numpy(), expected)


def test_vectors_are_rows(device, rng):
    x, y = (rng.normal(size=1000).astype(np.float32) for _ in range(2))
    sum_ = add(gemel.tensor(device, x), gemel.tensor(device, y))
    assert sum_.shape == (1000,)
    assert_array_equal(sum_.numpy(), x + y)
    assert softmax(gemel.tensor(device, x)).shape == (1000,)


def test_empty_tensors_stay_empty(device):
    assert add(gemel.empty(device, (0, 7), "fp32"), gemel.empty(device, (0, 7), "fp32")).shape == (0, 7)


def test_one_row_stays_while_all_rows_pass(device, rng):
    @gemel.kernel
    def scaled(x, line_gain, line_bias):
        return lang.fma(x * x.max(), line_gain, line_bias + lang.index(x, 1).astype("fp32")).astype("bf16")

    for shape in ((64, 520), (33, 300), (9, 1000)):
        compare(device, scaled, arguments(scaled, shape, rng))


def test_numpy_agrees_where_it_must(device, rng):
    x = rng.normal(size=(30, 70)).astype(np.float32)
    exact = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    exact /= exact.sum(axis=1, keepdims=True)
    assert np.abs(softmax(gemel.tensor(device, x)).numpy() / exact - 1).max() < 1e-6
    maximum, _, where, _, sums, *_ = reductions(gemel.tensor(device, x))
    assert_array_equal(maximum.numpy(), x.max(axis=1, keepdims=True))
    assert_array_equal(where.numpy(), x.argmax(axis=1)[:, None])
    assert np.abs(sums.numpy() - x.astype(np.float64).sum(axis=0)).max() < 1e-4


def test_division_is_rounded_once(device, rng):
    x, y = (rng.normal(size=(40, 60)).astype(np.float32) for _ in range(2))
    found, *_ = quotients(gemel.tensor(device, x), gemel.tensor(device, y))
    assert_array_equal(bits(found.numpy()), bits(x / y))


def test_options_are_parts_of_the_program(device, rng):
    @gemel.kernel
    def scaled(x, bias=None, *, power: int = 1):
        for _ in range(power):
            x = x * 2
        return x if bias is None else x + bias

    x = rng.normal(size=(4, 6)).astype(np.float32)
    assert_array_equal(scaled(gemel.tensor(device, x), power=3).numpy(), x * 8)
    assert_array_equal(scaled(gemel.tensor(device, x), gemel.tensor(device, x)).numpy(), x * 2 + x)


def test_a_program_is_made_once(device, rng):
    calls = []

    @gemel.kernel
    def counted(x, factor: float):
        calls.append(x.shape)
        return x * factor

    x = gemel.tensor(device, rng.normal(size=(4, 6)).astype(np.float32))
    for factor in (1.5, -2.0):
        assert_array_equal(counted(x, factor).numpy(), x.numpy() * np.float32(factor))
    assert calls == [(4, 6)]
