"""Bundles that took long to compile: kept in the cache, for other processes too, by what they are made of."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import gemel_golden
from gemel.cache import entry, find
from gemel.vector.ir import Body, Op, Reg

__all__ = ["made"]

KIND = "vector"
LONG = 0.3
"""Seconds from which on a result is kept."""
BUNDLES, REFUSAL = "bundles", "refusal.txt"


def made(trace: Body, make: Callable[[], bytes]) -> bytes:
    """What ``make()`` gives for `trace`, or gave in another process; its ValueError likewise.

    Without a cache that can be written it is made every time.
    """
    key = _key(trace)
    try:
        place = find(KIND, key)
        if place is not None:
            return _recall(place)
    except OSError:
        return make()
    begun = time.monotonic()
    try:
        result = make()
    except ValueError as error:
        _keep(key, REFUSAL, str(error).encode(), begun)
        raise
    _keep(key, BUNDLES, result, begun)
    return result


def _recall(place: Path) -> bytes:
    if (refusal := place / REFUSAL).exists():
        raise ValueError(refusal.read_text())
    return (place / BUNDLES).read_bytes()


def _keep(key: str, name: str, content: bytes, begun: float) -> None:
    if time.monotonic() - begun < LONG:
        return
    try:
        entry(KIND, key, lambda directory: (directory / name).write_bytes(content))
    except OSError:
        return


def _key(trace: Body) -> str:
    text = "\n".join(_lines(trace, {}))
    return hashlib.sha256(f"{_compiler()}\n{text}".encode()).hexdigest()[:32]


@cache
def _compiler() -> str:
    """A digest of all that decides what a trace becomes: this package, and the tables of golden."""
    places = (Path(__file__).parent, Path(gemel_golden.__file__).parent)
    files = sorted(file for place in places for file in place.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _lines(body: Body, numbers: dict[Reg, int]) -> Iterator[str]:
    """The trace as text; registers are numbered in the order in which they appear."""

    def named(reg: Reg) -> str:
        if reg in numbers:
            return str(numbers[reg])
        numbers[reg] = len(numbers)
        return f"{numbers[reg]}={reg.bank.value}:{reg.fixed}:{[named(other) for other in reg.group]}"

    for item in body:
        if isinstance(item, Op):
            uses = {field: named(reg) for field, reg in item.uses.items()}
            define = (item.define[0], named(item.define[1])) if item.define else None
            memory = item.region, item.memory, item.apart
            yield f"{item.slot.name} {item.fields} {uses} {define} {item.merges} {memory}"
        else:
            yield f"loop {item.count} {item.scalar and named(item.scalar)} {item.pipeline}"
            yield from _lines(item.body, numbers)
            yield "end"
