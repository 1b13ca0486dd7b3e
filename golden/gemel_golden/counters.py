"""The counters of a core by number, each twice: of the last launch, and since reset.

A register selects one, two show its value. Counters of one unit's classes (`gemel_golden.activity`) add up to the
launch's cycles, those since reset to the cycles of all launches.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemel_golden.activity import CLASSES, UNITS, Activity

__all__ = [
    "BUCKETS",
    "COUNTERS",
    "LATENCIES",
    "LAUNCH_BITS",
    "SINCE_RESET",
    "TOTAL_BITS",
    "WORK",
    "WORKS",
    "Counter",
]

LAUNCH_BITS = 32
"""Width of a launch's counter."""
TOTAL_BITS = 64
"""Width of a counter since reset."""
WORKS = CLASSES * 8
"""Number of the first counter of work."""
LATENCIES = WORKS + 16
"""Number of the first counter of latencies."""
BUCKETS = 16
"""Counters of latencies."""
SINCE_RESET = 0x80
"""Added to a counter's number: its value since reset instead of the last launch's."""


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One counter: its number, name and meaning."""

    number: int
    name: str
    doc: str


WORK = {
    "load_bytes": "bytes of memory that LOAD's rows have",
    "load_beats": "beats of 64 bytes that LOAD took from memory",
    "load_bursts": "bursts that LOAD asked memory for",
    "store_bytes": "bytes of memory that STORE's rows have",
    "store_beats": "beats of 64 bytes that STORE gave to memory",
    "store_bursts": "bursts that STORE gave to memory",
    "saturated": "outputs clamped",
    "ecc_corrected": "words of 64 bits that check bits corrected in the core",
}
"""Counters of work, in the order of their numbers."""


def _table() -> tuple[Counter, ...]:
    counters = [
        Counter(
            number=CLASSES * unit + activity,
            name=f"{unit.name.lower()}_{activity.name.lower()}",
            doc=f"cycles in which {unit.name} was of class {activity.name}",
        )
        for unit in UNITS
        for activity in Activity
    ]
    counters += [Counter(number=WORKS + i, name=name, doc=doc) for i, (name, doc) in enumerate(WORK.items())]
    for bucket in range(BUCKETS):
        least = 1 << bucket
        span = f"from {least} cycles on" if bucket == BUCKETS - 1 else f"{least}..{2 * least - 1} cycles"
        doc = f"bursts of LOAD whose first beat came {span} after their address"
        counters.append(Counter(number=LATENCIES + bucket, name=f"latency_{least}", doc=doc))
    return tuple(sorted(counters, key=lambda counter: counter.number))


COUNTERS = {counter.name: counter for counter in _table()}
"""Counters by name."""
