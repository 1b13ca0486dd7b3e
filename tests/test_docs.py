"""Documents tell the truth: generated pages are current, the navigation is whole, and every named file exists."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = runpy.run_path(str(ROOT / "scripts" / "generate_docs.py"))["pages"]()


@pytest.mark.parametrize("name", GENERATED)
def test_generated_page_is_current(name: str) -> None:
    assert (ROOT / "docs" / "generated" / name).read_text() == GENERATED[name], "run `make docs`"


def test_navigation_names_every_page() -> None:
    navigation = re.findall(r"[\w/-]+\.md$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(navigation) == sorted(str(file.relative_to(ROOT / "docs")) for file in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", *(f"docs/{f.name}" for f in ROOT.glob("docs/*.md"))])
def test_every_named_file_exists(name: str) -> None:
    named = re.findall(r"`((?:golden|rtl|sw|verif|tests|scripts|docs)/[\w/.-]*)`", (ROOT / name).read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_named_target_is_in_the_makefile() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    named = {target for page in pages for target in re.findall(r"`make ([a-z]+)", page.read_text())}
    assert sorted(named - targets) == []
