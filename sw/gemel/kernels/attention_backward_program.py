"""The program of attention's backward pass: scores, weights and their gradients only in L1, sums in FP32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from gemel.kernels.attention_backward_layout import PITCH, Places
from gemel.kernels.attention_backward_moves import Moves
from gemel.kernels.attention_backward_units import BackwardSpec, Blocking, KeyStrip, Unit, units_of
from gemel.kernels.attention_backward_vector import LINES, row_products, scaled, score_gradients
from gemel.kernels.attention_vector import STRIP
from gemel.kernels.schedule import Region, Schedule
from gemel.kernels.vector_code import VectorCode
from gemel_golden.config import WORD, ChipConfig
from gemel_golden.formats import FORMATS
from gemel_golden.isa import Opcode, ScaleMode

__all__ = ["CompiledBackward", "compile_backward"]

BLOCKINGS = tuple(
    Blocking(*sizes)
    for sizes in ((64, 128, 4), (64, 128, 2), (64, 64, 4), (64, 64, 2), (64, 64, 1), (32, 32, 2), (32, 32, 1))
)
"""Best first."""
FP32 = FORMATS["fp32"]


@dataclass(frozen=True)
class CompiledBackward:
    """A program, its vector code, and what was chosen for it."""

    program: bytes
    code: bytes
    blocking: Blocking
    l1_bytes: int
    partial_bytes: int
    """Memory that sums of dK and dV need on their way through it."""


@lru_cache(maxsize=64)
def compile_backward(config: ChipConfig, spec: BackwardSpec) -> CompiledBackward:
    """The program for one head of keys; its arguments are addresses: code, limits, Q, K, V, dO, O, logarithms, dQ, dK,
    dV, and room for sums.

    Raises ``ValueError`` when L1 has no room even for the smallest pieces.
    """
    needed = 0
    tokens = -(-spec.queries // STRIP) * STRIP
    for choice in BLOCKINGS:
        queries = min(choice.queries, tokens)
        pieces = min(choice.pieces, spec.group * -(-tokens // queries))
        plan = _Program(spec, Blocking(choice.keys, queries, pieces))
        needed = plan.places.top
        if needed <= config.l1_bytes:
            return plan.compile()
    raise ValueError(
        f"the backward pass of head dimension {spec.head_dim} takes {needed:,} bytes of L1 for {BLOCKINGS[-1].queries} "
        f"queries and {BLOCKINGS[-1].keys} keys; the {config.name} chip has {config.l1_bytes:,}"
    )


class _Program:
    def __init__(self, spec: BackwardSpec, blocking: Blocking):
        self.spec, self.blocking = spec, blocking
        self.units = list(units_of(spec, blocking))
        masked = any(strip.masked for unit in self.units for strip in unit.strips)
        columns, piece = spec.head_dim // STRIP, blocking.queries
        parts = {
            name: score_gradients(spec.fmt, masked=name == "masked", block=blocking.keys, piece=piece)
            for name in ("whole", *(["masked"] if masked else []))
        }
        parts["sums"] = row_products(columns, spec.fmt, spec.out, piece=piece)
        parts["scaled"] = scaled(columns, spec.fmt, piece=piece)
        self.vectors = VectorCode(parts)
        self.places = Places(spec, blocking, code_bytes=len(self.vectors.bundles), masked=masked)
        self.vectors.region = self.places.code

    def compile(self) -> CompiledBackward:
        """Scores of the next unit are computed before the gradients of this one, and made weights meanwhile."""
        self.schedule = Schedule()
        self.moves = Moves(self.schedule, self.spec, self.blocking, self.places)
        self.started: set[tuple[int, int]] = set()
        self.held: dict[int, tuple[int, int]] = {}
        self.last_of_strip = {s.number: n for n, unit in enumerate(self.units) for s in unit.strips}
        self.last_of_visit = {unit.visit: n for n, unit in enumerate(self.units)}
        self.last_of_piece = {(unit.head, unit.piece): n for n, unit in enumerate(self.units)}
        self.moves.bring_constants(len(self.vectors.bundles))
        self._scores(0)
        for n, unit in enumerate(self.units):
            new = self.units[n + 1] if n + 1 < len(self.units) else None
            late = new is not None and self._takes_place_of(new, unit)
            if new is not None and not late:
                self._scores(n + 1)
            if n == 0 or unit.visit != self.units[n - 1].visit:
                self._bring_sums(unit)
            self._key_gradients(n)
            self._query_gradients(n)
            self._finish(n)
            if late:
                self._scores(n + 1)
        return CompiledBackward(
            program=self.schedule.encode(),
            code=self.vectors.bundles,
            blocking=self.blocking,
            l1_bytes=self.places.top,
            partial_bytes=self.moves.partial_bytes,
        )

    def _takes_place_of(self, new: Unit, old: Unit) -> bool:
        """Whether a unit's queries go where those of another are."""
        return new.slot == old.slot and (new.head, new.piece) != (old.head, old.piece)

    def _scores(self, n: int) -> None:
        """S and dP of a unit, strip by strip, and P and dS from them; its operands are brought before."""
        unit, spec = self.units[n], self.spec
        if n == 0 or self.units[n - 1].visit != unit.visit:
            self.moves.bring_keys(unit)
        fresh = self.held.get(unit.slot) != (unit.head, unit.piece)
        if fresh:
            self.held[unit.slot] = unit.head, unit.piece
            self.moves.bring_queries(unit)
        place = self.places.pieces[unit.slot]
        factors = ((self.places.k, place.q, self.places.scores), (self.places.v, place.grad, self.places.products))
        for local, strip in enumerate(unit.strips):
            for left, right, target in factors:
                block = left[unit.visit % 2]
                for column in range(strip.begin, unit.rows, STRIP):
                    values = {
                        "a": block.address + local * PITCH * WORD,
                        "a_pitch": self.blocking.keys // 2,
                        "b": right.address + column // 2 * WORD,
                        "b_pitch": self.blocking.queries // 2,
                        "d": target[local].address + column // 8 * PITCH * WORD,
                        "d_format": FP32.code,
                        "d_pitch": PITCH,
                        "m": strip.rows,
                        "n": min(STRIP, unit.rows - column),
                        "k": spec.head_dim,
                    }
                    self._matmul(values, [block, right], [target[local]])
            if fresh and local == 0:
                self._deltas(unit)
            self._weights(n, local, strip)

    def _deltas(self, unit: Unit) -> None:
        """D of a piece that is new in L1."""
        place, staging = self.places.pieces[unit.slot], self.places.staging
        self.moves.bring_results(unit)
        arguments = {
            "x1": place.grad.address,
            "x2": staging.address,
            "x3": place.deltas.address,
            "x4": -(-unit.rows // LINES),
        }
        self.vectors.emit(self.schedule, "sums", arguments, [place.grad, staging], [place.deltas])

    def _weights(self, n: int, local: int, strip: KeyStrip) -> None:
        place, limits = self.places.pieces[self.units[n].slot], self.places.limits
        scores, products = self.places.scores[local], self.places.products[local]
        weights, gradients = self.places.weights[n % 2][local], self.places.gradients[n % 2][local]
        wide, narrow = strip.begin // 8 * PITCH * WORD, self._block_column(strip.begin)
        arguments = {
            "x1": scores.address + wide,
            "x2": products.address + wide,
            "x3": weights.address + narrow,
            "x4": gradients.address + narrow,
            "x5": place.logarithms.address + 4 * strip.begin,
            "x6": self.spec.factor_bits,
            "x7": strip.whole,
        }
        reads = [scores, products, place.logarithms, place.deltas]
        if strip.masked and limits is not None:
            arguments |= {"x8": strip.masked, "x9": limits.address + strip.skipped // 8 * PITCH * WORD}
            reads.append(limits)
        name = "masked" if strip.masked else "whole"
        self.vectors.emit(self.schedule, name, arguments, reads, [weights, gradients])

    def _block_column(self, column: int) -> int:
        """Bytes from the beginning of a matrix of a block's rows to a column, a multiple of 32."""
        return self.places.chunk(column) * self.blocking.keys // 2 * WORD

    def _matmul(self, values: dict[str, int], reads: list[Region], writes: list[Region]) -> None:
        formats = {"a_format": self.spec.fmt.code, "b_format": self.spec.fmt.code}
        self.schedule.emit(Opcode.MATMUL, formats | values, reads=reads, writes=writes)

    def _bring_sums(self, unit: Unit) -> None:
        """What dK and dV of a block that comes to L1 again came to."""
        for local in range(self.blocking.keys // STRIP):
            strip = unit.block * self.blocking.keys // STRIP + local
            for which in range(2):
                if (strip, which) in self.started:
                    self.moves.bring_sums(unit, local, strip, which)

    def _key_gradients(self, n: int) -> None:
        """dK += dS^T Q and dV += P^T dO; the last sums become results."""
        unit = self.units[n]
        place, half = self.places.pieces[unit.slot], self.blocking.queries // 2
        sides = ((1, self.places.weights, place.grad), (0, self.places.gradients, place.q))
        for local, strip in enumerate(unit.strips):
            last = self.last_of_strip[strip.number] == n
            for which, left, right in sides:
                a, result = left[n % 2][local], self.places.results[local][which]
                for (_, column), tile in self.places.sums[unit.visit % 2][local][which].items():
                    values = {
                        "a": a.address + self._block_column(strip.begin),
                        "a_pitch": self.blocking.keys // 2,
                        "b": right.address + (self.places.chunk(column) * half + strip.begin // 2) * WORD,
                        "b_pitch": half,
                        "b_transposed": 1,
                        "d": tile.address,
                        "d_format": FP32.code,
                        "d_pitch": PITCH,
                        "m": strip.rows,
                        "n": STRIP,
                        "k": unit.rows - strip.begin,
                    }
                    reads, writes = [a, right], [tile]
                    if (strip.number, which) in self.started:
                        values |= {"accumulate": 1, "c": tile.address, "c_pitch": PITCH}
                        reads.append(tile)
                    if last:
                        values |= {"d": result.address + self.places.chunk(column) * PITCH * WORD}
                        values |= {"d_format": self.spec.fmt.code}
                        if which == 0:
                            values |= {"scale_mode": ScaleMode.SCALAR, "scale": self.spec.scale_bits}
                        writes = [result]
                    self._matmul(values, reads, writes)
                self.started.add((strip.number, which))

    def _query_gradients(self, n: int) -> None:
        """dQ += dS K, tile by tile of 32 queries."""
        unit = self.units[n]
        gradients, k = self.places.gradients[n % 2], self.places.k[unit.visit % 2]
        for (row, column), tile in self.places.pieces[unit.slot].dq.items():
            seen = [strip for strip in unit.strips if strip.begin <= row < unit.rows]
            if not seen:
                continue
            values = {
                "a": gradients[0].address + self._block_column(row),
                "a_pitch": self.blocking.keys // 2,
                "a_transposed": 1,
                "b": k.address + self._block_column(column),
                "b_pitch": self.blocking.keys // 2,
                "b_transposed": 1,
                "d": tile.address,
                "d_format": FP32.code,
                "d_pitch": self.blocking.queries // 2,
                "m": min(STRIP, unit.rows - row),
                "n": STRIP,
                "k": sum(strip.rows for strip in seen),
            }
            reads = [*gradients[: len(seen)], k]
            if unit.block:
                values |= {"accumulate": 1, "c": tile.address, "c_pitch": self.blocking.queries // 2}
                reads.append(tile)
            self._matmul(values, reads, [tile])

    def _finish(self, n: int) -> None:
        """Store the gradients that are complete, and the sums of a block of keys that leaves L1."""
        unit, staging = self.units[n], self.places.staging
        if self.last_of_visit[unit.visit] == n:
            for local, strip in enumerate(unit.strips):
                for which in range(2):
                    if self.last_of_strip[strip.number] == n:
                        self.moves.store_key_gradients(local, strip.number, which)
                    else:
                        self.moves.store_sums(unit, local, strip.number, which)
        if self.last_of_piece[unit.head, unit.piece] == n:
            tiles = [*self.places.pieces[unit.slot].dq.values()]
            arguments = {"x1": tiles[0].address, "x2": staging.address, "x3": unit.rows, "x4": self.spec.scale_bits}
            self.vectors.emit(self.schedule, "scaled", arguments, tiles, [staging])
            self.moves.store_query_gradients(unit)
