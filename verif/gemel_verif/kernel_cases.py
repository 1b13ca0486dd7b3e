"""Operands for the kernel library's tests, and the comparison of a device's results with the interpreter's."""

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "assert_same_bytes", "both", "special_values", "values"]

DTYPES = {
    "fp32": np.dtype(np.float32),
    "bf16": np.dtype(ml_dtypes.bfloat16),
    "fp16": np.dtype(np.float16),
    "e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "e5m2": np.dtype(ml_dtypes.float8_e5m2),
}
"""NumPy's types of the formats that the kernels take."""

_SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-3, 3e38, -200.0)


def values(rng: np.random.Generator, shape: tuple[int, ...], fmt: str = "fp32", scale: float = 2.0) -> NDArray[Any]:
    """Normal random numbers in a format."""
    return (rng.normal(0, scale, shape)).astype(np.float32).astype(DTYPES[fmt])


def special_values(rng: np.random.Generator, shape: tuple[int, ...], fmt: str = "fp32") -> NDArray[Any]:
    """Random numbers, one in eight of them zero, infinite, NaN, subnormal or very large."""
    found = np.array(values(rng, shape, "fp32"))
    chosen = rng.random(shape) < 0.125
    found[chosen] = rng.choice(np.array(_SPECIAL, np.float32), int(chosen.sum()))
    with np.errstate(all="ignore"):
        return found.astype(DTYPES[fmt])


def _bits(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array).view(f"u{array.dtype.itemsize}")


def assert_same_bytes(found: Any, expected: Any) -> None:
    """Tensors (one or a tuple) hold what arrays hold, bit by bit, NaNs included."""
    found, expected = ((x if isinstance(x, tuple) else (x,)) for x in (found, expected))
    for got, want in zip(found, expected, strict=True):
        got = got.numpy()
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_array_equal(_bits(got), _bits(want))


def both(upload: Callable[[NDArray[Any]], Any], function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Run a kernel on a device and in the interpreter; equal bytes, which are returned as arrays.

    upload: makes a tensor of an array.
    """

    def tensors(value: Any) -> Any:
        return upload(value) if isinstance(value, np.ndarray) else value

    expected = function(*args, **options)
    assert_same_bytes(
        function(*map(tensors, args), **{name: tensors(value) for name, value in options.items()}), expected
    )
    return expected
