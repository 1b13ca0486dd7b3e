"""The program of one matrix product from memory to memory: strips to L1, macro tiles, strips of D back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gemel.kernels.matmul_fused import OperandSums, VectorEpilogue
from gemel.kernels.matmul_pieces import L1, Load, Pool, TilePlace, tile_places
from gemel.kernels.matmul_spec import MatmulSpec, Register
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import VECTOR_BYTES, Operand, chunk_address, d_strip_bytes
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import FORMATS
from gemel_golden.isa import Activation, Layout, Opcode, Rounding, Scaled, ScaleMode

__all__ = ["Compiled", "matmul_program", "rounding_keys"]

BIAS_OFFSET, KEY_OFFSET = 128, 256
"""Where a tile's biases and its key lie behind its scales."""
KEY_BYTES, KEY_STRIDE = 24, 32
"""Bytes of a tile's key of stochastic rounding, and from one to the next in memory: row after row of tiles."""

LOOK_AHEAD = 16
"""Macro tiles by which the LOADs run ahead in the program."""


@dataclass(frozen=True)
class Compiled:
    """A program, and the vector core's code that it brings to L1."""

    program: bytes
    code: bytes = b""


class _Builder:
    """Builds the program of one product; `build` gives the bytes."""

    def __init__(self, config: ChipConfig, spec: MatmulSpec):
        self.spec = spec
        self.tile = config.tile
        vectors = spec.vectors
        self.blocking = spec.blocking(config)
        self.schedule = Schedule()
        l1 = L1(config.l1_bytes)
        b = self.blocking
        k_tile = b.k[0][1]
        tall, wide = (max(size for _, size in pieces) for pieces in (b.m, b.n))
        sums = b.block_m * b.block_n if b.split_k else 0
        self.a_pool = Pool(l1.regions(b.a_slots, spec.a.strip_bytes(tall, k_tile)))
        self.b_pool = Pool(l1.regions(b.b_slots, spec.b.strip_bytes(wide, k_tile)))
        self.d_slots = l1.regions(b.d_slots, d_strip_bytes(self.tile, wide * b.block_n, spec.out.bits))
        self.sums = l1.regions(sums, d_strip_bytes(self.tile, self.tile, 32))
        self.c_pool = Pool(l1.regions(2 if spec.c_stride is not None else 0, d_strip_bytes(self.tile, self.tile, 32)))
        self.vector_pool = Pool(l1.regions(b.block_n + 2 if vectors else 0, VECTOR_BYTES))
        self.vectors = vectors
        self.fused = VectorEpilogue(spec, b, self.schedule, l1) if spec.epilogue.vector else None
        reads_aux = self.fused is not None and spec.epilogue.aux == "in"
        self.aux_pool = Pool(self.fused.aux if self.fused is not None and reads_aux else [])
        side = spec.epilogue.gradient_of
        self.operand_sums = OperandSums(spec, side, b, self.schedule, l1) if side in ("a", "b") else None

    def build(self) -> Compiled:
        """The program and its code."""
        tiles = list(tile_places(self.blocking))
        loads: list[Load] = []
        held: list[dict[str, Region]] = []
        for number, tile in enumerate(tiles):
            wanted = [(self.a_pool, ("a", tile.i, tile.k)), (self.b_pool, ("b", tile.j, tile.k))]
            if self.spec.c_stride is not None and tile.k == 0:
                wanted.append((self.c_pool, ("c", tile.i, tile.j)))
            if self.vectors and tile.k == len(self.blocking.k) - 1:
                wanted.append((self.vector_pool, ("v", tile.j, tile.i if self.spec.stochastic else 0)))
            if self.spec.epilogue.aux == "in" and tile.k == len(self.blocking.k) - 1:
                wanted.append((self.aux_pool, ("aux", tile.i, tile.block_j)))
            regions: dict[str, Region] = {}
            for pool, key in wanted:
                if (load := pool.use(key, number)) is not None:
                    loads.append(load)
                regions[key[0]] = pool.region(key)
            held.append(regions)
        for part in (self.fused, self.operand_sums):
            if part is not None:
                part.begin()
        pending = iter(loads)
        load = next(pending, None)
        for number, tile in enumerate(tiles):
            while load is not None and load.earliest <= number and load.needed <= number + LOOK_AHEAD:
                self._load(load)
                load = next(pending, None)
            self._matmul(tile, held[number])
            if self.operand_sums is not None:
                self.operand_sums.add(tile, held[number][self.operand_sums.side])
        return Compiled(self.schedule.encode(), b"" if self.fused is None else self.fused.bundles)

    def _load(self, load: Load) -> None:
        kind, first, second = load.key
        b, spec = self.blocking, self.spec
        match kind:
            case "a":
                self._load_strip(spec.a, Register.A, spec.a_stride, b.m[first], b.k[second], load.region)
                self._load_scales(spec.a, Register.A_SCALES, b.m[first], b.k[second], load.region)
            case "b":
                self._load_strip(spec.b, Register.B, spec.b_stride, b.n[first], b.k[second], load.region)
                self._load_scales(spec.b, Register.B_SCALES, b.n[first], b.k[second], load.region)
            case "c":
                (m0, m), (n0, n) = b.m[first], b.n[second]
                stride = spec.c_stride or 0
                self._load_rows(Register.C, m0 * stride + 4 * n0, stride, m, 4 * n, load.region, self.tile // 2)
            case "v":
                n0, n = b.n[first]
                if spec.scale_mode == ScaleMode.COLUMN:
                    self._load_rows(Register.SCALE, 4 * n0, 0, 1, 4 * n, load.region, 0)
                if spec.bias:
                    self._load_rows(Register.BIAS, 4 * n0, 0, 1, 4 * n, load.region, 0, offset=BIAS_OFFSET)
                if spec.stochastic:
                    at = KEY_STRIDE * (second * len(b.n) + first)
                    self._load_rows(Register.KEYS, at, 0, 1, KEY_BYTES, load.region, 0, offset=KEY_OFFSET)

            case "aux":
                assert self.fused is not None, "aux belongs to the vector core's epilogues"
                self.fused.load_aux(first, second, load.region)

    def _load_strip(
        self, operand: Operand, register: int, stride: int, rows: tuple[int, int], k: tuple[int, int], region: Region
    ) -> None:
        lines, along = (k, rows) if operand.transposed else (rows, k)
        offset = lines[0] * stride + operand.row_bytes(along[0])
        pitch = operand.strip_pitch(rows[1], k[1])
        row_bytes = operand.row_bytes(along[1])
        self._load_rows(register, offset, stride, lines[1], row_bytes, region, pitch, zero=self.spec.zero_k)

    def _load_scales(
        self, operand: Operand, register: int, rows: tuple[int, int], k: tuple[int, int], region: Region
    ) -> None:
        """Block scales of a strip, line by line, behind it."""
        scales = operand.scales
        if scales is None:
            return
        values = {
            "layout": Layout.LINEAR,
            "mem": scales.offset(rows[0], k[0]),
            "mem_reg": register,
            "l1": region.address + operand.scales_offset(rows[1], k[1]),
            "pitch": scales.line_chunks,
            "count1": -(-k[1] // scales.group),
            "valid1": -(-k[1] // scales.group),
            "stride1": scales.stride,
        }
        values["bytes"] = values["valid_bytes"] = scales.size * (rows[1] if scales.scaled == Scaled.ROWS else 1)
        self.schedule.emit(Opcode.LOAD, values, writes=[region])

    def _load_rows(
        self,
        register: int,
        mem: int,
        stride: int,
        rows: int,
        row_bytes: int,
        region: Region,
        pitch: int,
        *,
        offset: int = 0,
        zero: bool = False,
    ) -> None:
        values = {
            "layout": Layout.TILE if pitch else Layout.LINEAR,
            "mem": mem,
            "mem_reg": register,
            "l1": region.address + offset,
            "pitch": pitch,
            "count1": rows,
            "valid1": 0 if zero else rows,
            "stride1": stride,
            "bytes": row_bytes,
            "valid_bytes": row_bytes,
        }
        self.schedule.emit(Opcode.LOAD, values, writes=[region])

    def _matmul(self, tile: TilePlace, held: dict[str, Region]) -> None:
        b, spec = self.blocking, self.spec
        (m0, m), (n0, n), (_, k) = b.m[tile.i], b.n[tile.j], b.k[tile.k]
        last = tile.k == len(b.k) - 1
        integer = spec.a.fmt.is_int and spec.b.fmt.is_int
        values = {
            "a_format": spec.a.fmt.code,
            "b_format": spec.b.fmt.code,
            "a_transposed": spec.a.transposed,
            "b_transposed": spec.b.transposed,
            "a": held["a"].address,
            "b": held["b"].address,
            "a_pitch": spec.a.strip_pitch(m, k),
            "b_pitch": spec.b.strip_pitch(n, k),
            "m": m,
            "n": n,
            "k": k,
        }
        for name, operand, rows in (("a", spec.a, m), ("b", spec.b, n)):
            if operand.scales is not None:
                values |= {"block_scale": operand.scales.mode, f"{name}_scaled": operand.scales.scaled}
                values[f"{name}_scales"] = operand.scales_offset(rows, k) // WORD
        reads, writes = [held["a"], held["b"]], []
        strip = self.d_slots[self._strip_number(tile) % len(self.d_slots)]
        sums = None
        if b.split_k:
            sums = self.sums[tile.i % b.block_m * b.block_n + tile.j - tile.block_j]
        if tile.k or "c" in held:
            start = sums if tile.k and sums else held["c"]
            reads.append(start)
            values |= {"accumulate": 1, "c": start.address, "c_pitch": self.tile // 2}
        if last and self.fused is not None:
            values |= self._epilogue(held, reads)
            slot, address = self.fused.slot(tile)
            values |= {"d_format": FORMATS["fp32"].code, "d": address, "d_pitch": self.tile // 2, "saturate": 0}
            writes.append(slot)
        elif last:
            values |= self._epilogue(held, reads)
            values |= {"d_format": spec.out.code, "d_pitch": self.tile // 2}
            values["d"] = self._column_address(strip, n0 - b.n[tile.block_j][0])
            writes.append(strip)
        elif sums is not None:
            total = FORMATS["int32" if integer else "fp32"]
            values |= {"d_format": total.code, "d": sums.address, "d_pitch": self.tile // 2, "saturate": 0}
            # Claims the strip early, so that the last piece of K needn't wait for STORE beside LOAD and its own sums.
            writes += [sums] if self.fused is not None else [sums, strip]
        self.schedule.emit(Opcode.MATMUL, values, reads=reads, writes=writes)
        if not last:
            return
        aux = None
        if self.fused is not None:
            aux = self.fused.aux_slot(self._strip_number(tile))
            self.fused.finish(tile, strip, held.get("aux", aux))
        if tile.j == min(tile.block_j + b.block_n, len(b.n)) - 1:
            self._store(tile, strip, m0, m)
            if self.fused is not None and aux is not None:
                self.fused.store_aux(tile.i, tile.block_j, aux)

    def _strip_number(self, tile: TilePlace) -> int:
        return tile.block_j // self.blocking.block_n * len(self.blocking.m) + tile.i

    def _column_address(self, strip: Region, column: int) -> int:
        """L1 address of a column of D's strip in row 0: its chunk and the bytes before it there."""
        offset = column * self.spec.out.bits // 8
        chunk, rest = divmod(offset, CHUNK)
        return chunk_address(strip.address, chunk, self.tile // 2) + rest

    def _epilogue(self, held: dict[str, Region], reads: list[Region]) -> dict[str, int]:
        spec = self.spec
        values = {
            "scale_mode": spec.scale_mode,
            "scale": spec.scale_bits,
            "bias": spec.bias,
            "activation": Activation.RELU if spec.epilogue.drained_relu else Activation.NONE,
            "saturate": spec.saturate,
            "rounding": Rounding.STOCHASTIC if spec.stochastic else Rounding.NEAREST,
        }
        if self.vectors:
            reads.append(held["v"])
            if spec.scale_mode == ScaleMode.COLUMN:
                values["scale_at"] = held["v"].address
            if spec.bias or spec.stochastic:
                values["bias_at"] = held["v"].address + BIAS_OFFSET
        return values

    def _store(self, tile: TilePlace, strip: Region, m0: int, m: int) -> None:
        b, spec = self.blocking, self.spec
        n0, (n1, last) = b.n[tile.block_j][0], b.n[tile.j]
        bits = spec.out.bits
        values = {
            "layout": Layout.TILE,
            "mem": m0 * spec.d_stride + n0 * bits // 8,
            "mem_reg": Register.D,
            "l1": strip.address,
            "pitch": self.tile // 2,
            "count1": m,
            "stride1": spec.d_stride,
            "bytes": -(-(n1 + last - n0) * bits // 8),
        }
        self.schedule.emit(Opcode.STORE, values, reads=[strip])


def rounding_keys(
    config: ChipConfig, spec: MatmulSpec, seed: int, number: int, *, columns: int, start: tuple[int, int] = (0, 0)
) -> NDArray[np.uint8]:
    """The tiles' keys of stochastic rounding, as the program takes them.

    Element (i, j) of D, which has so many columns, has index i * columns + j; the spec's product begins at `start`.
    """
    blocking, (row, column) = spec.blocking(config), start
    first = np.add.outer([(row + m0) * columns for m0, _ in blocking.m], [column + n0 for n0, _ in blocking.n]).ravel()
    keys = np.zeros(first.size, [("seed", "<u8"), ("index", "<u8"), ("tensor", "<u4"), ("stride", "<u4"), ("", "<u8")])
    keys["seed"], keys["index"], keys["tensor"], keys["stride"] = seed, first, number, columns
    return keys.view(np.uint8)


@lru_cache(maxsize=256)
def matmul_program(config: ChipConfig, spec: MatmulSpec) -> Compiled:
    """The program for one product; its arguments are addresses in the order of `Register`."""
    return _Builder(config, spec.grouped(config)).build()
