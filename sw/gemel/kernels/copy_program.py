"""The program of a copy of any view to any other: pieces to L1, turned where rows become columns, and out again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product

from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.split import parts_of
from gemel.kernels.tiling import cut
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.isa import Opcode

__all__ = ["LEAST", "Axis", "CopySpec", "copy_program", "share_copy"]

SOURCE, TARGET, STAGED, SCALES = 1, 2, 3, 4
"""Registers with the addresses of what is read and of what is written, and of the scales where they are staged."""
MASK = (1 << 64) - 1
PIECE = 32 << 10
"""Bytes of a piece in L1 at most: together they hide the memory's latency."""
PIECES = 8
"""Pieces in L1 at least: some are loaded while others are stored."""
CONVERTED_BYTES = 16 << 10
"""Bytes of a row that is converted at most."""
LEAST = 4 << 10
"""Bytes of a core's piece at least."""
LEAST_STAGED = 32 << 10
"""Bytes of a core's codes at least where its scales are staged, which costs two latencies of the memory and more."""
TURNED_BYTES = 512
"""Bytes of a turned row in a piece at most."""


@dataclass(frozen=True)
class Axis:
    """A dimension: its size, and the bytes from one index to the next in the source, the target and the scales."""

    size: int
    source: int
    target: int
    scales: int = 0

    def holds(self, inner: Axis) -> bool:
        """With `inner` it makes one longer axis."""
        strides = ((self.source, inner.source), (self.target, inner.target), (self.scales, inner.scales))
        return all(outer == each * inner.size for outer, each in strides)


@dataclass(frozen=True, kw_only=True)
class CopySpec:
    """Everything that shapes the program. Sizes in bytes: of an element of the source and of the target.

    block: elements of the last axis that share a scale, whose rows follow the target's address by `scales` bytes, or
    none (0), and then axes may go in any order. The last axis's bytes in the scales are from block to block; `split`
    where they lie apart; `scale`: bytes of one. how: the fields of STORE_CONVERT, none for a plain copy.

    staged: the instruction's distance between codes and scales is that of every core, so the scales first go to a place
    of their core's own, and from there to their tensor.
    """

    axes: tuple[Axis, ...]
    source: int
    target: int
    block: int = 0
    scales: int = 0
    split: bool = False
    scale: int = 0
    staged: bool = False
    how: Mapping[str, int] = field(default_factory=dict)

    @property
    def of_scales(self) -> CopySpec:
        """The plain copy of the scales, from strides to the same ones."""
        *axes, last = self.axes
        sizes = [*(axis.size for axis in axes), -(-last.size // self.block)]
        strides = [*(axis.scales for axis in axes), last.scales]
        return CopySpec(
            axes=tuple(Axis(size, stride, stride) for size, stride in zip(sizes, strides, strict=True)),
            source=self.scale,
            target=self.scale,
        )

    @property
    def scale_bytes(self) -> int:
        """Bytes from the first scale to the last."""
        return sum((axis.size - 1) * axis.target for axis in self.of_scales.axes) + self.scale

    def rows(self) -> tuple[list[Axis], Axis | None]:
        """Axes of the loops, the last one along the target's rows; and the one along the source's, if it's another."""
        axes = [axis for axis in self.axes[:-1] if axis.size > 1]
        last = self.axes[-1]
        if self.block:
            along = replace(last, source=self.source, target=self.target) if last.size == 1 else last
        else:
            axes = sorted((axis for axis in self.axes if axis.size > 1), key=lambda axis: -axis.target)
            along = axes.pop() if axes else Axis(1, self.source, self.target)
        axes = _joined(axes)
        if not self.block:
            *axes, along = _joined([*axes, along])
        dense = along.source == self.source and along.target == self.target
        turned = next((axis for axis in axes if axis.source == self.source), None)
        if dense or (turned is not None and along.target == self.target):
            return [*axes, along], None if dense else turned
        if self.block:
            raise ValueError("a copy with block scales takes elements side by side along one dimension, in x and out")
        # Nothing is side by side in both: elements go one by one.
        return [*axes, along, Axis(1, self.source, self.target)], None


def _joined(axes: list[Axis]) -> list[Axis]:
    found: list[Axis] = []
    for axis in axes:
        if found and found[-1].holds(axis):
            axis = replace(axis, size=found.pop().size * axis.size)
        found.append(axis)
    return found


class _Builder:
    """Builds the program of one copy in a schedule, from the address in one register to that in another."""

    def __init__(self, config: ChipConfig, spec: CopySpec, schedule: Schedule, source: int, target: int):
        self.spec, self.source, self.target = spec, source, target
        self.piece = min(PIECE, config.l1_bytes // PIECES)
        self.places = [Region(start, self.piece) for start in range(0, config.l1_bytes - self.piece + 1, self.piece)]
        self.schedule = schedule
        self.number = 0

    def build(self) -> None:
        """Emit the instructions."""
        (*axes, along), turned = self.spec.rows()
        # The longest one by the instruction, the others here.
        lines = turned or max(axes, key=lambda axis: axis.size, default=Axis(1, 0, 0))
        others = [axis for axis in axes if axis is not lines]
        for index in product(*(range(axis.size) for axis in others)):
            steps = list(zip(index, others, strict=True))
            at = (
                sum(i * axis.source for i, axis in steps),
                sum(i * axis.target for i, axis in steps),
                sum(i * axis.scales for i, axis in steps),
            )
            self._matrix(at, lines, along, turn=turned is not None)

    def _matrix(self, at: tuple[int, int, int], lines: Axis, along: Axis, *, turn: bool) -> None:
        """Rows `along` one axis of the target, as many as there are `lines`."""
        size = self.spec.source
        unit = self.spec.block or WORD // size
        if turn:
            across = WORD // size
            wide = min(TURNED_BYTES, self.piece // across // WORD * WORD) // size // unit * unit
        else:
            across, wide = 1, min(self.piece, CONVERTED_BYTES if self.spec.how else self.piece) // size // unit * unit
        wide = min(along.size, unit if self.spec.split else wide)
        pitch = -(-wide * size // CHUNK)
        high = min(lines.size, self.piece // (pitch * CHUNK) // across * across, (1 << 16) - 1)
        for (row, rows), (start, count) in product(cut(lines.size, high), cut(along.size, wide)):
            place = self.places[self.number % len(self.places)]
            self.number += 1
            source = at[0] + row * lines.source + start * along.source
            target = at[1] + row * lines.target + start * along.target
            shape = {"l1": place.address, "pitch": pitch, "count1": rows, "bytes": count * size}
            if turn:
                self._turn(source, place, pitch, rows, count, along.source)
            else:
                whole = {"valid1": rows, "valid_bytes": count * size, "stride1": lines.source}
                self._emit(Opcode.LOAD, shape | whole | {"mem_reg": self.source, "mem": source & MASK}, writes=[place])
            values = (
                shape | dict(self.spec.how) | {"mem_reg": self.target, "mem": target & MASK, "stride1": lines.target}
            )
            if self.spec.block:
                scales = at[2] + row * lines.scales + start // self.spec.block * along.scales
                values |= {"scales": self.spec.scales + scales - target, "scale_stride": lines.scales}
            self._emit(Opcode.STORE_CONVERT if self.spec.how else Opcode.STORE, values, reads=[place])

    def _turn(self, source: int, place: Region, pitch: int, columns: int, rows: int, stride: int) -> None:
        """Load `rows` rows of `columns` elements of the source as columns."""
        size = self.spec.source
        for first, count in cut(rows, WORD // size):
            values = {
                "mem_reg": self.source,
                "mem": (source + first * stride) & MASK,
                "stride1": stride,
                "count1": count,
            }
            values |= {"l1": place.address + first * size, "pitch": pitch, "bytes": columns * size}
            values |= {"element": size.bit_length() - 1}
            self._emit(Opcode.LOAD_TRANSPOSED, values, writes=[place])

    def _emit(self, opcode: Opcode, values: dict[str, int], **regions: list[Region]) -> None:
        self.schedule.emit(opcode, values, **regions)


def copy_program(config: ChipConfig, spec: CopySpec) -> bytes:
    """The program's bytes; registers 1 and 2 have the addresses of source and target, 3 and 4 those of staged scales
    and of their tensor."""
    schedule = Schedule()
    _Builder(config, spec, schedule, SOURCE, TARGET).build()
    if spec.staged:
        schedule.fence()
        _Builder(config, spec.of_scales, schedule, STAGED, SCALES).build()
    return schedule.encode()


def share_copy(spec: CopySpec, cores: int) -> tuple[CopySpec, list[tuple[int, int, int]]]:
    """A core's piece of a copy, and by core the bytes to where it begins in source, target and scales.

    Pieces of the outermost axis of the target that is long enough; where they overlap, they give the same bytes.
    With block scales these are staged, at the same distance from every core's codes.
    """
    elements, size = math.prod(axis.size for axis in spec.axes), min(spec.source, spec.target)
    least = LEAST_STAGED if spec.block else LEAST
    for count in range(min(cores, elements * size // least), 1, -1):
        axes = [*enumerate(spec.axes)][: -1 if spec.block else None]
        for number, axis in sorted(axes, key=lambda each: -each[1].target):
            beside = (axis.source, axis.target) == (spec.source, spec.target)
            parts = parts_of(axis.size, count, granule=WORD // size if beside else 1)
            if parts is None:
                continue
            cut = (*spec.axes[:number], replace(axis, size=parts.size), *spec.axes[number + 1 :])
            piece = replace(spec, axes=cut, staged=spec.block > 0)
            steps = [(start * axis.source, start * axis.target, start * axis.scales) for start in parts.starts]
            if not piece.staged or steps[-1][1] - steps[-2][1] >= piece.scale_bytes:
                return piece, steps
    return spec, [(0, 0, 0)]
