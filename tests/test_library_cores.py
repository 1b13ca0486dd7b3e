"""`cores` of the library's kernels: taken by all, handed to every launch, and the bytes of one core."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gemel
from gemel import Device, Tensor
from gemel.driver.recording import recording
from gemel.dtypes import to_codes

SHAPE = (64, 96)
ALONE = {"fill"}
"""What one core does."""
OTHERS = {"assemble", "disassemble", "empty", "kernel", "open", "reg", "tensor"}
"""What is no kernel."""


def stepped(x: Tensor, **cores: Any) -> tuple[Tensor, ...]:
    """A step of AdamW with a copy rounded at random, which fills the vector core's arguments."""
    param, mean, square = (gemel.mul(x, x, **cores) for _ in range(3))
    copy = gemel.empty(x.device, x.shape, "bf16")
    return gemel.adamw(param, x, mean, square, step=2, copy=copy, seed=5, **cores)


CALLS: dict[str, Callable[..., Any]] = {
    "adamw": stepped,
    "softmax": lambda x, **cores: gemel.softmax(x, **cores),
    "layer_norm_backward": lambda x, **cores: gemel.layer_norm_backward(x, x, **cores),
    "gelu": lambda x, **cores: gemel.gelu(x, approximate="tanh", **cores),
    "swiglu_backward": lambda x, **cores: gemel.swiglu_backward(x, x, x, **cores),
    "dropout": lambda x, **cores: gemel.dropout(x, 0.25, 7, **cores),
    "rope": lambda x, **cores: gemel.rope(x, **cores),
    "quantise": lambda x, **cores: gemel.quantise(x, "e4m3", **cores),
    "quantise_mx": lambda x, **cores: gemel.quantise_mx(x, **cores),
    "group_norm": lambda x, **cores: gemel.group_norm(x.reshape(4, 16, 96), 4, **cores),
    "argmax": lambda x, **cores: gemel.argmax(x, **cores),
    "sample": lambda x, **cores: gemel.sample(x, 0.7, 3, **cores),
    "matmul_fp32": lambda x, **cores: gemel.matmul_fp32(x, x.reshape(96, 64), **cores),
}


@pytest.fixture(scope="module")
def values() -> Iterator[np.ndarray]:
    yield np.random.default_rng(0).standard_normal(SHAPE, np.float32)


def results(device: Device, name: str, values: np.ndarray, **cores: int) -> list[np.ndarray]:
    found = CALLS[name](gemel.tensor(device, values), **cores)
    return [x.codes() for x in (found if isinstance(found, tuple) else (found,))]


@pytest.mark.parametrize("name", CALLS)
def test_bytes_and_launches(name: str, values: np.ndarray) -> None:
    counts = []
    for cores in (1, 3):
        with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
            counts.append(results(device, name, values, cores=cores))
        used = [len(launch.counters) for launch in record.devices[0].launches]
        assert max(used) == cores, used
    for others in counts[1:]:
        for one, other in zip(counts[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["numbers", "a NaN", "zeros", "integers"])
@pytest.mark.parametrize("kernel", [gemel.max, gemel.amax])
def test_the_largest_of_all_is_shared(kernel: Callable[..., Any], kind: str, rng: np.random.Generator) -> None:
    """Rows may go in any order: their results have one core's bits, whatever NaN or zero is among them."""
    x = rng.standard_normal(33_000, np.float32)
    if kind == "a NaN":
        x[[77, 32_999]] = np.array([0x7FC1_2345, 0xFFC0_0001], np.uint32).view(np.float32)
    if kind == "zeros":
        x = np.where(x < 1, np.float32(-0.0), np.float32(0.0))
    if kind == "integers":
        x = (x * 20).astype(np.int8) if kernel is gemel.amax else (x * 1e8).astype(np.int32)
    with recording() as record, gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        found = [kernel(gemel.tensor(device, x), cores=cores).codes() for cores in (3, 1)]
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(found[0], to_codes(kernel(x))[0])
    assert max(len(launch.counters) for launch in record.devices[0].launches) == 3


@pytest.mark.parametrize("name", CALLS)
def test_cores_that_the_chip_hasnt(name: str, values: np.ndarray) -> None:
    with gemel.open("quad", "golden", memory_bytes=4 << 20) as device:
        with pytest.raises(ValueError, match="the quad chip has 4 cores, not 5"):
            results(device, name, values, cores=5)


def test_arrays_have_no_cores(values: np.ndarray) -> None:
    with pytest.raises(TypeError, match="cores share work on tensors"):
        gemel.softmax(values, cores=2)


def test_every_kernel_takes_cores() -> None:
    kernels = [
        name for name in gemel.__all__ if inspect.isfunction(getattr(gemel, name)) and name not in ALONE | OTHERS
    ]
    missing = [name for name in kernels if "cores" not in inspect.signature(getattr(gemel, name)).parameters]
    assert missing == []
