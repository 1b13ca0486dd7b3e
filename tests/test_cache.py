"""The build cache: made once among processes, nothing left of a failure, the least used entries removed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemel import cache

MAKER = """
import sys, time
from gemel import cache
def make(directory):
    time.sleep(0.3)
    (directory / "made").write_text(sys.argv[1])
    with open(sys.argv[2], "a") as log:
        log.write(sys.argv[1])
print((cache.entry("things", "key", make) / "made").read_text())
"""


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("GEMEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_processes_make_a_thing_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", MAKER]
    makers = [
        subprocess.Popen([*command, name, str(log)], stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        for name in "abc"
    ]
    seen = {maker.communicate()[0].strip() for maker in makers}
    assert len(seen) == 1
    assert log.read_text() in seen


def test_a_failure_leaves_nothing(home: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cache.entry("things", "key", fail)
    assert [path.name for path in (home / "things").iterdir() if path.is_dir()] == []
    assert cache.entry("things", "key", lambda directory: None).is_dir()


def test_the_least_used_entries_go_first(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(cache, "KEEP_OTHERS", 3)
    for key in "abc":
        place = cache.entry("things", key, lambda directory: None)
        then = time.time() - 1000 + ord(key)
        os.utime(place, (then, then))
    cache.entry("things", "a", lambda directory: None)
    cache.entry("things", "d", lambda directory: None)
    assert sorted(path.name for path in (home / "things").iterdir() if path.is_dir()) == ["a", "c", "d"]


CROWD = """
import sys
from gemel import cache
cache.KEEP_OTHERS = 2
for turn in range(60):
    key = str(turn * int(sys.argv[1]) % 7)
    cache.entry("things", key, lambda directory: (directory / "made").write_text(key))
    cache.find("things", str(turn % 5))
"""


def test_processes_remove_the_same_entries_at_once() -> None:
    crowd = [subprocess.Popen([sys.executable, "-c", CROWD, str(step)]) for step in (1, 2, 3, 5)]
    assert [process.wait() for process in crowd] == [0, 0, 0, 0]


def test_an_entry_is_gone_before_its_files_are(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    there = []
    monkeypatch.setattr(cache, "KEEP_OTHERS", 1)
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: there.append((home / "things" / "a").exists()))
    cache.entry("things", "a", lambda directory: None)
    cache.entry("things", "b", lambda directory: None)
    assert there[-1] is False
    assert any(path.name.startswith(cache.PARTIAL) for path in (home / "things").iterdir())


def test_what_is_found_counts_as_used(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(cache, "KEEP_OTHERS", 2)
    for key in "ab":
        place = cache.entry("things", key, lambda directory: None)
        os.utime(place, (1, ord(key)))
    assert cache.find("things", "a") == home / "things" / "a"
    cache.entry("things", "c", lambda directory: None)
    assert cache.find("things", "b") is None
    assert cache.find("things", "a") is not None


def test_what_killed_processes_left_goes(home: Path) -> None:
    cache.entry("things", "a", lambda directory: None)
    left = [home / "things" / f"{cache.PARTIAL}{name}" for name in ("old", "new")]
    for path in left:
        path.mkdir()
    os.utime(left[0], (1, 1))
    cache.entry("things", "b", lambda directory: None)
    assert [path.exists() for path in left] == [False, True]
