"""What MATMUL does: one macro tile of a matrix product, read from L1 and drained to L1.

`values` are an instruction's decoded fields, with resolved addresses in `a`, `b`, `c`, `d`, `scale_at` and `bias_at`.
Faults come in this order: addresses that aren't aligned, then what lies beyond L1 in A, B, C, the scales, the biases,
the key of stochastic rounding (nothing has been written then) and D, each with the byte address of the first such word,
in the order of access. An operand is read square by square, each followed by its block scales.
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
from gemel_golden.formats import Format, by_code, pack4, unpack4
from gemel_golden.isa import Activation, BlockScale, FaultCode, Layout, Rounding, Scaled, ScaleMode, Unit
from gemel_golden.l1 import chunk_addresses
from gemel_golden.philox import rounding_bits
from gemel_golden.scaled import FP32_GROUP, SCALE_GROUP, fp32_scaled_matmul, scaled_matmul

__all__ = ["d_multiple", "matmul"]

BLOCK = 256
"""Bits of a chunk."""

SCALE_FORMATS = {BlockScale.MX: "e8m0", BlockScale.NVFP4: "e4m3", BlockScale.FP32: "fp32"}
KEY_OFFSET = 128
"""From the biases to the key of stochastic rounding, in bytes."""
SCALE_WORDS = 1 << 26
"""The word of the block scales is counted modulo this: L1 addresses have 32 bits."""


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

    mode = _block_scale(values, a_fmt, b_fmt)
    a, a_scales = _operand(values, l1, "a", a_fmt, m, mode)
    b, b_scales = _operand(values, l1, "b", b_fmt, n, mode)
    c = _read(l1, values["c"], values["c_pitch"], m, 4 * n).view(np.uint32) if values["accumulate"] else None
    scale: Any = None
    if values["scale_mode"] == ScaleMode.SCALAR:
        scale = np.uint32(values["scale"])
    elif values["scale_mode"] == ScaleMode.COLUMN:
        scale = _vector(l1, values["scale_at"], n)
    bias = _vector(l1, values["bias_at"], n) if values["bias"] else None
    random = _random(l1, values["bias_at"] + KEY_OFFSET, d_fmt, m, n) if _stochastic(values, d_fmt) else None

    if mode == BlockScale.NONE:
        d, flags = block_matmul(a, a_fmt, b.T, b_fmt, c)
    elif mode == BlockScale.FP32:
        one = np.ones((1, -(-values["k"] // FP32_GROUP)), np.float32).view(np.uint32)
        x, y = (one.repeat(rows, 0) if s is None else s for s, rows in ((a_scales, m), (b_scales, n)))
        d, flags = fp32_scaled_matmul(a, a_fmt, b.T, b_fmt, c, scale_a=x, scale_b=y.T)
    else:
        y = None if b_scales is None else b_scales.T
        d, flags = scaled_matmul(a, a_fmt, b.T, b_fmt, c, scale_a=a_scales, scale_b=y, scale_fmt=SCALE_FORMATS[mode])
    codes, drained = epilogue(
        d,
        a_fmt.is_int and b_fmt.is_int,
        d_fmt,
        scale=scale,
        bias=bias,
        relu=values["activation"] == Activation.RELU,
        random=random,
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
    if values["bias"] or _stochastic(values, d_fmt):
        yield "bias_at", WORD


def _stochastic(values: Mapping[str, int], d_fmt: Format) -> bool:
    return values["rounding"] == Rounding.STOCHASTIC and d_fmt.stochastic_bits > 0


def _check(l1: NDArray[np.uint8], chunks: NDArray[np.int64]) -> None:
    """Raise the fault of the first chunk, in the array's order, that lies beyond ``l1``."""
    outside = chunks.ravel() >= len(l1) // CHUNK
    if outside.any():
        word = int(chunks.ravel()[outside.argmax()]) >> 1
        raise Fault(FaultCode.L1_ADDRESS, Unit.TENSOR, word * WORD)


def _block_scale(values: Mapping[str, int], a_fmt: Format, b_fmt: Format) -> BlockScale:
    """The block scales that have an effect."""
    mode = BlockScale(values["block_scale"])
    if (a_fmt.is_int and b_fmt.is_int) or (mode == BlockScale.NVFP4 and max(a_fmt.bits, b_fmt.bits) > 4):
        return BlockScale.NONE
    return mode


def _operand(
    values: Mapping[str, int], l1: NDArray[np.uint8], name: str, fmt: Format, rows: int, mode: BlockScale
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Codes (rows, k) of an operand, and of its block scales (rows, groups of K)."""
    base, pitch, k = values[name] // CHUNK, values[f"{name}_pitch"], values["k"]
    per_chunk = BLOCK // fmt.bits
    transposed = values[f"{name}_transposed"] and fmt.bits > 4
    if transposed:
        lines, columns = np.arange(k), np.arange(-(-rows // per_chunk))
        chunks = chunk_addresses(Layout.TILE, base, pitch, lines[:, None], columns)
        # A square holds the rows of one block of K, and is read one chunk column after the other.
        squares = [chunks[first : first + per_chunk].T for first in range(0, k, per_chunk)]
    else:
        chunks = chunk_addresses(Layout.TILE, base, pitch, np.arange(rows), np.arange(-(-k // per_chunk))[:, None])
        squares = list(chunks)
    scaled = Scaled(values[f"{name}_scaled"]) if mode != BlockScale.NONE else Scaled.NONE
    first_scale = 2 * ((values[name] // WORD + values[f"{name}_scales"]) % SCALE_WORDS)
    lines_of_scales = first_scale + _scale_chunks(mode, scaled, k)
    last = _scale_words(mode, scaled, (len(squares) - 1) * per_chunk, per_chunk, k)
    if max(int(chunks.max()), first_scale + 2 * int(last.max(initial=0))) >= len(l1) // CHUNK:
        for number, square in enumerate(squares):
            _check(l1, square)
            _check(l1, first_scale + 2 * _scale_words(mode, scaled, number * per_chunk, per_chunk, k))
    data = l1.reshape(-1, CHUNK)
    if transposed:
        codes = data[chunks].reshape(k, -1).view(fmt.storage)[:, :rows].T
    else:
        raw = data[chunks.T].reshape(rows, -1)
        codes = (unpack4(raw) if fmt.bits == 4 else raw.view(fmt.storage))[:, :k]
    if scaled == Scaled.NONE:
        return codes, None
    found = (
        data[lines_of_scales].reshape(len(lines_of_scales), -1).view(np.uint32 if mode == BlockScale.FP32 else np.uint8)
    )
    return codes, (found[:, :rows] if scaled == Scaled.ROWS else found[:, :1].repeat(rows, 1)).T


def _scale_chunks(mode: BlockScale, scaled: Scaled, k: int) -> NDArray[np.int64]:
    """Chunks (groups, chunks of a line) of an operand's block scales, counted from their first."""
    if scaled == Scaled.NONE:
        return np.zeros((0, 1), np.int64)
    if mode == BlockScale.FP32:
        size = 4 if scaled == Scaled.ROWS else 1
        return np.arange(-(-k // FP32_GROUP))[:, None] * size + np.arange(size)
    return np.arange(-(-k // SCALE_GROUP[SCALE_FORMATS[mode]]))[:, None]


def _scale_words(mode: BlockScale, scaled: Scaled, k: int, elements: int, end: int) -> NDArray[np.int64]:
    """Words of block scales, counted from their first, that are read with a square of so many elements from k on."""
    if scaled == Scaled.NONE:
        return np.zeros(0, np.int64)
    if mode == BlockScale.MX:
        return np.array([k // 64])
    if mode == BlockScale.NVFP4:
        return 2 * (k // 64) + np.arange(2)
    if (k + elements) % FP32_GROUP and k + elements < end:
        return np.zeros(0, np.int64)  # with the last square of a group
    return np.array([k // (2 * FP32_GROUP)]) if scaled == Scaled.TILE else 2 * (k // FP32_GROUP) + np.arange(2)


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


def _random(l1: NDArray[np.uint8], address: int, fmt: Format, m: int, n: int) -> NDArray[Any]:
    """Random bits (m, n) for stochastic rounding, by the key at this address."""
    address %= 1 << 64
    _check(l1, np.array([address // CHUNK]))
    seed, first = (int(x) for x in l1[address : address + 16].view(np.uint64))
    tensor, stride = (int(x) for x in l1[address + 16 : address + 24].view(np.uint32))
    index = (
        np.uint64(first) + np.arange(m, dtype=np.uint64)[:, None] * np.uint64(stride) + np.arange(n, dtype=np.uint64)
    )
    return rounding_bits(seed, tensor, index, fmt.stochastic_bits)


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
