"""A directory of finished things by content key: built once among all processes, published by one rename."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

KEEP = {"vector": 1000}
KEEP_OTHERS = 24
"""Entries of a kind that stay; those unused for longest are removed beyond."""

PRUNING = "pruning.lock"
PARTIAL = "partial-"
"""How the name of a directory begins whose files aren't all there yet, or are being removed."""

ABANDONED = 24 * 3600
"""Seconds after which nobody is making a thing any more, or removing it."""


def directory() -> Path:
    """Where the cache lies: ``$GEMEL_CACHE``, or ``~/.cache/gemel``."""
    return Path(os.environ.get("GEMEL_CACHE") or Path.home() / ".cache" / "gemel")


def find(kind: str, key: str) -> Path | None:
    """The directory of `key` among the things of `kind`, if it is there; it counts as used."""
    home = directory() / kind
    return home / key if home.is_dir() and _use(home, home / key) else None


def entry(kind: str, key: str, make: Callable[[Path], object]) -> Path:
    """The directory of `key` among the things of `kind`, made by ``make(temporary directory)`` unless it is there.

    While one process makes it, others that ask for the same key wait. When `make` raises, nothing stays.
    """
    home = directory() / kind
    place = home / key
    home.mkdir(parents=True, exist_ok=True)
    while not _use(home, place):
        with _locked(home / f"{key[:2]}.lock"):  # others of these letters wait too, which are few
            if not place.is_dir():
                _publish(home, place, make)
        _prune(home, keep=place)
    return place


def _use(home: Path, place: Path) -> bool:
    """Count `place` as used now, if it is there; nobody removes anything meanwhile, nor for its age soon after."""
    with _locked(home / PRUNING, shared=True):
        try:
            os.utime(place)
        except FileNotFoundError:
            return False
        return True


@contextmanager
def _locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def _publish(home: Path, place: Path, make: Callable[[Path], object]) -> None:
    temporary = Path(tempfile.mkdtemp(dir=home, prefix=PARTIAL))
    try:
        make(temporary)
        temporary.rename(place)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _prune(home: Path, keep: Path) -> None:
    """Remove what killed processes left, and the least used entries beyond `KEEP`; libraries in use stay mapped."""
    with _locked(home / PRUNING):
        ages = _ages(home)
        partial = {path for path in ages if path.name.startswith(PARTIAL)}
        for path in partial:
            if ages[path] > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        others = sorted(ages.keys() - partial - {keep}, key=lambda path: ages[path])
        for path in others[KEEP.get(home.name, KEEP_OTHERS) - 1 :]:
            _remove(home, path)


def _remove(home: Path, place: Path) -> None:
    """Remove an entry under another name, so that nobody ever finds one with half its files."""
    shutil.rmtree(place.rename(tempfile.mkdtemp(dir=home, prefix=PARTIAL)), ignore_errors=True)


def _ages(home: Path) -> dict[Path, float]:
    """Seconds since the last use of each directory in `home` but those that their makers rename at this moment."""
    now, ages = time.time(), {}
    for path in home.iterdir():
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            ages[path] = now - status.st_mtime
    return ages
