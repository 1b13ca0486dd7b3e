"""The build cache: made once among processes, nothing left of a failure, the least used entries removed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gemel.sim import cache

MAKER = """
import sys, time
from gemel.sim import cache
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
    monkeypatch.setattr(cache, "KEEP", 3)
    for key in "abc":
        place = cache.entry("things", key, lambda directory: None)
        then = time.time() - 1000 + ord(key)
        os.utime(place, (then, then))
    cache.entry("things", "a", lambda directory: None)
    cache.entry("things", "d", lambda directory: None)
    assert sorted(path.name for path in (home / "things").iterdir() if path.is_dir()) == ["a", "c", "d"]
