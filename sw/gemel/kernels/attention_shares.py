"""Which core has which heads and queries of attention: launches of one program for some heads each."""

from __future__ import annotations

from dataclasses import dataclass

from gemel.kernels.attention_vector import STRIP
from gemel.kernels.split import parts_of

__all__ = ["Shares", "share_heads"]


@dataclass(frozen=True)
class Shares:
    """A program for so many heads and queries, and by launch and core the first of both."""

    heads: int
    queries: int
    launches: tuple[tuple[tuple[int, int], ...], ...]


def share_heads(heads: int, kv_heads: int, cores: int, queries: int, *, cut: bool, most: int) -> Shares:
    """Share the heads by up to so many cores, with up to `most` in a program, as few in turn as may be.

    A program's heads have whole groups that share keys, or are a part of one. `cut`: where the heads can't be shared
    evenly, each core has a part of every head's queries.
    """
    if heads % cores and cut:
        parts = parts_of(queries, cores, least=STRIP)
        if parts is not None:
            each = _in_turn(heads, heads // kv_heads, 1, most)
            return Shares(
                each,
                parts.size,
                tuple(tuple((first, query) for query in parts.starts) for first in _starts(heads, each)),
            )
    each = _in_turn(heads, heads // kv_heads, cores, most)
    starts = _starts(heads, each)
    rounds = range(0, len(starts), cores)
    return Shares(each, queries, tuple(tuple((head, 0) for head in starts[n : n + cores]) for n in rounds))


def _in_turn(heads: int, group: int, cores: int, most: int) -> int:
    """The heads of a program: those with the fewest one after the other, and of these the most."""
    fitting = [n for n in range(1, max(1, min(most, heads)) + 1) if n % group == 0 or group % n == 0]
    return min(fitting, key=lambda n: (-(-heads // (n * cores)) * n, -n))


def _starts(heads: int, each: int) -> list[int]:
    """Where programs of `each` heads begin; the last one repeats some where they don't divide the heads."""
    return [min(first, heads - each) for first in range(0, heads, each)]
