"""The program of attention: by head, strips of 32 queries against blocks of keys, scores and weights only in L1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from gemel.kernels.attention_vector import LINES, STRIP, normalise, rescale, softmax_block
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.vector_code import VectorCode
from gemel.vector import VectorProgram
from gemel_golden.config import CHUNK, WORD, ChipConfig
from gemel_golden.formats import FORMATS, Format
from gemel_golden.isa import Layout, Opcode

__all__ = ["BLOCKS", "LEAST", "AttentionSpec", "Compiled", "Step", "compile_attention", "limits_of", "steps_of"]

CODE_REG, LIMITS_REG, Q_REG, K_REG, V_REG, OUT_REG, LOGARITHMS_REG = range(1, 8)
"""Address registers of the arguments, in their order."""
PIECE = 64
"""Keys that one LOAD brings: the first scores needn't wait for all of them."""
BLOCKS = (512, 256, 128, 64)
"""Keys of a block, the largest that L1 has room for."""
LEAST = 0xFF7F_FFFF
"""FP32 bits of the least finite number: the greatest score before the first block."""
PITCH = STRIP // 2
ROW = 4 * STRIP
"""Bytes of a number for each row of a strip."""


@dataclass(frozen=True, kw_only=True)
class AttentionSpec:
    """Everything that shapes the program; strides in bytes between rows in memory. Heads lie side by side in a row."""

    queries: int
    keys: int
    head_dim: int
    fmt: Format
    out: Format
    q_stride: int
    k_stride: int
    v_stride: int
    out_stride: int
    causal: bool
    factor_bits: int
    """FP32 bits of the scale times log2(e)."""
    bias: float
    """What is added to the exponents of the weights, so that they use P's range."""
    heads: int = 1
    group: int = 1
    """Heads, one after the other, that share keys and values."""
    logarithms_stride: int = 0
    """Bytes between the heads' logarithms."""

    @property
    def offset(self) -> int:
        """The first query sees this many keys beside its own."""
        return self.keys - self.queries


@dataclass(frozen=True, kw_only=True)
class Step:
    """A strip of queries against a block of keys."""

    head: int = 0
    strip: int
    turn: int
    """Strips before it, those of heads before included."""
    rows: int
    block: int
    first_key: int
    keys: int
    """Keys of the block that the strip's last row sees."""
    whole: int
    """Vectors of 32 keys that all its rows see."""
    tails: int
    """Vectors after these."""
    skipped: int
    """Vectors with limits that an earlier block had."""
    last: bool

    @property
    def columns(self) -> int:
        """Scores that are computed, those of keys beyond the last included."""
        return 32 * (self.whole + self.tails)


def limits_of(spec: AttentionSpec) -> np.ndarray:
    """Which of 64 keys after the whole vectors each row of a strip sees, as `softmax_block` takes it: (32, 64) FP32."""
    seen = spec.offset % 32 + 1 + np.arange(STRIP) if spec.causal else np.full(STRIP, spec.keys % 32)
    return np.where(np.arange(2 * STRIP) < seen[:, None], np.inf, -np.inf).astype(np.float32)


def steps_of(spec: AttentionSpec, block: int) -> Iterator[Step]:
    """Every step of a head, strip by strip and each in rising order of keys.

    Causal strips grow: every other one comes on the way up, the rest on the way down, so that the first and the last
    one, beside which little else can be done, are small.
    """
    strips = range(-(-spec.queries // STRIP))
    for turn, strip in enumerate((*strips[1::2], *strips[0::2][::-1]) if spec.causal else strips):
        rows = min(STRIP, spec.queries - strip * STRIP)
        seen = spec.keys if not spec.causal else min(spec.keys, (strip + 1) * STRIP + spec.offset)
        if spec.causal:
            whole = (strip * STRIP + spec.offset) // 32
            tails = -(-seen // 32) - whole
        else:
            whole, tails = spec.keys // 32, int(spec.keys % 32 > 0)
        count = -(-(whole + tails) * 32 // block)
        for number in range(count):
            first = number * block
            begin, end = first // 32, (first + block) // 32
            inside, skipped = max(0, min(whole, end) - begin), max(0, begin - whole)
            yield Step(
                strip=strip,
                turn=turn,
                rows=rows,
                block=number,
                first_key=first,
                keys=min(seen - first, block),
                whole=inside,
                tails=min(whole + tails, end) - begin - inside,
                skipped=skipped,
                last=number == count - 1,
            )


@dataclass(frozen=True)
class Compiled:
    """A program, its vector code, and what was chosen for it."""

    program: bytes
    code: bytes
    block: int
    resident: bool
    l1_bytes: int


@lru_cache(maxsize=64)
def compile_attention(config: ChipConfig, spec: AttentionSpec) -> Compiled:
    """The program of some heads; its arguments are addresses: code, limits, and where the first head has Q, K, V, the
    result and the logarithms.

    Raises ``ValueError`` when L1 has no room even for small blocks.
    """
    needed = 0
    for block in (b for b in BLOCKS if b < spec.keys + 2 * b):
        for resident in (True, False):
            plan = _Program(config, spec, min(block, -(-spec.keys // PIECE) * PIECE), resident)
            needed = plan.top
            if needed <= config.l1_bytes:
                return plan.compile()
    raise ValueError(
        f"attention of head dimension {spec.head_dim} takes {needed:,} bytes of L1 for blocks of {BLOCKS[-1]} "
        f"keys; the {config.name} chip has {config.l1_bytes:,}"
    )


class _Program:
    def __init__(self, config: ChipConfig, spec: AttentionSpec, block: int, resident: bool):
        self.config, self.spec, self.block, self.resident = config, spec, block, resident
        self.top = 0
        one = list(steps_of(spec, block))
        strips = one[-1].turn + 1
        self.steps = [
            replace(step, head=head, turn=head * strips + step.turn) for head in range(spec.heads) for step in one
        ]
        self.size = spec.fmt.bits // 8
        self.columns = spec.head_dim // 32
        self._vector_code()
        padded = max(step.first_key + step.columns for step in self.steps)
        self.slot_keys = -(-padded // PIECE) * PIECE if resident else block
        d = spec.head_dim
        self.q = self._regions(2, self._strip(d * self.size))
        self.k_slots = [self._pieces() for _ in range(1 if resident else 2)]
        self.v_slots = [self._pieces() for _ in range(1 if resident else 2)]
        self.scores = self._regions(2, self._strip(4 * block))
        self.weights = self._regions(2, self._strip(self.size * block))
        self.sums = self._regions(2, self._strip(4 * d))
        (self.least,) = self._regions(1, ROW)
        self.maxima = self._regions(3, ROW)
        self.block_sums = self._regions(2, ROW)
        self.totals = self._regions(2, ROW)
        (self.room,) = self._regions(1, ROW)
        self.results = self._regions(2, self._strip(-(-d * spec.out.bits // 8)))
        self.logarithms = self._regions(2, ROW)
        tails = max(step.skipped + step.tails for step in self.steps)
        (self.limits,) = self._regions(1, self._strip(4 * 32 * max(tails, 1)))
        self.tails = tails

    def _strip(self, row_bytes: int) -> int:
        return PITCH * WORD * -(-row_bytes // CHUNK)

    def _regions(self, count: int, size: int) -> list[Region]:
        size = -(-size // WORD) * WORD
        regions = [Region(self.top + i * size, size) for i in range(count)]
        self.top += count * size
        return regions

    def _pieces(self) -> tuple[int, list[Region]]:
        """A matrix of keys by the head's dimension, and the regions of its pieces: what follows them is apart."""
        base, size = self.top, self.slot_keys * self.spec.head_dim * self.size
        self.top += size
        return base, [Region(base + i, PIECE) for i in range(self.slot_keys // PIECE)]

    def _vector_code(self) -> None:
        fmt, bias = self.spec.fmt, self.spec.bias
        kinds = sorted({step.tails for step in self.steps})
        parts: dict[str, VectorProgram] = {f"softmax {n}": softmax_block(fmt, tails=n, bias=bias) for n in kinds}
        if any(step.block for step in self.steps):
            parts["rescale"] = rescale(self.columns)
        parts["normalise"] = normalise(self.columns, self.spec.out)
        self.vectors = VectorCode(parts)
        (self.vectors.region,) = self._regions(1, len(self.vectors.bundles))

    def compile(self) -> Compiled:
        self.schedule = Schedule()
        self.loaded: dict[tuple[str, int, int], tuple[int, int]] = {}
        code = self.vectors.region
        self._load_rows(CODE_REG, 0, 0, 1, len(self.vectors.bundles), code.address, 0, [code])
        if self.tails:
            self._load_rows(LIMITS_REG, 0, 256, STRIP, 128 * self.tails, self.limits.address, PITCH, [self.limits])
        fill = {"l1": self.least.address, "valid1": 0, "bytes": ROW, "valid_bytes": 0, "fill": LEAST}
        self.schedule.emit(Opcode.LOAD, fill, writes=[self.least])
        steps = self.steps
        self._bring(0)
        self._bring_values(0)
        self._multiply_keys(0)
        self._softmax(0)
        for n, step in enumerate(steps):
            # The values of another head take the place of those that this step still needs.
            replaced = self.resident and n + 1 < len(steps) and self._group(n + 1) != self._group(n)
            if n + 1 < len(steps):
                self._bring(n + 1)
                if not replaced:
                    self._bring_values(n + 1)
                self._multiply_keys(n + 1)
            if step.block:
                self._rescale(n)
            self._multiply_values(n)
            if replaced:
                self._bring_values(n + 1)
            if n + 1 < len(steps):
                self._softmax(n + 1)
            if step.last:
                self._finish(n)
        return Compiled(self.schedule.encode(), self.vectors.bundles, self.block, self.resident, self.top)

    def _sums(self, step: Step) -> Region:
        return self.sums[step.turn % 2]

    def _before(self, n: int) -> Region:
        """The maxima of the blocks before step n."""
        return self.maxima[(n - 1) % 3] if self.steps[n].block else self.least

    def _load_rows(
        self,
        register: int,
        mem: int,
        stride: int,
        rows: int,
        row_bytes: int,
        l1: int,
        pitch: int,
        writes: list[Region],
        valid: int | None = None,
        fill: int = 0,
    ) -> None:
        values = {
            "layout": Layout.TILE if pitch else Layout.LINEAR,
            "mem": mem,
            "mem_reg": register,
            "l1": l1,
            "pitch": pitch,
            "count1": rows,
            "valid1": rows if valid is None else valid,
            "stride1": stride,
            "bytes": row_bytes,
            "valid_bytes": row_bytes,
            "fill": fill,
        }
        self.schedule.emit(Opcode.LOAD, values, writes=writes)

    def _group(self, n: int) -> int:
        """Which heads' keys and values step n works with."""
        return self.steps[n].head // self.spec.group

    def _bring(self, n: int) -> None:
        """Load what step n needs and L1 doesn't hold: its queries and keys."""
        step, spec = self.steps[n], self.spec
        row_bytes = spec.head_dim * self.size
        if step.block == 0:
            q = self.q[step.turn % 2]
            at = step.head * row_bytes + step.strip * STRIP * spec.q_stride
            self._load_rows(Q_REG, at, spec.q_stride, step.rows, row_bytes, q.address, PITCH, [q])
        self._bring_rows(n, "k", K_REG, spec.k_stride, self.k_slots)

    def _bring_values(self, n: int) -> None:
        """Load those of step n that L1 doesn't hold."""
        self._bring_rows(n, "v", V_REG, self.spec.v_stride, self.v_slots)

    def _bring_rows(self, n: int, name: str, register: int, stride: int, slots: list[tuple[int, list[Region]]]) -> None:
        """Keys or values of step n."""
        step, spec = self.steps[n], self.spec
        row_bytes = spec.head_dim * self.size
        base, regions = slots[0 if self.resident else n % 2]
        start = step.first_key if self.resident else 0
        for piece in range(start // PIECE, -(-(start + step.columns) // PIECE)):
            key = step.first_key - start + piece * PIECE
            slot = (name, 0 if self.resident else n % 2, piece)
            if self.loaded.get(slot) == (self._group(n), key):
                continue
            self.loaded[slot] = self._group(n), key
            self._load_rows(
                register,
                self._group(n) * row_bytes + key * stride,
                stride,
                PIECE,
                row_bytes,
                base + piece * (PIECE // 2) * WORD,
                self.slot_keys // 2,
                [regions[piece]],
                valid=max(0, min(PIECE, spec.keys - key)),
            )

    def _slot(self, n: int, slots: list[tuple[int, list[Region]]]) -> tuple[int, list[Region], int]:
        """Base address, regions and first row of step n's keys in a slot."""
        base, regions = slots[0 if self.resident else n % 2]
        return base, regions, self.steps[n].first_key if self.resident else 0

    def _multiply_keys(self, n: int) -> None:
        step, spec = self.steps[n], self.spec
        base, regions, first = self._slot(n, self.k_slots)
        q, scores = self.q[step.turn % 2], self.scores[n % 2]
        for column in range(0, step.columns, 32):
            row = first + column
            values = {
                "a_format": spec.fmt.code,
                "b_format": spec.fmt.code,
                "d_format": FORMATS["fp32"].code,
                "a": q.address,
                "a_pitch": PITCH,
                "b": base + row // 2 * WORD,
                "b_pitch": self.slot_keys // 2,
                "d": scores.address + column // 8 * PITCH * WORD,
                "d_pitch": PITCH,
                "m": step.rows,
                "n": 32,
                "k": spec.head_dim,
            }
            self.schedule.emit(Opcode.MATMUL, values, reads=[q, regions[row // PIECE]], writes=[scores])

    def _multiply_values(self, n: int) -> None:
        step, spec = self.steps[n], self.spec
        base, regions, first = self._slot(n, self.v_slots)
        weights, sums = self.weights[n % 2], self._sums(step)
        used = regions[first // PIECE : -(-(first + step.keys) // PIECE)]
        per_chunk = CHUNK // self.size
        for column in range(0, spec.head_dim, 32):
            chunk = column // per_chunk
            address = base + (chunk * (self.slot_keys // 2) + first // 2) * WORD + chunk % 2 * CHUNK
            place = sums.address + column // 8 * PITCH * WORD
            values = {
                "a_format": spec.fmt.code,
                "b_format": spec.fmt.code,
                "d_format": FORMATS["fp32"].code,
                "b_transposed": 1,
                "a": weights.address,
                "a_pitch": PITCH,
                "b": address,
                "b_pitch": self.slot_keys // 2,
                "d": place,
                "d_pitch": PITCH,
                "m": step.rows,
                "n": 32,
                "k": step.keys,
            }
            reads = [weights, *used]
            if step.block:
                values |= {"accumulate": 1, "c": place, "c_pitch": PITCH}
                reads.append(sums)
            self.schedule.emit(Opcode.MATMUL, values, reads=reads, writes=[sums])

    def _softmax(self, n: int) -> None:
        step = self.steps[n]
        scores, weights, before, maxima = self.scores[n % 2], self.weights[n % 2], self._before(n), self.maxima[n % 3]
        sums = self.block_sums[n % 2] if step.block else self._total(step)
        arguments = {
            "x1": scores.address,
            "x2": weights.address,
            "x3": before.address,
            "x4": -(-step.rows // LINES),
            "x5": step.whole,
            "x6": self.spec.factor_bits,
            "x7": self.limits.address + 4 * step.skipped * PITCH * WORD,
            "x8": maxima.address,
            "x9": sums.address,
        }
        reads = [scores, before, *([self.limits] if step.tails else [])]
        self.vectors.emit(
            self.schedule, f"softmax {step.tails}", arguments, reads=reads, writes=[weights, maxima, sums]
        )

    def _total(self, step: Step) -> Region:
        return self.totals[step.turn % 2]

    def _rescale(self, n: int) -> None:
        step = self.steps[n]
        sums, total, before, maxima = self._sums(step), self._total(step), self._before(n), self.maxima[n % 3]
        block = self.block_sums[n % 2]
        arguments = {
            "x1": sums.address,
            "x2": total.address,
            "x3": before.address,
            "x4": step.rows,
            "x5": maxima.address,
            "x6": block.address,
            "x7": self.room.address,
        }
        self.vectors.emit(
            self.schedule, "rescale", arguments, reads=[sums, before, maxima, block], writes=[sums, total, self.room]
        )

    def _finish(self, n: int) -> None:
        spec, step = self.spec, self.steps[n]
        sums, total, maxima = self._sums(step), self._total(step), self.maxima[n % 3]
        result, logarithms = self.results[step.turn % 2], self.logarithms[step.turn % 2]
        arguments = {
            "x1": sums.address,
            "x2": result.address,
            "x3": total.address,
            "x4": step.rows,
            "x5": logarithms.address,
            "x6": int(np.float32(spec.bias).view(np.uint32)),
            "x7": self.room.address,
            "x8": maxima.address,
        }
        reads = [sums, total, maxima]
        self.vectors.emit(self.schedule, "normalise", arguments, reads=reads, writes=[result, logarithms, self.room])
        values = {
            "layout": Layout.TILE,
            "mem": step.head * spec.head_dim * spec.out.bits // 8 + step.strip * STRIP * spec.out_stride,
            "mem_reg": OUT_REG,
            "l1": result.address,
            "pitch": PITCH,
            "count1": step.rows,
            "stride1": spec.out_stride,
            "bytes": spec.head_dim * spec.out.bits // 8,
        }
        self.schedule.emit(Opcode.STORE, values, reads=[result])
        values = {
            "mem": step.head * spec.logarithms_stride + step.strip * STRIP * 4,
            "mem_reg": LOGARITHMS_REG,
            "l1": logarithms.address,
            "bytes": 4 * step.rows,
        }
        self.schedule.emit(Opcode.STORE, values, reads=[logarithms])
