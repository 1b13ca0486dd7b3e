"""Which outputs of a block depend on which of its inputs within a cycle, found in its netlist."""

from amaranth.hdl import Fragment
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring

__all__ = ["combinational_paths"]

CLOCKS = ("clk", "rst")


def combinational_paths(component: wiring.Component) -> set[tuple[str, str]]:
    """Pairs (input, output) of ports that a path without a register joins; registers and written memory end paths.

    Amaranth tells a netlist's edges only to itself, hence the private module.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (getattr(value, "as_value", lambda value=value: value)(), direction)
    netlist = build_netlist(Fragment.get(component, None), ports, name="top")
    inputs = {}
    for name, (start, width) in netlist.top.ports_i.items():
        inputs |= {start + bit: name for bit in range(width)}
    found = set()
    for name, value in netlist.top.ports_o.items():
        seen, pending = set(), list(value)
        while pending:
            net = pending.pop()
            if net in seen or net.is_const:
                continue
            seen.add(net)
            if net.cell == 0:
                found |= {(port, name) for port in [inputs[net.bit]] if port not in CLOCKS}
            else:
                pending += [source for source, _ in netlist.cells[net.cell].comb_edges_to(net.bit)]
    return found
