"""What attention's backward pass moves between memory and L1."""

from __future__ import annotations

from collections.abc import Iterable

from gemel.kernels.attention_backward_layout import PITCH, Places
from gemel.kernels.attention_backward_units import BackwardSpec, Blocking, Unit
from gemel.kernels.attention_vector import STRIP
from gemel.kernels.schedule import Region, Schedule
from gemel_golden.isa import Layout, Opcode

__all__ = ["Moves"]

CODE, LIMITS, Q, K, V, GRAD, OUT, LOGARITHMS, DQ, DK, DV, PARTIAL = range(1, 13)
"""Address registers of the program's arguments, in their order."""


class Moves:
    """Emits the LOADs and STOREs; numbers 0 and 1 stand for dK and dV."""

    def __init__(self, schedule: Schedule, spec: BackwardSpec, blocking: Blocking, places: Places):
        self.schedule, self.spec, self.blocking, self.places = schedule, spec, blocking, places
        self.row_bytes = spec.head_dim * spec.fmt.bits // 8
        self.partial = [[Region(0, 0) for _ in "kv"] for _ in range(-(-spec.keys // STRIP))]
        """By strip of keys, sums on their way through memory: only their order counts."""

    @property
    def partial_bytes(self) -> int:
        """Memory for these sums."""
        return 8 * self.spec.keys * self.spec.head_dim

    def bring_constants(self, code_bytes: int) -> None:
        """The vector code, and the limits where there are any."""
        code, limits = self.places.code, self.places.limits
        self._load(CODE, 0, 0, code, 0, (1, 1), code_bytes, [code])
        if limits is not None:
            self._load(LIMITS, 0, 256, limits, PITCH, (STRIP, STRIP), 256, [limits])

    def bring_keys(self, unit: Unit) -> None:
        """K and V of a block; rows beyond the last key are zero."""
        spec, count = self.spec, self.blocking.keys
        first = unit.block * count
        rows = (count, min(count, spec.keys - first))
        for register, stride, slots in ((K, spec.k_stride, self.places.k), (V, spec.v_stride, self.places.v)):
            slot = slots[unit.visit % 2]
            self._load(register, first * stride, stride, slot, count // 2, rows, self.row_bytes, [slot])

    def bring_queries(self, unit: Unit) -> None:
        """Q, dO and logarithms of a piece."""
        spec, place, rows = self.spec, self.places.pieces[unit.slot], (unit.rows, unit.rows)
        pitch = self.blocking.queries // 2
        for register, stride, region in ((Q, spec.q_stride, place.q), (GRAD, spec.grad_stride, place.grad)):
            mem = unit.first_query * stride + unit.head * self.row_bytes
            self._load(register, mem, stride, region, pitch, rows, self.row_bytes, [region])
        mem = 4 * (unit.head * spec.queries + unit.first_query)
        self._load(LOGARITHMS, mem, 0, place.logarithms, 0, (1, 1), 4 * unit.rows, [place.logarithms])

    def bring_results(self, unit: Unit) -> None:
        """O of a piece, to the staging place."""
        spec, staging = self.spec, self.places.staging
        row_bytes = spec.head_dim * spec.out.bits // 8
        mem = unit.first_query * spec.out_stride + unit.head * row_bytes
        rows, pitch = (unit.rows, unit.rows), self.blocking.queries // 2
        self._load(OUT, mem, spec.out_stride, staging, pitch, rows, row_bytes, [staging])

    def bring_sums(self, unit: Unit, local: int, strip: int, which: int) -> None:
        """What a strip's dK or dV came to before, from memory."""
        tiles = [*self.places.sums[unit.visit % 2][local][which].values()]
        mem, rows, row_bytes = self._partial(strip, which)
        there = [self.partial[strip][which]]
        self._load(PARTIAL, mem, row_bytes, tiles[0], PITCH, (rows, rows), row_bytes, tiles, there)

    def store_sums(self, unit: Unit, local: int, strip: int, which: int) -> None:
        """What a strip's dK or dV comes to so far, to memory."""
        tiles = [*self.places.sums[unit.visit % 2][local][which].values()]
        mem, rows, row_bytes = self._partial(strip, which)
        self._store(PARTIAL, mem, row_bytes, tiles[0], PITCH, rows, row_bytes, tiles, [self.partial[strip][which]])

    def store_key_gradients(self, local: int, strip: int, which: int) -> None:
        """A strip's dK or dV."""
        register, stride = ((DK, self.spec.dk_stride), (DV, self.spec.dv_stride))[which]
        result, rows = self.places.results[local][which], min(STRIP, self.spec.keys - strip * STRIP)
        self._store(register, strip * STRIP * stride, stride, result, PITCH, rows, self.row_bytes, [result])

    def store_query_gradients(self, unit: Unit) -> None:
        """A piece's dQ, from the staging place."""
        stride, staging = self.spec.dq_stride, self.places.staging
        mem, pitch = unit.first_query * stride + unit.head * self.row_bytes, self.blocking.queries // 2
        self._store(DQ, mem, stride, staging, pitch, unit.rows, self.row_bytes, [staging])

    def _partial(self, strip: int, which: int) -> tuple[int, int, int]:
        """Where a strip's sums wait in memory, their rows, and a row's bytes."""
        row_bytes = 4 * self.spec.head_dim
        rows = min(STRIP, self.spec.keys - strip * STRIP)
        return (which * self.spec.keys + strip * STRIP) * row_bytes, rows, row_bytes

    def _load(
        self,
        register: int,
        mem: int,
        stride: int,
        target: Region,
        pitch: int,
        rows: tuple[int, int],
        row_bytes: int,
        writes: list[Region],
        reads: Iterable[Region] = (),
    ) -> None:
        """Bring rows[0] rows, of which memory has rows[1]; pitch 0: one row, linear."""
        values = {
            "layout": Layout.TILE if pitch else Layout.LINEAR,
            "mem": mem,
            "mem_reg": register,
            "l1": target.address,
            "pitch": pitch,
            "count1": rows[0],
            "valid1": rows[1],
            "stride1": stride,
            "bytes": row_bytes,
            "valid_bytes": row_bytes,
        }
        self.schedule.emit(Opcode.LOAD, values, reads=reads, writes=writes)

    def _store(
        self,
        register: int,
        mem: int,
        stride: int,
        source: Region,
        pitch: int,
        rows: int,
        row_bytes: int,
        reads: list[Region],
        writes: Iterable[Region] = (),
    ) -> None:
        values = {
            "layout": Layout.TILE,
            "mem": mem,
            "mem_reg": register,
            "l1": source.address,
            "pitch": pitch,
            "count1": rows,
            "stride1": stride,
            "bytes": row_bytes,
        }
        self.schedule.emit(Opcode.STORE, values, reads=reads, writes=writes)
