"""What shapes a convolution, and how its output pixels are cut into blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from gemel.kernels.split import parts_of
from gemel.kernels.tiling import cut
from gemel_golden.config import CHUNK
from gemel_golden.formats import Format

__all__ = ["Box", "ConvSpec", "boxes", "share_convolution"]


@dataclass(frozen=True, kw_only=True)
class ConvSpec:
    """Everything that shapes the program.

    x: (N, H, W, C) pixels, taps (kh, kw) of `channels` elements side by side, whole chunks of L1 each; strides in bytes
    of images, lines and pixels of x and out, and of output channels and taps of the weight.
    """

    images: int
    height: int
    width: int
    channels: int
    outputs: int
    out_height: int
    out_width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    x_format: Format
    weight_format: Format
    out_format: Format
    x_strides: tuple[int, int, int]
    out_strides: tuple[int, int, int]
    weight_strides: tuple[int, int, int]
    bias: bool = False
    relu: bool = False
    saturate: bool = False
    scale_bits: int | None = None

    @property
    def size(self) -> int:
        """Bytes of an element of x and of the weight."""
        return self.x_format.bits // 8

    @property
    def tap_chunks(self) -> int:
        """Chunks of a tap's channels."""
        return -(-self.channels * self.size // CHUNK)

    @property
    def chunks(self) -> int:
        """Chunks of a row of the matrix: the taps one after the other."""
        return self.kernel[0] * self.kernel[1] * self.tap_chunks


class Box(NamedTuple):
    """A block of output pixels, the rows of a macro tile: (start, count) of images, lines and columns."""

    images: tuple[int, int]
    lines: tuple[int, int]
    columns: tuple[int, int]

    @property
    def rows(self) -> int:
        """Pixels."""
        return self.images[1] * self.lines[1] * self.columns[1]


def boxes(images: int, height: int, width: int, most: int) -> list[Box]:
    """The fewest blocks of up to `most` pixels that make all images, wide ones rather than high ones."""
    shapes = []
    for wide in range(min(width, most), 0, -1):
        high = min(height, most // wide)
        deep = min(images, most // (wide * high)) if (wide, high) == (width, height) else 1
        count = -(-width // wide) * -(-height // high) * -(-images // deep)
        shapes.append((count, (deep, high, wide)))
    _, sizes = min(shapes, key=lambda shape: shape[0])
    cuts = (cut(total, size) for total, size in zip((images, height, width), sizes, strict=True))
    return [Box(*parts) for parts in product(*cuts)]


def share_convolution(spec: ConvSpec, cores: int, tile: int) -> tuple[ConvSpec, list[tuple[int, int, int, int]]]:
    """A core's piece of a convolution, and by core the bytes to where it begins in x, weight, out and bias.

    Images or output channels, whichever leaves less to each core; pieces that overlap give the same bytes.
    """
    for count in range(cores, 1, -1):
        images, outputs = parts_of(spec.images, count), parts_of(spec.outputs, count, least=tile)
        tiles = spec.outputs if outputs is None else -(-outputs.size // tile) * tile
        if images is not None and (outputs is None or images.size * spec.outputs <= tiles * spec.images):
            x, out = spec.x_strides[0], spec.out_strides[0]
            return replace(spec, images=images.size), [(n * x, 0, n * out, 0) for n in images.starts]
        if outputs is not None:
            weight, size = spec.weight_strides[0], spec.out_format.bits // 8
            return replace(spec, outputs=outputs.size), [(0, o * weight, o * size, 4 * o) for o in outputs.starts]
    return spec, [(0, 0, 0, 0)]
