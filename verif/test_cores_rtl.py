"""The library on two simulated cores: the bytes of one core, in little more than half of its cycles."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import gemel
from gemel import Device, Tensor, lang


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with gemel.open("nano", memory_bytes=1 << 20, overrides={"cores": 2}) as opened:
        yield opened


def taken(device: Device, run: Callable[[int], tuple[Tensor, ...]]) -> tuple[int, int]:
    """The cycles of one core and of two, from the first doorbell to the last interrupt, with the same bytes."""
    cycles, results = [], []
    for cores in (1, 2):
        begun = device.backend.cycles
        results.append([x.codes() for x in run(cores)])
        cycles.append(device.backend.cycles - begun)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
    return cycles[0], cycles[1]


def speedup(device: Device, run: Callable[[int], tuple[Tensor, ...]]) -> float:
    """How many times faster than one core two are."""
    one, two = taken(device, run)
    return one / two


@gemel.kernel
def rowwise(x):
    y = x - x.max()
    for _ in range(9):
        y = lang.exp2(y * 0.125)
    return y / y.sum()


@gemel.kernel
def random(x, seed: int):
    return lang.where(lang.uniform(x, seed) < 0.5, x, lang.index(x, 0).astype("fp32")).astype("bf16")


@gemel.kernel
def down(x):
    return (x * x).sum(axis=0)


def test_rows_are_shared(device: Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.standard_normal((384, 32), np.float32))
    assert (found := speedup(device, lambda cores: (rowwise(x, cores=cores),))) >= 1.8, found


def test_rows_are_counted_from_each_cores_first(device: Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.standard_normal((41, 50), np.float32))
    speedup(device, lambda cores: (random(x, 5, cores=cores),))
    np.testing.assert_array_equal(random(x, 5).numpy(), random.interpret(x, 5))


def test_columns_are_shared(device: Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(device, rng.standard_normal((120, 512), np.float32))
    assert (found := speedup(device, lambda cores: (down(x, cores=cores),))) >= 1.7, found


def test_heads_are_shared(device: Device, rng: np.random.Generator) -> None:
    q, k, v = (gemel.tensor(device, rng.standard_normal((128, 2 * 32)), "bf16") for _ in "qkv")

    def run(cores: int) -> tuple[Tensor, ...]:
        found = gemel.scaled_dot_product_attention(q, k, v, heads=2, causal=True, return_logarithms=True, cores=cores)
        assert isinstance(found, tuple)
        return found

    assert (found := speedup(device, run)) >= 1.8, found


def test_a_step_of_adamw_is_shared(device: Device, rng: np.random.Generator) -> None:
    """With a copy rounded at random, whose state has a core's first row: 9,834 cycles, and 6,158 on two cores."""
    start = [rng.standard_normal((128, 128), np.float32) for _ in range(3)]
    grad = gemel.tensor(device, rng.standard_normal((128, 128)), "bf16")
    kept = {cores: [gemel.tensor(device, x * x) for x in start] for cores in (1, 2)}
    copies = {cores: gemel.empty(device, grad.shape, "bf16") for cores in (1, 2)}

    def run(cores: int) -> tuple[Tensor, ...]:
        param, mean, square = kept[cores]
        return gemel.adamw(param, grad, mean, square, step=3, copy=copies[cores], seed=9, cores=cores)

    one, two = taken(device, run)
    assert one <= 9900 and two <= 6200, (one, two)


@gemel.kernel
def both_ways(x):
    hat = lang.exp2(x - x.mean())
    return (hat * 0.5).astype("bf16"), (hat * hat).sum(axis=0)


def test_rows_and_then_columns_are_shared(device: Device, rng: np.random.Generator) -> None:
    """Two launches, where one core has one: the rows are read twice."""
    x = gemel.tensor(device, rng.standard_normal((128, 512), np.float32))
    one, two = taken(device, lambda cores: both_ways(x, cores=cores))
    assert one <= 22_700 and two <= 16_200, (one, two)


@pytest.mark.parametrize("kernel", [gemel.scatter, gemel.scatter_add])
def test_columns_of_scattered_rows_are_shared(
    device: Device, rng: np.random.Generator, kernel: Callable[..., None]
) -> None:
    """Of a table in which the cores' parts meet inside a word of memory, which costs a tenth where the memory's one
    channel is the bound."""
    names = gemel.tensor(device, rng.integers(-1, 20, 100).astype(np.int32))
    rows = gemel.tensor(device, rng.standard_normal((100, 510), np.float32))
    before = rng.standard_normal((20, 512), np.float32)
    tables = {cores: gemel.tensor(device, before) for cores in (1, 2)}

    def run(cores: int) -> tuple[Tensor, ...]:
        kernel(tables[cores][:, 1:511], names, rows, cores=cores)
        return (tables[cores],)

    assert (found := speedup(device, run)) >= 0.9, found


def test_quantised_copies_are_shared(device: Device, rng: np.random.Generator) -> None:
    """Scales go from a place of each core's own to their tensor; the memory's one channel is the bound."""
    x = gemel.tensor(device, rng.standard_normal((256, 257), np.float32), "bf16")
    assert (found := speedup(device, lambda cores: gemel.copy_fp8(x, cores=cores))) >= 0.85, found
