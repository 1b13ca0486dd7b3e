"""A component that is emitted once as a Verilog module of its own and instantiated wherever it is used."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Value, ValueCastable
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["Emitter", "Shared", "flat_ports"]

CLOCK_PORTS: dict[str, Callable[[], Value]] = {"clk": ClockSignal, "rst": ResetSignal}


@runtime_checkable
class Emitter(Protocol):
    """What `Shared` needs of the export under way, which is passed down as Amaranth's `platform`."""

    def emit(self, component: wiring.Component, name: str) -> frozenset[str]:
        """Emit `component` as module `name` unless it has been; return the names of that module's inputs."""
        ...


@dataclass(frozen=True, kw_only=True)
class FlatPort:
    """One port of a component as it stands in Verilog: nested member names joined by an underscore."""

    name: str
    is_input: bool
    value: Value = field(repr=False)


def flat_ports(component: wiring.Component) -> list[FlatPort]:
    """The ports of `component` in Verilog's terms; raises ValueError when two members flatten to one name."""
    ports: dict[str, FlatPort] = {}
    for path, member, value in component.signature.flatten(component):
        name = "_".join(map(str, path))
        if name in ports or name in CLOCK_PORTS:
            raise ValueError(f"two ports of {type(component).__name__} are named {name!r} in Verilog")
        if isinstance(value, ValueCastable | Value):
            ports[name] = FlatPort(name=name, is_input=member.flow == In, value=Value.cast(value))
    return list(ports.values())


class Shared(wiring.Component):
    """Stands for `component`, with the same ports.

    Exported as Verilog, all `Shared` of one name are instances of one module, elaborated once; in a simulation by
    Amaranth the component itself is elaborated. Two components that share a name must be of one class and have equal
    attributes, or the export raises ValueError.

    Parameters: component, name (of the Verilog module).
    Members: those of the component.
    """

    def __init__(self, component: Any, *, name: str):
        self.component = component
        self.name = name
        super().__init__(component.signature)

    def elaborate(self, platform: Any) -> Module | Instance:
        if not isinstance(platform, Emitter):
            m = Module()
            m.submodules.shared = self.component
            for outer, inner in zip(flat_ports(self), flat_ports(self.component), strict=True):
                m.d.comb += inner.value.eq(outer.value) if inner.is_input else outer.value.eq(inner.value)
            return m
        inputs = platform.emit(self.component, self.name)
        clocks = {f"i_{name}": signal() for name, signal in CLOCK_PORTS.items() if name in inputs}
        ports = {("i_" if port.is_input else "o_") + port.name: port.value for port in flat_ports(self)}
        return Instance(self.name, **clocks, **ports)
