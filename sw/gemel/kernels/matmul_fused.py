"""Epilogues beside the tensor core's drain, in the program of a product: the vector core's tiles, sums of operands."""

from __future__ import annotations

from gemel.kernels.block_scales import OperandScales
from gemel.kernels.matmul_pieces import L1, TilePlace
from gemel.kernels.matmul_spec import GROUP_SLOTS, LINE, MatmulSpec, Register, ones_operand, program_name, sums_format
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.tiling import Blocking, d_strip_bytes
from gemel.kernels.vector_code import VectorCode
from gemel_golden.config import WORD
from gemel_golden.formats import Format
from gemel_golden.isa import Layout, Opcode
from gemel_golden.rounding import encode
from gemel_golden.vector_isa import LANES

__all__ = ["NEGATIVE_ZERO", "OperandSums", "VectorEpilogue"]

NEGATIVE_ZERO = 0x8000_0000
"""FP32 bits that sums of columns start from."""


class VectorEpilogue:
    """Tiles that the tensor core drains in FP32 and the vector core finishes, strips of aux, and sums of columns.

    A tile waits in one of a few slots, so that the tensor core goes on while the vector core works.
    """

    def __init__(self, spec: MatmulSpec, blocking: Blocking, schedule: Schedule, l1: L1):
        self.spec, self.blocking, self.schedule = spec, blocking, schedule
        self.vectors = VectorCode(spec.programs(blocking.m, blocking.n, blocking.block_n))
        (self.vectors.region,) = l1.regions(1, len(self.vectors.bundles))
        self.slots = l1.regions(GROUP_SLOTS[spec.group], d_strip_bytes(LANES, spec.group * LANES, 32))
        self.aux = l1.regions(2 if spec.aux is not None else 0, spec.aux_strip_bytes(blocking.block_n))
        self.summing = spec.epilogue.gradient_of == "d"
        self.sums = l1.regions(2 * blocking.block_n if self.summing else 0, LINE)
        self.zeros = l1.regions(spec.group if self.summing else 0, LINE)
        self.done = 0

    @property
    def bundles(self) -> bytes:
        """The vector core's code, as the launch's argument points to it."""
        return self.vectors.bundles

    def begin(self) -> None:
        """Bring the code, and what sums of columns start from."""
        size = len(self.bundles)
        values = {"mem_reg": Register.CODE, "l1": self.vectors.region.address, "valid1": 1}
        self.schedule.emit(Opcode.LOAD, values | {"bytes": size, "valid_bytes": size}, writes=[self.vectors.region])
        if self.summing:
            fill = {"l1": self.zeros[0].address, "bytes": LINE * len(self.zeros), "fill": NEGATIVE_ZERO}
            self.schedule.emit(Opcode.LOAD, fill, writes=self.zeros)

    def slot(self, tile: TilePlace) -> tuple[Region, int]:
        """The slot that a tile is drained to, and the L1 address in it."""
        region = self.slots[self.done % len(self.slots)]
        number = (tile.j - tile.block_j) % self.spec.group
        return region, region.address + number * d_strip_bytes(LANES, LANES, 32)

    def finish(self, tile: TilePlace, strip: Region, aux: Region | None) -> None:
        """The vector core's work, once the last tile of a group is drained: into D's strip, with that of its aux."""
        b, group = self.blocking, self.spec.group
        number = tile.j - tile.block_j
        last = tile.j == min(tile.block_j + b.block_n, len(b.n)) - 1
        if number % group != group - 1 and not last:
            return
        first = number // group * group
        tiles = range(tile.block_j + first, tile.j + 1)
        (_, rows), (n0, columns) = b.m[tile.i], b.n[tile.j]
        slot, _ = self.slot(tile)
        arguments = {"x1": slot.address, "x2": strip.address, "x4": first, "x5": columns}
        reads, writes = [slot], [strip]
        if aux is not None:
            arguments["x3"] = aux.address
            (reads if self.spec.epilogue.aux == "in" else writes).append(aux)
        sums = [self.sums[j % len(self.sums)] for j in tiles] if self.summing else []
        if sums:
            before = sums if tile.i else self.zeros
            arguments |= {"x6": before[0].address, "x7": sums[0].address}
            reads += before
            writes += sums
        self.vectors.emit(self.schedule, program_name(rows, len(tiles)), arguments, reads, writes)
        self.done += 1
        if sums and tile.i == len(b.m) - 1:
            start = b.n[tiles[0]][0]
            values = {"mem_reg": Register.GRADIENT, "mem": 4 * start, "l1": sums[0].address}
            self.schedule.emit(Opcode.STORE, values | {"bytes": 4 * (n0 + columns - start)}, reads=sums)

    def aux_slot(self, number: int) -> Region | None:
        """Where the aux of a row of tiles goes that D's strip `number` has."""
        return self.aux[number % len(self.aux)] if self.spec.epilogue.aux == "out" else None

    def load_aux(self, i: int, block_j: int, region: Region) -> None:
        """Bring the aux of a row of tiles."""
        values = self._aux_rows(i, block_j) | {"l1": region.address}
        values |= {"valid1": values["count1"], "valid_bytes": values["bytes"]}
        self.schedule.emit(Opcode.LOAD, values, writes=[region])

    def store_aux(self, i: int, block_j: int, region: Region) -> None:
        """Store the aux of a row of tiles."""
        values = self._aux_rows(i, block_j) | {"l1": region.address}
        self.schedule.emit(Opcode.STORE, values, reads=[region])

    def _aux_rows(self, i: int, block_j: int) -> dict[str, int]:
        b, spec = self.blocking, self.spec
        (m0, m), n0 = b.m[i], b.n[block_j][0]
        n1, last = b.n[min(block_j + b.block_n, len(b.n)) - 1]
        return {
            "layout": Layout.TILE,
            "mem": m0 * spec.aux_stride + spec.aux_bytes(n0),
            "mem_reg": Register.AUX,
            "pitch": LANES // 2,
            "count1": m,
            "stride1": spec.aux_stride,
            "bytes": spec.aux_bytes(n1 + last - n0),
        }


class OperandSums:
    """The sums of an operand's rows along K: products with a row of ones, while its strips are in L1."""

    def __init__(self, spec: MatmulSpec, side: str, blocking: Blocking, schedule: Schedule, l1: L1):
        operand = spec.summed(side)
        assert operand is not None, "only an operand whose sums are asked for has them"
        self.operand, self.side, self.blocking, self.schedule = operand, side, blocking, schedule
        self.ones = ones_operand(operand)
        self.scales: OperandScales | None = operand.scales
        self.out: Format = sums_format(operand.fmt, operand.scales is not None)
        self.k = blocking.k[0][1]
        (self.row,) = l1.regions(1, self.ones.strip_bytes(1, self.k))
        count = max(2, blocking.block_m if side == "a" else blocking.block_n)
        self.sums = l1.regions(count, d_strip_bytes(1, LANES, 32))

    def begin(self) -> None:
        """Fill the row of ones."""
        code = int(encode([1.0], self.ones.fmt)[0][0])
        bits = self.ones.fmt.bits
        word = sum(code << shift for shift in range(0, 32, bits))
        values = {"layout": Layout.TILE, "l1": self.row.address, "pitch": 1, "fill": word}
        values["bytes"] = self.ones.row_bytes(self.k)
        self.schedule.emit(Opcode.LOAD, values, writes=[self.row])

    def add(self, tile: TilePlace, strip: Region) -> None:
        """Add a strip, when the product's tile is the first one that meets it."""
        index, others = (tile.i, tile.j) if self.side == "a" else (tile.j, tile.i)
        if others:
            return
        b = self.blocking
        (start, rows), (_, k) = (b.m if self.side == "a" else b.n)[index], b.k[tile.k]
        region = self.sums[index % len(self.sums)]
        values = {
            "a_format": self.ones.fmt.code,
            "a": self.row.address,
            "a_pitch": 1,
            "b_format": self.operand.fmt.code,
            "b_transposed": self.operand.transposed,
            "b": strip.address,
            "b_pitch": self.operand.strip_pitch(rows, k),
            "m": 1,
            "n": rows,
            "k": k,
            "d_format": self.out.code,
            "d": region.address,
            "d_pitch": 1,
            "saturate": 0,
        }
        if self.scales is not None:
            values |= {"block_scale": self.scales.mode, "b_scaled": self.scales.scaled}
            values["b_scales"] = self.operand.scales_offset(rows, k) // WORD
        reads = [self.row, strip]
        if tile.k:
            values |= {"accumulate": 1, "c": region.address, "c_pitch": 1}
            reads.append(region)
        self.schedule.emit(Opcode.MATMUL, values, reads=reads, writes=[region])
        if tile.k == len(b.k) - 1:
            store = {"layout": Layout.TILE, "mem_reg": Register.GRADIENT, "mem": 4 * start, "l1": region.address}
            self.schedule.emit(Opcode.STORE, store | {"pitch": 1, "bytes": 4 * rows}, reads=[region])
