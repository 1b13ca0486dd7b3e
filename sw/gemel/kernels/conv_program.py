"""The program of a convolution: IM2COL brings the pixels of each tap to L1 as columns of a matrix, tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from gemel.kernels.conv_spec import Box, ConvSpec, boxes
from gemel.kernels.matmul_pieces import L1
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import chunk_address, cut, d_strip_bytes
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import FORMATS
from gemel_golden.isa import Activation, Layout, Opcode, ScaleMode

__all__ = ["conv_program"]

X, WEIGHT, OUT, BIAS = range(1, 5)
"""Address registers of the arguments, in their order."""
BIAS_BYTES = 128
"""Of a tile's columns."""
A_SLOTS = 3
"""Strips of pixels in L1 beside those of a block: one is loaded while another is multiplied."""


class _Blocking(NamedTuple):
    """Chunks of a piece of the inner dimension, and tiles of a block both ways."""

    chunks: int
    high: int
    wide: int


class _Step(NamedTuple):
    """A strip of pixels under a block of output channels: numbers of its pieces."""

    channels: list[int]
    box: int
    piece: int


class _Builder:
    """Builds the program of one convolution; `build` gives the bytes."""

    def __init__(self, config: ChipConfig, spec: ConvSpec):
        self.spec, self.tile = spec, config.tile
        self.schedule = Schedule()
        self.boxes = boxes(spec.images, spec.out_height, spec.out_width, self.tile)
        self.columns = cut(spec.outputs, self.tile)
        self.high = max(box.rows for box in self.boxes)
        self.wide = max(size for _, size in self.columns)
        self.limit = config.l1_bytes
        self.blocking = self._choose()
        self.pieces = cut(spec.chunks, self.blocking.chunks)
        b, (a_bytes, b_bytes, d_bytes) = self.blocking, self._sizes(self.blocking)
        l1 = L1(self.limit)
        self.a_slots = l1.regions(b.high - 1 + A_SLOTS, a_bytes)
        self.sets = self._sets(b)
        self.b_slots = l1.regions(self.sets * b.wide, b_bytes)
        self.d_slots = l1.regions(b.high + 1, d_bytes)
        self.sums = l1.regions(b.high * b.wide if len(self.pieces) > 1 else 0, d_strip_bytes(self.tile, self.tile, 32))
        self.biases = l1.regions(self.sets * b.wide if spec.bias else 0, BIAS_BYTES)
        self.held: dict[int, tuple[int, int]] = {}

    def _sizes(self, blocking: _Blocking) -> tuple[int, int, int]:
        """Bytes of a strip of pixels, of weights and of the result."""
        a, b = (-(-rows // 2) * WORD * blocking.chunks for rows in (self.high, self.wide))
        return a, b, d_strip_bytes(self.tile, self.tile * blocking.wide, self.spec.out_format.bits)

    def _sets(self, blocking: _Blocking) -> int:
        """Sets of weights in L1: one is loaded while another is in use, unless there is only one."""
        return 1 if blocking.chunks == self.spec.chunks and blocking.wide >= len(self.columns) else 2

    def _choose(self) -> _Blocking:
        """The whole inner dimension in L1 if that fits, with as many output channels as do; else pieces of it."""
        spec = self.spec
        whole = [_Blocking(spec.chunks, 1, wide) for wide in range(min(8, len(self.columns)), 0, -1)]
        cuts = [1 << bit for bit in range((spec.chunks - 1).bit_length() - 1, 0, -1)]
        most = min(4, len(self.boxes)), min(4, len(self.columns))
        parts = [_Blocking(chunks, min(n, most[0]), min(n, most[1])) for chunks in cuts for n in (4, 2, 1)]
        for found in whole + parts:
            a, b, d = self._sizes(found)
            used = (
                a * (found.high - 1 + A_SLOTS)
                + (b + BIAS_BYTES) * self._sets(found) * found.wide
                + d * (found.high + 1)
            )
            if found.chunks < spec.chunks:
                used += found.high * found.wide * d_strip_bytes(self.tile, self.tile, 32)
            if used <= self.limit:
                return found
        raise ValueError(f"L1 of {self.limit} bytes is too small for a convolution of {spec.channels} channels")

    def steps(self) -> Iterator[_Step]:
        """Strips in the order in which they are multiplied."""
        high, wide = self.blocking.high, self.blocking.wide
        for first in range(0, len(self.columns), wide):
            channels = list(range(first, min(first + wide, len(self.columns))))
            for start in range(0, len(self.boxes), high):
                for piece in range(len(self.pieces)):
                    for box in range(start, min(start + high, len(self.boxes))):
                        yield _Step(channels, box, piece)

    def build(self) -> bytes:
        """The program's bytes: each strip is loaded before the one before it is multiplied."""
        steps = list(self.steps())
        for number in range(len(steps) + 1):
            if number < len(steps):
                self._load(number, steps[number])
            if number:
                self._multiply(number - 1, steps[number - 1])
        return self.schedule.encode()

    def _load(self, number: int, step: _Step) -> None:
        self._load_pixels(self.boxes[step.box], self.pieces[step.piece], self.a_slots[number % len(self.a_slots)])
        for channel in step.channels:
            slot = self._weights(channel, step.piece)
            if self.held.get(slot) != (channel, step.piece):
                self.held[slot] = (channel, step.piece)
                self._load_weights(self.columns[channel], self.pieces[step.piece], self.b_slots[slot])
                if self.spec.bias and step.piece == 0:
                    self._load_bias(self.columns[channel], self._bias(channel))

    def _weights(self, channel: int, piece: int) -> int:
        """The slot of a strip of weights."""
        block = channel // self.blocking.wide * len(self.pieces) + piece
        return block % self.sets * self.blocking.wide + channel % self.blocking.wide

    def _bias(self, channel: int) -> Region:
        return self.biases[channel % len(self.biases)]

    def _parts(self, piece: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
        """Of a piece: its chunk number, the tap, and the first byte and the bytes of the tap's channels there."""
        start, count = piece
        each, total = self.spec.tap_chunks, self.spec.channels * self.spec.size
        chunk = start
        while chunk < start + count:
            tap, inner = divmod(chunk, each)
            until = min(each, inner + start + count - chunk)
            yield chunk - start, tap, inner * CHUNK, min(total, until * CHUNK) - inner * CHUNK
            chunk += until - inner

    def _load_pixels(self, box: Box, piece: tuple[int, int], place: Region) -> None:
        spec, pitch = self.spec, -(-box.rows // 2)
        (n0, n), (y0, high), (x0, wide) = box
        for chunk, tap, first, count in self._parts(piece):
            kh, kw = divmod(tap, spec.kernel[1])
            y = y0 * spec.stride[0] + kh * spec.dilation[0] - spec.padding[0]
            x = x0 * spec.stride[1] + kw * spec.dilation[1] - spec.padding[1]
            image, line, pixel = spec.x_strides
            values = {"layout": Layout.TILE, "l1": chunk_address(place.address, chunk, pitch), "pitch": pitch}
            values["bytes"] = count
            values |= {"mem_reg": X, "mem": (n0 * image + y * line + x * pixel + first) & (1 << 64) - 1}
            values |= {"x": x, "y": y, "dx": spec.stride[1], "dy": spec.stride[0]}
            values |= {"width": spec.width, "height": spec.height}
            values |= {"count1": wide, "count2": high, "count3": n}
            values |= {"stride1": spec.stride[1] * pixel, "stride2": spec.stride[0] * line, "stride3": image}
            self.schedule.emit(Opcode.IM2COL, values, writes=[place])

    def _load_weights(self, columns: tuple[int, int], piece: tuple[int, int], place: Region) -> None:
        spec, pitch = self.spec, -(-columns[1] // 2)
        output, line, tap_bytes = spec.weight_strides
        dense = spec.channels * spec.size == spec.tap_chunks * CHUNK == tap_bytes and line == tap_bytes * spec.kernel[1]
        parts = list(self._parts(piece))
        if dense:
            chunk, tap, first, _ = parts[0]
            parts = [(chunk, tap, first, sum(count for *_, count in parts))]
        for chunk, tap, first, count in parts:
            kh, kw = divmod(tap, spec.kernel[1])
            at = columns[0] * output + kh * line + kw * tap_bytes + first
            values = {"layout": Layout.TILE, "l1": chunk_address(place.address, chunk, pitch), "pitch": pitch}
            values |= {"mem_reg": WEIGHT, "mem": at, "stride1": output, "count1": columns[1], "valid1": columns[1]}
            values |= {"bytes": count, "valid_bytes": count}
            self.schedule.emit(Opcode.LOAD, values, writes=[place])

    def _load_bias(self, columns: tuple[int, int], place: Region) -> None:
        size = 4 * columns[1]
        values = {"mem_reg": BIAS, "mem": 4 * columns[0], "l1": place.address, "bytes": size, "valid_bytes": size}
        self.schedule.emit(Opcode.LOAD, values | {"valid1": 1}, writes=[place])

    def _multiply(self, number: int, step: _Step) -> None:
        """The tiles of a strip, and where they are done the strip of results to memory."""
        spec, box, last = self.spec, self.boxes[step.box], step.piece == len(self.pieces) - 1
        pixels = self.a_slots[number % len(self.a_slots)]
        block = step.channels[0] // self.blocking.wide * len(self.boxes) + step.box
        strip = self.d_slots[block % len(self.d_slots)]
        integer = spec.x_format.is_int and spec.weight_format.is_int
        _, chunks = self.pieces[step.piece]
        for j, channel in enumerate(step.channels):
            weights, (_, n) = self.b_slots[self._weights(channel, step.piece)], self.columns[channel]
            values = {"a": pixels.address, "a_format": spec.x_format.code, "a_pitch": -(-box.rows // 2), "m": box.rows}
            values |= {"b": weights.address, "b_format": spec.weight_format.code, "b_pitch": -(-n // 2), "n": n}
            values |= {"k": chunks * CHUNK // spec.size, "d_pitch": self.tile // 2}
            reads, writes = [pixels, weights], []
            if self.sums:
                total = self.sums[step.box % self.blocking.high * self.blocking.wide + j]
                if step.piece:
                    reads.append(total)
                    values |= {"accumulate": 1, "c": total.address, "c_pitch": self.tile // 2}
                if not last:
                    writes.append(total)
                    values |= {
                        "d_format": FORMATS["int32" if integer else "fp32"].code,
                        "d": total.address,
                        "saturate": 0,
                    }
            if last:
                chunk = j * self.tile * spec.out_format.bits // 8 // CHUNK
                values |= {"d_format": spec.out_format.code, "d": chunk_address(strip.address, chunk, self.tile // 2)}
                values |= {"saturate": spec.saturate, "bias": spec.bias, "activation": Activation(spec.relu)}
                if spec.scale_bits is not None:
                    values |= {"scale_mode": ScaleMode.SCALAR, "scale": spec.scale_bits}
                if spec.bias:
                    reads.append(self._bias(channel))
                    values["bias_at"] = self._bias(channel).address
                writes.append(strip)
            self.schedule.emit(Opcode.MATMUL, values, reads=reads, writes=writes)
        if last:
            self._store(box, step.channels, strip)

    def _store(self, box: Box, channels: list[int], strip: Region) -> None:
        size = self.spec.out_format.bits // 8
        first, (end, count) = self.columns[channels[0]][0], self.columns[channels[-1]]
        starts, counts = zip(*box, strict=True)
        strides = self.spec.out_strides
        at = first * size + sum(start * stride for start, stride in zip(starts, strides, strict=True))
        values = {"layout": Layout.TILE, "l1": strip.address, "pitch": self.tile // 2}
        values |= {"mem_reg": OUT, "mem": at, "bytes": (end + count - first) * size}
        for d, (size_, stride) in enumerate(zip(counts[::-1], strides[::-1], strict=True), 1):
            values |= {f"count{d}": size_, f"stride{d}": stride}
        self.schedule.emit(Opcode.STORE, values, reads=[strip])


@lru_cache(maxsize=64)
def conv_program(config: ChipConfig, spec: ConvSpec) -> bytes:
    """The program's bytes; its arguments are the addresses of x, weight, out and bias."""
    return _Builder(config, spec).build()
