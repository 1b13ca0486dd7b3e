"""The README's snippets run, its commands exist, and its links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
BIN = Path(sys.executable).parent


def run(arguments: list[str], directory: Path) -> str:
    """Standard output of a command that must end well and print nothing on standard error that looks like a failure."""
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(arguments, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where snippets and commands run, in the README's order: a later one reads what an earlier one wrote."""
    return tmp_path_factory.mktemp("readme")


def test_the_readme_has_something_for_everybody():
    programs = {line.split()[0] for line in COMMANDS}
    assert {"make", "gemel", "gemel-rtl", "pytest"} <= programs
    assert len(SNIPPETS) >= 4


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_targets(line):
    run([*shlex.split(line), "--dry-run"], ROOT)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("pytest ")])
def test_pytest_lines_select_tests(line):
    listed = run([*shlex.split(line), "--collect-only", "--quiet"], ROOT)
    assert "::test_" in listed


def test_snippets_and_commands_in_their_order(directory):
    parts = re.findall(r"^```(python|sh)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for kind, body in parts:
        if kind == "python":
            run([sys.executable, "-W", "error", "-c", body], directory)
            continue
        for line in body.splitlines():
            if line.startswith(("gemel ", "gemel-rtl ")):
                assert run(shlex.split(line), directory), f"{line!r} printed nothing"


def test_every_other_command_is_known():
    known = ("make ", "pytest ", "gemel ", "gemel-rtl ", "source .venv/bin/activate")
    assert [line for line in COMMANDS if not line.startswith(known)] == []


def test_links_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
