"""Convolutions, copies and gathered rows on several cores of the golden chip: the bytes of one, and who has what."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

import gemel
from gemel import Device, Tensor
from gemel.driver.recording import recording


@pytest.fixture(scope="module")
def quad() -> Iterator[Device]:
    with gemel.open("quad", "golden", memory_bytes=16 << 20) as device:
        yield device


def same(run: Callable[[int], Tensor | tuple[Tensor, ...]]) -> None:
    """The codes of any number of cores are those of one."""
    found = []
    for cores in (1, 2, 3):
        results = run(cores)
        found.append([x.codes() for x in (results if isinstance(results, tuple) else (results,))])
    for others in found[1:]:
        for one, other in zip(found[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("images", "outputs", "cores"),
    [(8, 32, 4), (5, 40, 3), (1, 130, 4), (3, 100, 3), (2, 32, 2), (1, 32, 1)],
)
def test_images_or_channels_of_a_convolution(
    quad: Device, rng: np.random.Generator, images: int, outputs: int, cores: int
) -> None:
    arrays = [rng.standard_normal(shape) for shape in ((images, 6, 7, 16), (outputs, 3, 3, 16), (outputs,))]

    def run(device: Device, count: int | None) -> Tensor:
        x, weight, bias = (
            gemel.tensor(device, v, fmt) for v, fmt in zip(arrays, ("bf16", "bf16", "fp32"), strict=True)
        )
        return gemel.conv2d(x, weight, bias, padding=1, activation="relu", out_dtype="bf16", cores=count)

    same(lambda count: run(quad, count))
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        run(device, None)
    assert [len(launch.counters) for launch in record.devices[0].launches] == [cores]


def test_gradients_of_a_convolution(quad: Device, rng: np.random.Generator) -> None:
    shapes = ((3, 4, 4, 40), (3, 8, 8, 16), (40, 3, 3, 16))
    grad, x, weight = (gemel.tensor(quad, rng.standard_normal(shape), "bf16") for shape in shapes)
    same(lambda cores: gemel.conv2d_backward(grad, x, weight, stride=2, padding=1, cores=cores))


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda x: x,
    "columns": lambda x: x[:, 3:90],
    "transposed": lambda x: x.T,
    "one row": lambda x: x.reshape(1, x.size),
    "few rows": lambda x: x[5:7, :],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("target", ["bf16", "e4m3"])
def test_copies(quad: Device, rng: np.random.Generator, view: str, target: str) -> None:
    x = VIEWS[view](gemel.tensor(quad, rng.standard_normal((131, 1100)), "bf16"))
    same(lambda cores: gemel.copy(x, target, cores=cores))


QUANTISED: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "mx": gemel.copy_mx,
    "fp8": gemel.copy_fp8,
    "fp8 by group": partial(gemel.copy_fp8, by_group=True),
}


@pytest.mark.parametrize("view", ["dense", "columns", "transposed"])
@pytest.mark.parametrize("kind", QUANTISED)
def test_quantised_copies(quad: Device, rng: np.random.Generator, kind: str, view: str) -> None:
    x = VIEWS[view](gemel.tensor(quad, rng.standard_normal((401, 300)), "bf16"))
    x = x[:, 20:290] if view == "columns" else x
    same(lambda cores: QUANTISED[kind](x, cores=cores))


def test_who_quantises_what(rng: np.random.Generator) -> None:
    """A core for each of the two channels from 32 K elements each on; rows of less than a scale's bytes stay on one."""
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        for shape in ((256, 256), (255, 256), (3, 256, 128), (40_000, 3), (33_000, 3)):
            gemel.copy_fp8(gemel.empty(device, shape, "bf16"))
        gemel.copy_mx(gemel.empty(device, (33_000, 4), "bf16"))
        gemel.copy_mx(gemel.empty(device, (512, 256), "bf16"), cores=4)
    launches = [list(launch.counters) for launch in record.devices[0].launches]
    assert launches == [[0, 1], [0], [0, 1], [0], [0], [0, 1], [0, 1, 2, 3]]


def test_four_bit_copies(quad: Device, rng: np.random.Generator) -> None:
    x = gemel.tensor(quad, rng.standard_normal((200, 301)), "e2m1")
    same(lambda cores: gemel.copy(x, cores=cores))


@pytest.mark.parametrize("target", [None, "bf16"])
def test_gathered_rows(quad: Device, rng: np.random.Generator, target: str | None) -> None:
    table = gemel.tensor(quad, rng.standard_normal((50, 100), np.float32))
    indices = gemel.tensor(quad, rng.integers(-1, 50, 203).astype(np.int32))
    same(lambda cores: gemel.gather(table, indices, dtype=target, cores=cores))
    same(lambda cores: gemel.embedding(table, indices.reshape(7, 29), dtype=target, cores=cores))


@pytest.mark.parametrize("kernel", [gemel.scatter, gemel.scatter_add])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int32"])
def test_scattered_rows(quad: Device, rng: np.random.Generator, kernel: Callable[..., None], dtype: str) -> None:
    """Columns are shared, so that the rows of one index keep their order; what is beside the table's columns stays."""
    names = rng.integers(-1, 9, 203).astype(np.int32)
    before, rows = (rng.integers(-99, 99, shape).astype(np.float32) * 1.37 for shape in ((9, 800), (203, 768)))
    if dtype == "int32":
        before, rows = before.astype(np.int32), rows.astype(np.int32)

    def run(cores: int | None) -> Tensor:
        table = gemel.tensor(quad, before, dtype)
        kernel(table[:, 16:784], gemel.tensor(quad, names), gemel.tensor(quad, rows, dtype), cores=cores)
        return table

    same(run)
    np.testing.assert_array_equal(run(None).codes(), run(1).codes())


def test_who_scatters_what(rng: np.random.Generator) -> None:
    """As many cores as have 256 bytes of a row, in equal parts of whole words, by default one for each of the two
    channels; one where the rows are the table's."""
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        indices = gemel.tensor(device, np.arange(40, dtype=np.int32))
        for columns in (256, 240, 190, 127, 4099):
            table, rows = (gemel.empty(device, (40, columns), "fp32") for _ in range(2))
            gemel.scatter_add(table, indices, rows, cores=4)
        gemel.scatter_add(table[:, :4096], indices, rows[:, :4096])
        gemel.scatter(table[:, :4096], indices, table[:, 3:4099])
        with device.stream(cores=(1, 3)):
            gemel.scatter(table[:, :4096], indices, rows[:, :4096])
    launches = [list(launch.counters) for launch in record.devices[0].launches]
    assert launches == [[0, 1, 2, 3], [0, 1, 2], [0, 1], [0], [0], [0, 1], [0], [1, 3]]


def test_who_moves_what(rng: np.random.Generator) -> None:
    """In place, and where the order counts, one core does it all; a copy has a core for each of the two channels."""
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        x = gemel.tensor(device, rng.standard_normal((256, 64), np.float32))
        indices = gemel.tensor(device, np.arange(256, dtype=np.int32))
        gemel.copy(x)
        gemel.copy(x, cores=4)
        gemel.copy(x[:4, :])
        gemel.copy(x, scale=2.0, out=x)
        gemel.gather(x, indices)
        gemel.scatter(x, indices, gemel.copy(x, cores=1))
        with device.stream(cores=(1, 3)):
            gemel.copy(x)
            gemel.fill(x, 0.0)
    launches = [list(launch.counters) for launch in record.devices[0].launches]
    assert launches == [[0, 1], [0, 1, 2, 3], [0], [0], [0, 1, 2, 3], [0], [0], [1, 3], [1]]


def test_cores_that_the_chip_hasnt(quad: Device) -> None:
    x, weight = gemel.empty(quad, (1, 4, 4, 8), "bf16"), gemel.empty(quad, (8, 1, 1, 8), "bf16")
    indices = gemel.tensor(quad, np.zeros(3, np.int32))
    for run in (
        lambda: gemel.conv2d(x, weight, cores=5),
        lambda: gemel.copy(x, cores=5),
        lambda: gemel.gather(x.reshape(16, 8), indices, cores=5),
    ):
        with pytest.raises(ValueError, match="the quad chip has 4 cores, not 5"):
            run()
