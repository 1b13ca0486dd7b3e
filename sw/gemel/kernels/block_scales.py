"""Block scales of a matrix product's operands: which there are, how memory and L1 hold them, and their reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel.tensors import Tensor
from gemel_golden.config import CHUNK, WORD
from gemel_golden.dot import block_matmul
from gemel_golden.flags import Flags
from gemel_golden.formats import Format
from gemel_golden.isa import BlockScale, Scaled
from gemel_golden.scaled import FP32_GROUP, SCALE_GROUP, fp32_scaled_matmul, scaled_matmul

__all__ = ["GROUPS", "OperandScales", "block_scaled_sums", "operand_scales", "scale_mode"]

MODES = {"e8m0": BlockScale.MX, "e4m3": BlockScale.NVFP4, "fp32": BlockScale.FP32}
GROUPS = SCALE_GROUP | {"fp32": FP32_GROUP}
"""Elements of K under one scale, by the scales' format."""


@dataclass(frozen=True, kw_only=True)
class OperandScales:
    """The block scales of one operand: `stride` bytes in memory between groups of K, neighbouring rows side by side.

    With one scale for 128 rows (`scaled` is TILE) these scales are `step` bytes apart.
    """

    mode: BlockScale
    scaled: Scaled
    stride: int
    step: int

    @property
    def group(self) -> int:
        """Elements of K under one scale."""
        return {BlockScale.MX: 32, BlockScale.NVFP4: 16, BlockScale.FP32: FP32_GROUP}[self.mode]

    @property
    def size(self) -> int:
        """Bytes of a scale."""
        return 4 if self.mode == BlockScale.FP32 else 1

    @property
    def line_chunks(self) -> int:
        """Chunks of L1 for the scales of a tile's rows in one group."""
        return 4 if self.mode == BlockScale.FP32 and self.scaled == Scaled.ROWS else 1

    def l1_bytes(self, k: int) -> int:
        """Bytes of L1 for a strip of `k` elements of K, as the tensor core reads them: whole words."""
        lines = -(-k // self.group)
        if self.mode == BlockScale.NVFP4:
            lines = -(-lines // 4) * 4
        return -(-lines * self.line_chunks * CHUNK // WORD) * WORD

    def offset(self, row: int, k: int) -> int:
        """Bytes in memory before the scale of a row and an element of K."""
        across = row * self.size if self.scaled == Scaled.ROWS else row // FP32_GROUP * self.step
        return k // self.group * self.stride + across


def scale_mode(a: Format, b: Format, a_scale: Tensor | None, b_scale: Tensor | None) -> BlockScale:
    """What scales of these formats are to operands of these formats. Raises ValueError where they don't fit."""
    given = [x.dtype for x in (a_scale, b_scale) if x is not None]
    if not given:
        return BlockScale.NONE
    if len(set(given)) > 1:
        raise ValueError(f"a_scale is {given[0]} and b_scale {given[1]}; both block scales have one format")
    if given[0] not in MODES:
        raise ValueError(f"block scales are {', '.join(MODES)}, not {given[0]}")
    if a.is_int and b.is_int:
        raise ValueError(f"block scales belong to floating-point sums; {a} x {b} accumulates integers")
    if given[0] == "e4m3" and max(a.bits, b.bits) > 4:
        raise ValueError(f"e4m3 block scales belong to two 4-bit operands, not to {a} x {b}")
    return MODES[given[0]]


def operand_scales(
    name: str, scale: Tensor | None, rows: int, k: int, side: str, mode: BlockScale
) -> OperandScales | None:
    """The scales of an operand with so many rows, from a (rows, groups) view. Raises ValueError for other shapes."""
    if scale is None:
        return None
    group, size = GROUPS[scale.dtype], scale.format.bits // 8
    groups = -(-k // group)
    wanted = {(rows, groups): Scaled.ROWS}
    if mode == BlockScale.FP32:
        wanted.setdefault((-(-rows // FP32_GROUP), groups), Scaled.TILE)
    scaled = wanted.get((scale.shape[0], scale.shape[-1])) if scale.ndim == 2 else None
    if scaled is None:
        order = slice(None, None, 1 if side == "a" else -1)
        shapes = " or ".join(str(shape[order]) for shape in wanted)
        raise ValueError(f"{name} is {scale.dtype} {scale.shape[order]}; one for {group} elements of K makes {shapes}")
    if scaled == Scaled.ROWS and rows > 1 and scale.strides[0] != size:
        turned = "the .T of a (groups, M) tensor" if side == "a" else "a (groups, N) tensor"
        raise ValueError(f"the scales in {name} of one group of K must lie side by side in memory: pass {turned}")
    return OperandScales(mode=mode, scaled=scaled, stride=scale.strides[1], step=scale.strides[0])


def block_scaled_sums(
    a: NDArray[np.generic],
    a_fmt: Format,
    b: NDArray[np.generic],
    b_fmt: Format,
    c: NDArray[np.generic] | None,
    a_scale: NDArray[np.generic] | None,
    b_scale: NDArray[np.generic] | None,
    fmt: Format | None,
) -> tuple[NDArray[np.uint32], Flags]:
    """The sums of a product on codes: a (M, K), b (K, N); a_scale and b_scale as `matmul`'s, codes of `fmt`."""
    (m, k), n = a.shape, b.shape[1]
    if fmt is None or k == 0:
        return block_matmul(a, a_fmt, b, b_fmt, c)
    if fmt.name != "fp32":
        return scaled_matmul(a, a_fmt, b, b_fmt, c, scale_a=a_scale, scale_b=b_scale, scale_fmt=fmt)
    groups = -(-k // FP32_GROUP)
    one = np.float32(1).view(np.uint32)
    rows = np.full((m, groups), one) if a_scale is None else _spread(a_scale, m, 0)
    columns = np.full((groups, n), one) if b_scale is None else _spread(b_scale, n, 1)
    return fp32_scaled_matmul(a, a_fmt, b, b_fmt, c, scale_a=rows, scale_b=columns)


def _spread(scale: NDArray[np.generic], count: int, axis: int) -> NDArray[np.generic]:
    """A scale for each row or column, where there may be one for 128 of them."""
    if scale.shape[axis] == count:
        return scale
    return scale.repeat(FP32_GROUP, axis).take(np.arange(count), axis)
