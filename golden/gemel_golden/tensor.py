"""What MATMUL does: one macro tile of a matrix product, read from L1 and drained to L1.

`values` are an instruction's decoded fields, with resolved addresses in `a`, `b`, `c`, `d`, `scale_at` and `bias_at`.
Faults come in this order: addresses that aren't aligned, then what lies beyond L1 in A, B, C, the scales, the biases
(nothing has been written then) and D, each with the byte address of the first such word, in the order of access.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemel_golden.config import CHUNK, DRAIN_LANES, WORD
from gemel_golden.dot import block_matmul
from gemel_golden.epilogue import epilogue
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.formats import Format, by_code, pack4
from gemel_golden.isa import Activation, FaultCode, Layout, ScaleMode, Unit
from gemel_golden.l1 import chunk_addresses

__all__ = ["d_multiple", "matmul"]

BLOCK = 256
"""Bits of a chunk."""


def d_multiple(fmt: Format) -> int:
    """Alignment of D's address in bytes: 16 columns of the format, or a chunk."""
    return min(CHUNK, DRAIN_LANES * fmt.bits // 8)


def matmul(values: Mapping[str, int], l1: NDArray[np.uint8]) -> Flags:
    """Do one MATMUL: change ``l1`` in place and return its flags. Raises Fault L1_ADDRESS."""
    a_fmt, b_fmt, d_fmt = (by_code(values[name]) for name in ("a_format", "b_format", "d_format"))
    m, n = values["m"], values["n"]
    for name, multiple in _alignments(values, d_fmt):
        if values[name] % multiple:
            raise Fault(FaultCode.L1_ADDRESS, Unit.TENSOR, values[name])

    a = _operand(values, l1, "a", a_fmt, m)
    b = _operand(values, l1, "b", b_fmt, n)
    c = _read(l1, values["c"], values["c_pitch"], m, 4 * n).view(np.uint32) if values["accumulate"] else None
    scale: Any = None
    if values["scale_mode"] == ScaleMode.SCALAR:
        scale = np.uint32(values["scale"])
    elif values["scale_mode"] == ScaleMode.COLUMN:
        scale = _vector(l1, values["scale_at"], n)
    bias = _vector(l1, values["bias_at"], n) if values["bias"] else None

    d, flags = block_matmul(a, a_fmt, b.T, b_fmt, c)
    codes, drained = epilogue(
        d,
        a_fmt.is_int and b_fmt.is_int,
        d_fmt,
        scale=scale,
        bias=bias,
        relu=values["activation"] == Activation.RELU,
        saturate=bool(values["saturate"]),
    )
    _write(l1, values["d"], values["d_pitch"], codes, d_fmt)
    return flags | drained


def _alignments(values: Mapping[str, int], d_fmt: Format) -> Iterator[tuple[str, int]]:
    yield "a", CHUNK
    yield "b", CHUNK
    if values["accumulate"]:
        yield "c", CHUNK
    yield "d", d_multiple(d_fmt)
    if values["scale_mode"] == ScaleMode.COLUMN:
        yield "scale_at", WORD
    if values["bias"]:
        yield "bias_at", WORD


def _check(l1: NDArray[np.uint8], chunks: NDArray[np.int64]) -> None:
    """Raise the fault of the first chunk, in the array's order, that lies beyond ``l1``."""
    outside = chunks.ravel() >= len(l1) // CHUNK
    if outside.any():
        word = int(chunks.ravel()[outside.argmax()]) >> 1
        raise Fault(FaultCode.L1_ADDRESS, Unit.TENSOR, word * WORD)


def _operand(values: Mapping[str, int], l1: NDArray[np.uint8], name: str, fmt: Format, rows: int) -> NDArray[Any]:
    """Codes (rows, k) of an operand."""
    base, pitch, k = values[name] // CHUNK, values[f"{name}_pitch"], values["k"]
    per_chunk = BLOCK // fmt.bits
    if not values[f"{name}_transposed"]:
        columns = np.arange(-(-k // per_chunk))
        chunks = chunk_addresses(Layout.TILE, base, pitch, np.arange(rows), columns[:, None])
        _check(l1, chunks)
        return l1.reshape(-1, CHUNK)[chunks.T].reshape(rows, -1).view(fmt.storage)[:, :k]
    k_rows, columns = np.arange(k), np.arange(-(-rows // per_chunk))
    chunks = chunk_addresses(Layout.TILE, base, pitch, k_rows[:, None], columns)
    # A square holds the rows of one block of K, and is read one chunk column after the other.
    for first in range(0, k, per_chunk) if int(chunks.max()) >= len(l1) // CHUNK else ():
        _check(l1, chunks[first : first + per_chunk].T)
    return l1.reshape(-1, CHUNK)[chunks].reshape(k, -1).view(fmt.storage)[:, :rows].T


def _read(l1: NDArray[np.uint8], address: int, pitch: int, rows: int, row_bytes: int) -> NDArray[np.uint8]:
    """Bytes (rows, row_bytes) of a matrix in tile layout."""
    columns = np.arange(-(-row_bytes // CHUNK))
    chunks = chunk_addresses(Layout.TILE, address // CHUNK, pitch, np.arange(rows)[:, None], columns)
    _check(l1, chunks)
    return np.ascontiguousarray(l1.reshape(-1, CHUNK)[chunks].reshape(rows, -1)[:, :row_bytes])


def _vector(l1: NDArray[np.uint8], address: int, n: int) -> NDArray[np.uint32]:
    """FP32 bits (n,) from a linear vector."""
    _check(l1, address // CHUNK + np.arange(-(-n // DRAIN_LANES)) * 2)
    return l1[address : address + 4 * n].view(np.uint32)


def _write(l1: NDArray[np.uint8], address: int, pitch: int, codes: NDArray[Any], fmt: Format) -> None:
    """Write codes (m, n) in tile layout, from a byte offset within the first chunk column on."""
    if fmt.bits == 4:
        codes = pack4(np.pad(codes, ((0, 0), (0, codes.shape[1] % 2))))
    rows = np.ascontiguousarray(codes).view(np.uint8).reshape(len(codes), -1)
    position = address % CHUNK + np.arange(rows.shape[1])
    row = np.arange(len(rows))[:, None]
    chunks = chunk_addresses(Layout.TILE, address // CHUNK, pitch, row, position // CHUNK)
    _check(l1, chunks)
    l1[chunks * CHUNK + position % CHUNK] = rows
