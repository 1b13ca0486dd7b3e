"""Arrays that live in a device's memory: format, shape and strides over a buffer, with views that copy nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gemel.dtypes import dtype, from_codes, to_codes
from gemel_golden.formats import Format, pack4, unpack4

if TYPE_CHECKING:
    from gemel.driver.buffer import Buffer
    from gemel.driver.device import Device

__all__ = ["Tensor", "empty", "tensor"]


class Tensor:
    """A device array.

    ``shape`` is in elements, ``strides`` in bytes. Rows of a 4-bit format begin at whole bytes, low nibble first; the
    stride along them is 0.
    Views (`T`, slices of rows and columns) share the buffer, which is released with the last of them.
    """

    def __init__(
        self,
        device: Device,
        buffer: Buffer,
        address: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        fmt: Format,
    ):
        self.device = device
        self.buffer = buffer
        self.address = address
        self.shape = shape
        self.strides = strides
        self.format = fmt

    @property
    def dtype(self) -> str:
        """The format's name."""
        return self.format.name

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape))

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape}, dtype={self.dtype}, address={self.address:#x})"

    @property
    def T(self) -> Tensor:
        """The transposed view."""
        return Tensor(self.device, self.buffer, self.address, self.shape[::-1], self.strides[::-1], self.format)

    def __getitem__(self, key: slice | tuple[slice, ...]) -> Tensor:
        """A view of a range of rows and columns; slices of step 1 only."""
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > self.ndim or not all(isinstance(part, slice) for part in keys):
            raise ValueError(f"a view takes up to {self.ndim} slices, not {key!r}")
        address, shape = self.address, list(self.shape)
        for axis, part in enumerate(keys):
            start, stop, step = part.indices(self.shape[axis])
            if step != 1:
                raise ValueError(f"a view takes slices of step 1, not {step}")
            if axis == self._packed and start % 2:
                raise ValueError(f"a view of a {self.dtype} tensor starts at an even column, not {start}")
            offset = start // 2 if axis == self._packed else start * self.strides[axis]
            address += offset
            shape[axis] = max(0, stop - start)
        return Tensor(self.device, self.buffer, address, tuple(shape), self.strides, self.format)

    @property
    def _packed(self) -> int | None:
        """The axis along which 4-bit elements share bytes."""
        return self.strides.index(0) if self.format.bits < 8 else None

    def reshape(self, *shape: int) -> Tensor:
        """A view of the same elements in another shape; one size may be -1. The tensor must be dense: row after row.

        Rows of a 4-bit format keep their whole bytes: the last size stays, or both are even.
        """
        known = int(np.prod([size for size in shape if size != -1]))
        wanted = tuple(size if size != -1 else self.size // max(1, known) for size in shape)
        if int(np.prod(wanted)) != self.size:
            raise ValueError(f"{self.size} elements of shape {self.shape} don't make a shape {shape}")
        places = zip(self.shape, self.strides, _dense(self.shape, self.format), strict=True)
        if self.size and any(size > 1 and stride != dense for size, stride, dense in places):
            raise ValueError(f"a view of shape {wanted} takes a dense tensor; strides {self.strides} leave gaps")
        if self.format.bits < 8 and wanted[-1] != self.shape[-1] and (wanted[-1] % 2 or self.shape[-1] % 2):
            raise ValueError(f"rows of {self.shape[-1]} {self.dtype} elements don't become rows of {wanted[-1]}")
        return Tensor(self.device, self.buffer, self.address, wanted, _dense(wanted, self.format), self.format)

    def _bytes(self) -> NDArray[np.uint8] | NDArray[Any]:
        """The tensor in device memory as a writable array of codes (of bytes for 4-bit formats)."""
        memory = self.device.memory
        shape, strides, storage = list(self.shape), list(self.strides), np.dtype(self.format.storage)
        if self._packed is not None:
            shape[self._packed] = -(-shape[self._packed] // 2)
            strides[self._packed] = 1
        if self.size == 0:
            return np.zeros(shape, storage)
        return np.ndarray(shape, storage, buffer=memory.data, offset=self.address, strides=strides)

    def codes(self) -> NDArray[Any]:
        """A copy of the elements' codes, unsigned, one per element."""
        raw = self._bytes()
        if (axis := self._packed) is not None:
            rows = unpack4(np.moveaxis(raw, axis, -1))[..., : self.shape[axis]]
            return np.ascontiguousarray(np.moveaxis(rows, -1, axis))
        return raw.copy()

    def numpy(self) -> NDArray[Any]:
        """A copy of the values, in NumPy's type of the same bits or in float32 (exact)."""
        return from_codes(self.codes(), self.format)

    def write_codes(self, codes: NDArray[Any]) -> None:
        """Replace all elements by codes of the same shape."""
        if codes.shape != self.shape:
            raise ValueError(f"codes of shape {codes.shape} don't fit a tensor of shape {self.shape}")
        if self.size == 0:
            return
        if (axis := self._packed) is not None:
            odd = [(0, 0)] * (self.ndim - 1) + [(0, self.shape[axis] % 2)]
            codes = np.moveaxis(pack4(np.pad(np.moveaxis(codes, axis, -1), odd)), -1, axis)
        self._bytes()[...] = codes


def empty(device: Device, shape: tuple[int, ...], fmt: str | Format) -> Tensor:
    """A tensor of ``shape`` (zero sizes allowed) with whatever memory holds."""
    fmt = dtype(fmt)
    if not shape or min(shape) < 0:
        raise ValueError(f"a tensor has dimensions of at least 0, not {shape}")
    row = -(-shape[-1] * fmt.bits // 8)
    buffer = device.alloc(max(1, row * int(np.prod(shape[:-1]))))
    return Tensor(device, buffer, buffer.address, tuple(shape), _dense(shape, fmt), fmt)


def _dense(shape: tuple[int, ...], fmt: Format) -> tuple[int, ...]:
    """Strides of rows that follow one another."""
    row = -(-shape[-1] * fmt.bits // 8)
    outer = [row * int(np.prod(shape[axis + 1 : -1])) for axis in range(len(shape) - 1)]
    return (*outer, fmt.bits // 8)


def tensor(device: Device, values: ArrayLike, fmt: str | Format | None = None) -> Tensor:
    """Copy an array to the device, in its dtype's format or rounded to ``fmt`` (nearest even; FP8, FP4 saturate)."""
    codes, fmt = to_codes(values, None if fmt is None else dtype(fmt))
    result = empty(device, codes.shape, fmt)
    result.write_codes(codes)
    return result
