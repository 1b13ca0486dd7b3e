"""Rules of the tree: everything pinned and reasoned, files short, no marks of unfinished work."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    file
    for folder in ("golden", "rtl", "sw", "verif", "tests", "scripts")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in {".py", ".cpp", ".h", ".sh"}
)
LONGEST_FILE = 500
MARKS = re.compile(
    r"T[O]DO|F[I]XME|X[X]X|N[o]tImplementedError|pytest\.(mark\.)?s[k]ip|x[f]ail|n[o]qa|: i[g]nore\b"
    r"|sys\.p[a]th|/(home|root|Users|work)/\w"
)


def constraints() -> dict[str, str]:
    """Distribution name to exact version, from constraints.txt."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = dict(line.split("==") for line in lines)
    assert len(pins) == len(lines), "a package is pinned twice"
    return {canonicalize_name(name): version for name, version in pins.items()}


def closure(root: str, extras: frozenset[str]) -> dict[str, list[Requirement]]:
    """Every distribution that `root[extras]` brings on this machine, with the requirements that ask for it."""
    asked: dict[str, list[Requirement]] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    pending = [(root, extras)]
    while pending:
        name, wanted = pending.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for requirement in map(Requirement, requires(name) or []):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in wanted | {""}):
                child = canonicalize_name(requirement.name)
                asked.setdefault(child, []).append(requirement)
                pending.append((child, frozenset(requirement.extras)))
    return asked


def test_everything_that_is_installed_is_pinned() -> None:
    pins = constraints()
    try:
        asked = closure("gemel", frozenset({"dev"}))
    except PackageNotFoundError as error:
        pytest.fail(f"run `make setup`: {error.name} is not installed")
    assert sorted(set(asked) - set(pins)) == []
    unmet = [
        f"{requirement} is pinned to {pins[name]}"
        for name, requirements in asked.items()
        for requirement in requirements
        if pins[name] not in requirement.specifier
    ]
    assert unmet == []


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    dependencies = project["dependencies"] + [d for extra in project["optional-dependencies"].values() for d in extra]
    bare = [d for d in dependencies if not re.search(rf'^ +"{re.escape(d)}",  # \S.{{8,}}$', text, re.MULTILINE)]
    assert bare == []


def test_files_are_short() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in SOURCES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_file_carries_a_mark_of_unfinished_work() -> None:
    marks = [
        f"{file.relative_to(ROOT)}:{number}: {found.group()}"
        for file in SOURCES
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if (found := MARKS.search(line))
    ]
    assert marks == []


def test_the_licence_and_the_typing_marker_are_shipped() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packages = build["targets"]["wheel"]["packages"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert [package for package in packages if not (ROOT / package / "py.typed").exists()] == []
