"""Verilog of a component and of everything shared below it, each distinct module once, by one run of Yosys."""

import re
from typing import Any

from amaranth._toolchain.yosys import find_yosys  # the bundled Yosys: no public name exists for it
from amaranth.back import rtlil
from amaranth.hdl._ir import PortDirection  # what amaranth.back.verilog itself passes with each port
from amaranth.lib import wiring

from gemel_rtl.clocked import clocked
from gemel_rtl.shared import flat_ports

__all__ = ["Export", "export", "file_name"]

ZEROS = re.compile(r"^  initial begin\n(?:    \S+\[\d+\] = \d+'h0+;\n)+  end\n", re.MULTILINE)
"""A memory's initial zeros: a line per word, which real memories don't honour and simulators take for granted."""
INTERNAL_ATTRIBUTES = ("generator", "top", "src", "amaranth.hierarchy", "amaranth.decoding")
MODULE = re.compile(r"^module \\(\S+)$", re.MULTILINE)
REFERENCE = re.compile(r"^(module |  cell )\\(\S+)", re.MULTILINE)
INPUT = re.compile(r"^  wire .*\binput \d+ +\\(\S+)$", re.MULTILINE)


def file_name(module: str) -> str:
    """The file that holds `module`."""
    return f"{module}.v"


class Export:
    """The export under way: the RTLIL of every module emitted so far, leaves first (see `gemel_rtl.shared.Emitter`)."""

    def __init__(self) -> None:
        self.rtlil: dict[str, str] = {}
        self.components: dict[str, wiring.Component] = {}
        self._inputs: dict[str, frozenset[str]] = {}

    def emit(self, component: wiring.Component, name: str) -> frozenset[str]:
        """Emit `component` as module `name` unless it has been; return the names of that module's inputs.

        Raises ValueError when another component already has that name.
        """
        if name in self.components:
            component._MustUse__silence = True  # never elaborated, since its equal was: no warning of Amaranth's
            _check_same(self.components[name], component, name)
            return self._inputs[name]
        self.components[name] = component
        ports = {
            port.name: (port.value, PortDirection.Input if port.is_input else PortDirection.Output)
            for port in flat_ports(component)
        }
        text = rtlil.convert(component, name=name, platform=self, ports=ports, emit_src=False)
        text = REFERENCE.sub(lambda match: f"{match[1]}\\{match[2].replace('.', '_')}", text)
        own = next(
            part
            for part in re.split(r"(?=^attribute |^module )", text, flags=re.MULTILINE)
            if part.startswith(f"module \\{name}\n")
        )
        self._inputs[name] = frozenset(INPUT.findall(own))
        for module in MODULE.findall(text):
            if any(module in MODULE.findall(other) for other in self.rtlil.values()):
                raise ValueError(f"two modules are named {module}: rename a submodule of {name}")
        self.rtlil[name] = text
        return self._inputs[name]


def export(component: wiring.Component, name: str) -> dict[str, str]:
    """Verilog text by module name, in order leaves first, of `component` as module `name` and all modules below it.

    Ports keep the members' names, nested names are joined by an underscore; the clock is `clk`, the synchronous
    reset `rst`. Raises ValueError when two different components or submodules claim one module name.
    """
    context = Export()
    context.emit(component, name)
    attributes = " ".join(f"-remove {attribute}" for attribute in INTERNAL_ATTRIBUTES)
    script = [f"read_rtlil <<rtlil\n{text}\nrtlil" for text in context.rtlil.values()]
    script += ["proc -nomux -norom", "memory_collect", f"attrmap {attributes}", f"attrmap -modattr {attributes}"]
    script += ["write_verilog -norename"]
    # Yosys always warns that processes are hard to translate to Verilog; Amaranth emits only those that aren't.
    text = find_yosys(lambda version: version >= (0, 40)).run(["-q", "-"], "\n".join(script), ignore_warnings=True)
    verilog = {
        found[1]: found[0] for found in re.finditer(r"^module (\S+?)\(.*?^endmodule\n", text, re.DOTALL | re.MULTILINE)
    }
    order = [module for part in context.rtlil.values() for module in MODULE.findall(part)]
    return {
        module: _title(context, module) + clocked(ZEROS.sub("", verilog[module]))
        for module in order
        if module in verilog
    }


def _title(context: Export, module: str) -> str:
    component = context.components.get(module)
    doc = (type(component).__doc__ or "").strip().split("\n")[0]
    return f"// {doc}\n" if component is not None and doc else ""


def _check_same(first: wiring.Component, second: wiring.Component, name: str) -> None:
    if type(first) is not type(second) or first.signature != second.signature:
        raise ValueError(f"{first!r} and {second!r} are both named {name}")
    if (mine := _parameters(first)) != (other := _parameters(second)):
        differing = sorted(key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key))
        raise ValueError(f"two {type(first).__name__} named {name} differ in {', '.join(differing)}")


def _parameters(component: wiring.Component) -> dict[str, Any]:
    """The attributes that `component` got from its own class: not its ports, nor what Amaranth keeps in it."""
    return {
        key: value
        for key, value in vars(component).items()
        if key not in component.signature.members and not key.startswith(("_MustUse__", "_Component__"))
    }
