"""Epilogues beside the tensor core's drain, in the program of a product: the vector core's tiles, sums of operands."""

from __future__ import annotations

from gemel.kernels.block_scales import OperandScales
from gemel.kernels.matmul_pieces import L1, TilePlace
from gemel.kernels.matmul_spec import LINE, PRE_SLOTS, MatmulSpec, Register, ones_operand, sums_format
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
        self.vectors = VectorCode(spec.programs(blocking.m))
        (self.vectors.region,) = l1.regions(1, len(self.vectors.bundles))
        self.slots = l1.regions(PRE_SLOTS, d_strip_bytes(LANES, LANES, 32))
        self.aux = l1.regions(2 if spec.aux is not None else 0, spec.aux_strip_bytes(blocking.block_n))
        self.summing = spec.epilogue.gradient_of == "d"
        self.sums = l1.regions(2 * blocking.block_n if self.summing else 0, LINE)
        self.zeros = l1.regions(1 if self.summing else 0, LINE)
        self.tiles = 0

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
            fill = {"l1": self.zeros[0].address, "bytes": LINE, "fill": NEGATIVE_ZERO}
            self.schedule.emit(Opcode.LOAD, fill, writes=self.zeros)

    @property
    def slot(self) -> Region:
        """Where the next tile is drained to."""
        return self.slots[self.tiles % len(self.slots)]

    def finish(self, tile: TilePlace, strip: Region, aux: Region | None) -> None:
        """The vector core's work on the tile that was drained last, into D's strip, with the strip of its aux."""
        b = self.blocking
        (_, rows), (n0, columns) = b.m[tile.i], b.n[tile.j]
        arguments = {
            "x1": self.slot.address,
            "x2": strip.address,
            "x4": (n0 - b.n[tile.block_j][0]) // LANES,
            "x5": columns,
        }
        reads, writes = [self.slot], [strip]
        if aux is not None:
            arguments["x3"] = aux.address
            (reads if self.spec.epilogue.aux == "in" else writes).append(aux)
        if self.summing:
            before = self._running(tile) if tile.i else self.zeros[0]
            arguments |= {"x6": before.address, "x7": self._running(tile).address}
            reads.append(before)
            writes.append(self._running(tile))
        self.vectors.emit(self.schedule, f"{rows} rows", arguments, reads, writes)
        self.tiles += 1
        if self.summing and tile.i == len(b.m) - 1:
            values = {"mem_reg": Register.GRADIENT, "mem": 4 * n0, "l1": self._running(tile).address}
            self.schedule.emit(Opcode.STORE, values | {"bytes": 4 * columns}, reads=[self._running(tile)])

    def _running(self, tile: TilePlace) -> Region:
        """The sums of the columns of a tile."""
        return self.sums[tile.j % len(self.sums)]

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
