"""Names of number formats as users write them, and NumPy arrays to and from a format's codes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel_golden.formats import FORMATS, Format, as_codes, by_name, decode
from gemel_golden.rounding import encode, to_e8m0

__all__ = ["dtype", "from_codes", "to_codes"]

_ALIASES = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "e4m3",
    "float8_e5m2": "e5m2",
    "float4_e2m1fn": "e2m1",
    "float8_e8m0fnu": "e8m0",
    "fp8": "e4m3",
}
"""Names of NumPy's, ml_dtypes' and PyTorch's types, and everyday ones."""


def dtype(name: str | Format | np.dtype[Any] | type) -> Format:
    """The format for a name ("e4m3", "bfloat16", ...), a NumPy dtype or a `Format`; else ``ValueError``."""
    if isinstance(name, Format):
        return name
    if not isinstance(name, str):
        name = np.dtype(name).name
    name = _ALIASES.get(name, name)
    if name not in FORMATS:
        raise ValueError(
            f"unknown dtype {name!r}; there are {', '.join(FORMATS)} and the aliases {', '.join(_ALIASES)}"
        )
    return by_name(name)


def to_codes(values: ArrayLike, fmt: Format | None = None) -> tuple[NDArray[Any], Format]:
    """Codes of an array, rounded to `fmt` (nearest even, the format's own saturation; E8M0 down), or exactly where
    `fmt` is ``None``.

    An array whose dtype is the format keeps its bits, NaN payloads included.
    """
    array = np.asarray(values)
    own = _ALIASES.get(array.dtype.name, array.dtype.name)
    if fmt is None:
        fmt = dtype(array.dtype)
    if own == fmt.name:
        return array.view(fmt.storage), fmt
    values = array.astype(np.float64)
    return (to_e8m0(values) if fmt.kind == "scale" else encode(values, fmt)[0]), fmt


def from_codes(codes: NDArray[Any], fmt: Format) -> NDArray[Any]:
    """Values of codes: the NumPy type of the same bits where there is one, float32 (always exact) otherwise."""
    codes = as_codes(codes, fmt)
    native = {"fp32": np.float32, "fp16": np.float16, "int32": np.int32, "int8": np.int8, "uint8": np.uint8}
    if fmt.name in native:
        return codes.view(native[fmt.name])
    return decode(codes, fmt).astype(np.int8 if fmt.is_int else np.float32)
