"""A directory of finished things by content key: built once among all processes, published by one rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

KEEP = 24
"""Entries of one kind that stay; those unused for longest are removed beyond."""

MAKING = "making-"
ABANDONED = 24 * 3600
"""Seconds after which nobody is making a thing any more."""


def directory() -> Path:
    """Where the cache lies: ``$GEMEL_CACHE``, or ``~/.cache/gemel``."""
    return Path(os.environ.get("GEMEL_CACHE") or Path.home() / ".cache" / "gemel")


def find(kind: str, key: str) -> Path | None:
    """The directory of `key` among the things of `kind`, if it is there."""
    place = directory() / kind / key
    return place if place.is_dir() else None


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory of `key` among the things of `kind`, made by ``make(temporary directory)`` unless it is there.

    While one process makes it, others that ask for the same key wait. When `make` raises, nothing stays.
    """
    home = directory() / kind
    place = home / key
    if not place.is_dir():
        home.mkdir(parents=True, exist_ok=True)
        with (home / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not place.is_dir():
                _publish(home, place, make)
        _prune(home, keep=place)
    os.utime(place)
    return place


def _publish(home: Path, place: Path, make: Callable[[Path], None]) -> None:
    temporary = Path(tempfile.mkdtemp(dir=home, prefix=MAKING))
    try:
        make(temporary)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prune(home: Path, keep: Path) -> None:
    """Remove what killed makers left, and the entries used least lately beyond `KEEP`; libraries in use stay mapped."""
    directories = [path for path in home.iterdir() if path.is_dir()]
    entries = [path for path in directories if not path.name.startswith(MAKING)]
    stale = [path for path in directories if path not in entries and time.time() - path.stat().st_mtime > ABANDONED]
    entries.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [*stale, *entries[KEEP:]]:
        if path != keep:
            shutil.rmtree(path, ignore_errors=True)
