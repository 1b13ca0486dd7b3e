"""What attention's backward pass works on piece by piece: a block of keys against a piece of queries."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gemel.kernels.attention_vector import STRIP
from gemel_golden.formats import Format

__all__ = ["BackwardSpec", "Blocking", "KeyStrip", "Unit", "gradient_limits", "key_strips", "units_of"]


@dataclass(frozen=True, kw_only=True)
class BackwardSpec:
    """Everything that shapes the program of one head of keys; strides in bytes between rows in memory."""

    queries: int
    keys: int
    head_dim: int
    group: int
    """Heads of queries that share the keys; their columns, and rows of logarithms, follow each other."""
    fmt: Format
    """Of the operands and the gradients."""
    out: Format
    """Of the forward pass's result."""
    q_stride: int
    k_stride: int
    v_stride: int
    grad_stride: int
    out_stride: int
    dq_stride: int
    dk_stride: int
    dv_stride: int
    causal: bool
    factor_bits: int
    """FP32 bits of the scale times log2(e)."""
    scale_bits: int

    @property
    def offset(self) -> int:
        """The first query sees this many keys beside its own."""
        return self.keys - self.queries


@dataclass(frozen=True)
class Blocking:
    """How queries and keys are cut."""

    keys: int
    """Keys of a block, whose products are summed in one instruction: 32 or 64."""
    queries: int
    """Queries of a piece, whose scores are in L1 at once: a multiple of 32."""
    pieces: int
    """Pieces whose queries stay in L1 while all keys pass."""


@dataclass(frozen=True)
class KeyStrip:
    """A strip of 32 keys against the queries of a piece."""

    number: int
    rows: int
    begin: int
    """The piece's first query that counts, a multiple of 32."""
    masked: int
    """Vectors of queries that don't all see all of the strip's keys."""
    whole: int
    """Vectors after these."""
    skipped: int
    """Columns of the limits that belong to earlier pieces."""


@dataclass(frozen=True)
class Unit:
    """A block of keys against a piece of queries of one head; `strips` is never empty."""

    head: int
    piece: int
    slot: int
    """The piece's place in L1."""
    first_query: int
    rows: int
    block: int
    visit: int
    """Counts the blocks of keys as they come by; those that no query sees don't."""
    strips: tuple[KeyStrip, ...]


def gradient_limits(spec: BackwardSpec) -> np.ndarray:
    """Which of 64 queries from the first masked vector on see each key of a strip: (32, 64) FP32, +Inf or -Inf."""
    seen = np.arange(2 * STRIP) >= np.arange(STRIP)[:, None] + -spec.offset % STRIP
    return np.where(seen, np.inf, -np.inf).astype(np.float32)


def key_strips(spec: BackwardSpec, strips: range, first_query: int, rows: int) -> Iterator[KeyStrip]:
    """Those of the strips that a query of the piece sees."""
    for number in strips:
        first = number * STRIP - spec.offset if spec.causal else 0
        if first >= first_query + rows:
            continue
        start = first // STRIP * STRIP
        masked_end = start + STRIP * (1 + (spec.offset % STRIP > 0)) if spec.causal else 0
        begin = max(0, start - first_query)
        vectors = -(-(rows - begin) // STRIP)
        masked = min(vectors, max(0, (masked_end - first_query - begin) // STRIP))
        yield KeyStrip(
            number=number,
            rows=min(STRIP, spec.keys - number * STRIP),
            begin=begin,
            masked=masked,
            whole=vectors - masked,
            skipped=first_query + begin - start if masked else 0,
        )


def units_of(spec: BackwardSpec, blocking: Blocking) -> Iterator[Unit]:
    """Every unit: for each head and each group of pieces, the blocks of keys that its queries see."""
    pieces = -(-spec.queries // blocking.queries)
    strips = -(-spec.keys // STRIP)
    per_block = blocking.keys // STRIP
    visit = arrived = 0
    for head in range(spec.group):
        for base in range(0, pieces, blocking.pieces):
            group = range(base, min(pieces, base + blocking.pieces))
            for block in range(-(-strips // per_block)):
                inside = range(block * per_block, min(strips, (block + 1) * per_block))
                met = False
                for piece in group:
                    first = piece * blocking.queries
                    rows = min(blocking.queries, spec.queries - first)
                    if seen := tuple(key_strips(spec, inside, first, rows)):
                        slot = (arrived + piece - base) % blocking.pieces
                        yield Unit(head, piece, slot, first, rows, block, visit, seen)
                        met = True
                visit += met
            arrived += len(group)
