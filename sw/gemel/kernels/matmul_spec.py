"""What shapes the program of a matrix product: operands, strides, drain and epilogue; and the program's arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from gemel.kernels.epilogue_vector import tile_program
from gemel.kernels.matmul_epilogue import DEFAULT, Epilogue, TileCode
from gemel.kernels.tiling import Blocking, Operand, Pieces, choose_blocking, d_strip_bytes
from gemel.vector import VectorProgram
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import Format, by_name
from gemel_golden.isa import ScaleMode
from gemel_golden.vector_isa import LANES

__all__ = [
    "GROUP_SLOTS",
    "LINE",
    "MatmulSpec",
    "Register",
    "ones_format",
    "ones_operand",
    "program_name",
    "sums_format",
]

GROUP_SLOTS = {1: 4, 2: 3}
"""Groups of drained FP32 tiles that L1 holds for the vector core, by the tiles in one."""
LINE = 4 * LANES
"""Bytes of a row of a tile, FP32: running sums of its columns."""


class Register(IntEnum):
    """Address registers of the arguments, in their order."""

    A = 1
    B = 2
    D = 3
    SCALE = 4
    BIAS = 5
    C = 6
    A_SCALES = 7
    B_SCALES = 8
    KEYS = 9
    AUX = 10
    GRADIENT = 11
    CODE = 12


@dataclass(frozen=True, kw_only=True)
class MatmulSpec:
    """Everything that shapes the program: operands, strides in bytes between memory rows, and the epilogue."""

    a: Operand
    a_stride: int
    b: Operand
    b_stride: int
    out: Format
    d_stride: int
    c_stride: int | None = None
    scale_mode: ScaleMode = ScaleMode.NONE
    scale_bits: int = 0
    bias: bool = False
    saturate: bool = False
    stochastic: bool = False
    zero_k: bool = False
    """K is 0: the product of one element of zeros stands for it."""
    epilogue: Epilogue = DEFAULT
    approximate: str = "none"
    aux: Format | None = None
    aux_stride: int = 0
    group: int = 1
    """Tiles beside each other that one program of the vector core works on."""

    @property
    def vectors(self) -> bool:
        """The tiles have column vectors, or keys."""
        return self.bias or self.stochastic or self.scale_mode == ScaleMode.COLUMN

    @property
    def code(self) -> TileCode:
        """What the vector core does to a tile."""
        return TileCode(
            epilogue=self.epilogue,
            approximate=self.approximate,
            out=self.out,
            saturate=self.saturate,
            aux=self.aux,
        )

    def aux_bytes(self, columns: int) -> int:
        """Bytes of so many columns of a row of aux, whole tiles but for the last."""
        if self.aux is None:
            return 0
        return -(-columns // LANES) * 4 if self.epilogue.activation == "relu" else columns * self.aux.bits // 8

    def summed(self, side: str) -> Operand | None:
        """Operand "a" or "b", where its sums along K are asked for."""
        return {"a": self.a, "b": self.b}[side] if self.epilogue.gradient_of == side else None

    def groups(self, tiles: int) -> list[int]:
        """The tiles of each group of a row of so many tiles."""
        return [min(self.group, tiles - start) for start in range(0, tiles, self.group)]

    def programs(self, m: Pieces, n: Pieces, block_n: int) -> dict[str, VectorProgram]:
        """The vector core's programs, by the rows of a tile and the tiles of a group."""
        if not self.epilogue.vector:
            return {}
        heights = sorted({rows for _, rows in m})
        rows = [min(block_n, len(n) - start) for start in range(0, len(n), block_n)]
        counts = sorted({tiles for row in rows for tiles in self.groups(row)})
        return {
            program_name(height, tiles): tile_program(self.code, height, tiles)
            for height in heights
            for tiles in counts
        }

    def offsets(self, row: int, column: int) -> dict[Register, int]:
        """Bytes from the beginning of each matrix or vector to what a piece of D that begins there takes."""
        sides = []
        for operand, stride, start in ((self.a, self.a_stride, row), (self.b, self.b_stride, column)):
            sides.append(operand.row_bytes(start) if operand.transposed else start * stride)
        scales = [
            0 if operand.scales is None else operand.scales.offset(start, 0)
            for operand, start in ((self.a, row), (self.b, column))
        ]
        return {
            Register.A: sides[0],
            Register.B: sides[1],
            Register.D: row * self.d_stride + column * self.out.bits // 8,
            Register.SCALE: 4 * column,
            Register.BIAS: 4 * column,
            Register.C: row * (self.c_stride or 0) + 4 * column,
            Register.A_SCALES: scales[0],
            Register.B_SCALES: scales[1],
            Register.AUX: row * self.aux_stride + self.aux_bytes(column),
            Register.GRADIENT: 4 * (row if self.epilogue.gradient_of == "a" else column),
        }

    def extra_bytes(self, m: Pieces, n: Pieces, k_tile: int, block_m: int, block_n: int) -> int:
        """L1 bytes of what the epilogue needs beside D's strips."""
        total = 0
        if self.epilogue.vector:
            pieces = [len(program.bundles) for program in self.programs(m, n, block_n).values()]
            total += sum(-(-size // WORD) * WORD for size in pieces)
            total += GROUP_SLOTS[self.group] * d_strip_bytes(LANES, self.group * LANES, 32)
            total += 2 * self.aux_strip_bytes(block_n)
        if self.epilogue.gradient_of == "d":
            total += (self.group + 2 * block_n) * LINE
        for side, block in (("a", block_m), ("b", block_n)):
            if (operand := self.summed(side)) is not None:
                total += ones_operand(operand).strip_bytes(1, k_tile)
                total += max(2, block) * d_strip_bytes(1, LANES, 32)
        return total

    def aux_strip_bytes(self, block_n: int) -> int:
        """L1 bytes of a strip of aux beside as many tiles."""
        row_bytes = self.aux_bytes(block_n * LANES)
        return LANES // 2 * -(-row_bytes // CHUNK) * WORD

    def blocking(self, config: ChipConfig) -> Blocking:
        """How the product is cut."""
        return choose_blocking(
            config,
            self.a,
            self.b,
            out_bits=self.out.bits,
            vectors=self.vectors,
            c=self.c_stride is not None,
            whole_columns=self.epilogue.vector,
            extra=self.extra_bytes,
        )

    def grouped(self, config: ChipConfig) -> MatmulSpec:
        """With tiles in groups for the vector core, where L1 has room for them beside the same blocks."""
        pairs = replace(self, group=max(GROUP_SLOTS))
        try:
            return pairs if self.epilogue.vector and pairs.blocking(config) == self.blocking(config) else self
        except ValueError:
            return self


def program_name(rows: int, tiles: int) -> str:
    """Of the vector core's program for so many tiles of so many rows."""
    return f"{tiles} tiles of {rows} rows"


def ones_format(fmt: Format, scaled: bool) -> Format:
    """The format of the ones that an operand is multiplied by to get its sums along K: its own, where these are exact.

    Scales act on floating-point products only, so that scaled integers meet ones of E4M3.
    """
    return by_name("e4m3") if fmt.is_int and scaled else fmt


def ones_operand(operand: Operand) -> Operand:
    """A row of these ones."""
    fmt = ones_format(operand.fmt, operand.scales is not None)
    return Operand(fmt=fmt, rows=1, k=operand.k, transposed=False)


def sums_format(fmt: Format, scaled: bool) -> Format:
    """The format of an operand's sums along K: INT32 for integers without scales, else FP32."""
    return by_name("int32" if fmt.is_int and not scaled else "fp32")
