"""Kernels on several cores of the golden chip: the interpreter's bits for any number of them, and who works on what."""

from collections.abc import Iterator
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import gemel
from gemel import Device, KernelError, lang
from gemel.driver.recording import recording
from gemel.dtypes import to_codes
from gemel.lang.compiler import compile_graph


@gemel.kernel
def softmax(x):
    e = lang.exp(x - x.max())
    return e / e.sum()


@gemel.kernel
def of_lines(x, each_row, line):
    return x * each_row + line, lang.inner(x, line).astype("bf16"), x.astype("e4m3"), line * 2


@gemel.kernel
def numbered(x):
    return lang.index(x, 0) * 1000 + lang.index(x, 1), x.cumsum()


@gemel.kernel
def random(x, seed: int):
    return lang.random_bits(x, seed, stream=3), x.astype("e4m3", random=lang.random_bits(x, seed))


@gemel.kernel
def dropped(x, seed: int, least: float, factor: float):
    return lang.where(lang.uniform(x, seed) < least, x * factor, 0.0)


@gemel.kernel
def down(x, each_row):
    return (x * each_row).sum(axis=0), lang.where(x > 0, lang.index(x, 0), 0).max(axis=0), each_row.sum(axis=0)


@gemel.kernel
def both_ways(x, each_row):
    """Two outputs of the rows, two of the columns, which know whole rows by their mean and by their maximum."""
    hat, most = (x - x.mean()) * each_row, x.max()
    return hat.astype("bf16"), most, (hat * x).sum(axis=0), lang.where(most > 2, x, 0.0).max(axis=0)


@gemel.kernel
def running(x):
    return x * 2, x.cumsum().sum(axis=0)


@gemel.kernel
def product(x, right):
    return lang.dot(x.astype("int8"), right.T), x.sum()


KERNELS = [softmax, of_lines, numbered, random, dropped, down, both_ways, running, product]
WIDE = {down, both_ways, running}
"""What needs wide rows to be shared."""
LAUNCHES = {running: [1], both_ways: [4, 4]}
"""Rows and columns are a launch each; columns that need more of a row than a number stay on one core."""


@pytest.fixture(scope="module")
def quad() -> Iterator[Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as device:
        yield device


def arguments(kernel, shape, rng):
    """Arrays and numbers by the names of the parameters."""
    sizes = {"line": (1, shape[1]), "each_row": (shape[0], 1), "right": (16, shape[1])}
    found = []
    for name in kernel.signature.parameters:
        if name == "seed":
            found.append(int(rng.integers(1 << 31)))
        elif name in ("least", "factor"):
            found.append(float(rng.random()))
        else:
            found.append(rng.normal(0, 2, sizes.get(name, shape)).astype(np.int8 if name == "right" else np.float32))
    return found


def bits(values):
    found = values if isinstance(values, tuple) else (values,)
    return [to_codes(x if isinstance(x, np.ndarray) else x.numpy())[0] for x in found]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.function.__name__)
def test_any_number_of_cores_gives_the_interpreters_bits(quad, kernel, rng) -> None:
    given = arguments(kernel, (20, 530) if kernel in WIDE else (101, 70), rng)
    expected = bits(kernel.interpret(*given))
    operands = [gemel.tensor(quad, v) if isinstance(v, np.ndarray) else v for v in given]
    for cores in (1, 2, 3):
        for found, want in zip(bits(kernel(*operands, cores=cores)), expected, strict=True):
            assert_array_equal(found, want)


def launched(kernel, *operands, **options) -> list[int]:
    """How many cores each launch of a call has."""
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        kernel(*(gemel.tensor(device, x) if isinstance(x, np.ndarray) else x for x in operands), **options)
    return [len(launch.counters) for launch in record.devices[0].launches]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.function.__name__)
def test_all_cores_are_used(kernel, rng) -> None:
    shape = (12, 1024) if kernel in WIDE else (32, 128)
    assert launched(kernel, *arguments(kernel, shape, rng)) == LAUNCHES.get(kernel, [4])
    assert launched(kernel, *arguments(kernel, (4, 16), rng)) == [1]


@pytest.mark.parametrize("rows", [64, 67])
def test_in_place_no_row_is_worked_on_twice(quad, rows: int, rng) -> None:
    """What doesn't divide is left to a launch of its own."""
    x = rng.normal(0, 2, (rows, 128)).astype(np.float32)
    expected = softmax.interpret(x)
    for cores in (1, 2, 3, 4):
        place = gemel.tensor(quad, x)
        softmax(place, out=place, cores=cores)
        assert_array_equal(place.numpy(), expected)
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        place = gemel.tensor(device, x)
        softmax(place, out=place)
    assert [len(launch.counters) for launch in record.devices[0].launches] == [4] + [1] * (rows % 4 > 0)


def test_rows_that_the_columns_need_again_arent_written_over(rng) -> None:
    """Then one core does both, as it reads every row once."""
    x, each_row = arguments(both_ways_in_fp32, (20, 512), rng)
    expected = bits(both_ways_in_fp32.interpret(x, each_row))
    for column, cores in ((0, [1]), (512, [2, 2])):
        with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
            place = gemel.tensor(device, np.concatenate([x, x], axis=1))
            sums = gemel.empty(device, (1, 512), "fp32")
            operands = place[:, :512], gemel.tensor(device, each_row)
            both_ways_in_fp32(*operands, cores=2, out=(place[:, column : column + 512], sums))
            found = bits((place.numpy()[:, column : column + 512], sums))
        assert [len(launch.counters) for launch in record.devices[0].launches] == cores
        for one, want in zip(found, expected, strict=True):
            assert_array_equal(one, want)


@gemel.kernel
def both_ways_in_fp32(x, each_row):
    hat = (x - x.mean()) * each_row
    return hat, (hat * x).sum(axis=0)


@gemel.kernel
def doubled(x):
    return x * 2


def test_results_that_share_bytes_with_other_rows_stay_on_one_core(rng) -> None:
    """The half beside the operand is shared; a row further down isn't, as it depends on what was stored before."""
    x = rng.normal(0, 2, (80, 128)).astype(np.float32)
    for target, cores in (((0, 64), 4), ((0, 0), 4), ((0, 32), 4), ((1, 0), 1)):
        with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
            place = gemel.tensor(device, x)
            row, column = target
            doubled(place[:64, :64], out=place[row : row + 64, column : column + 64])
            found = place.numpy()
        assert len(record.devices[0].launches[0].counters) == cores, target
        if row == 0:
            assert_array_equal(found[:64, column : column + 64], 2 * x[:64, :64])


def test_a_stream_has_its_own_cores(rng) -> None:
    x = rng.normal(0, 2, (64, 128)).astype(np.float32)
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        place = gemel.tensor(device, x)
        with device.stream(cores=(1, 3)):
            softmax(place)
            with pytest.raises(ValueError, match="the current stream has 2 of the chip's cores, not 3"):
                softmax(place, cores=3)
            softmax(place, cores=1)
        with pytest.raises(ValueError, match="the quad chip has 4 cores, not 5"):
            softmax(place, cores=5)
    assert [list(launch.counters) for launch in record.devices[0].launches] == [[1, 3], [1]]


@gemel.kernel
def crowded(x, a: float, b: float, c: float, d: float, e: float):
    return lang.index(x, 0).astype("fp32") * a + x * b + c + d * e


def test_a_piece_that_cant_be_compiled_is_refused_once(monkeypatch: pytest.MonkeyPatch, rng) -> None:
    """Five numbers of the call leave no argument for a core's first row: one core does it all, whose program is kept,
    and the piece isn't tried again."""
    tried = []

    def counted(graph, *args, shared: bool, **options):
        tried.append(shared)
        return compile_graph(graph, *args, shared=shared, **options)

    monkeypatch.setattr(import_module("gemel.lang.kernel"), "compile_graph", counted)
    x = rng.normal(0, 2, (64, 128)).astype(np.float32)
    numbers = [2.0, 0.5, 3.0, 1.5, 0.25]
    for count in (1, 2, 3):
        assert launched(crowded, x, *numbers) == [1]
        assert tried == [True, False], count
    with gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        assert_array_equal(crowded(gemel.tensor(device, x), *numbers).numpy(), crowded.interpret(x, *numbers))


def test_a_random_states_row_and_five_numbers_less_one(rng) -> None:
    """What a core's first row counts comes in the state itself: four numbers of the call leave room for it."""
    x = rng.normal(0, 2, (67, 128)).astype(np.float32)
    numbers = [7, 2.0, 0.5, 3.0]
    expected = bits(full.interpret(x, *numbers))
    assert launched(full, x, *numbers) == [4]
    with gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        for cores in (1, 2, 3, 4):
            for found, want in zip(bits(full(gemel.tensor(device, x), *numbers, cores=cores)), expected, strict=True):
                assert_array_equal(found, want)


@gemel.kernel
def full(x, seed: int, a: float, b: float, c: float):
    y = x * a + b
    return y * c, y.astype("e4m3", random=lang.random_bits(y, seed, stream=2))


def test_a_parameter_cant_be_called_cores() -> None:
    with pytest.raises(KernelError, match="`cores`, which calls use for the cores that share it"):

        @gemel.kernel
        def shared(x, cores):
            return x * cores
