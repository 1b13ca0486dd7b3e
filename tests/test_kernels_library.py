"""The kernel library as a whole: every kernel is exported, has its reference, and stands in the documentation."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

import gemel

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "kernel-library.md").read_text()
FILES = sorted(file for file in (ROOT / "sw/gemel/kernels").glob("*.py") if "REFERENCES" in file.read_text())
MODULES = [import_module(f"gemel.kernels.{file.stem}") for file in FILES]
KERNELS = [(module, name) for module in MODULES for name in module.REFERENCES]


def described(module, name):
    """A kernel's call as the page has it."""
    parts, star = [], False
    for parameter in inspect.signature(getattr(module, name)).parameters.values():
        if parameter.kind == parameter.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        parts.append(f"{parameter.name}{default}")
    return f"`{name}({', '.join(parts)})`"


@pytest.mark.parametrize(("module", "name"), KERNELS, ids=lambda value: value if isinstance(value, str) else "")
def test_every_kernel_is_exported_and_documented(module, name):
    assert getattr(gemel, name) is getattr(module, name)
    assert described(module, name) in PAGE
    assert inspect.getdoc(getattr(module, name))


def test_the_page_names_every_file():
    assert [file.name for file in FILES if f"`sw/gemel/kernels/{file.name}`" not in PAGE] == []
