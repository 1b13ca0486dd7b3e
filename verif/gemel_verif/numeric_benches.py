"""Arithmetic blocks arranged for tests in bulk: many lanes side by side, dot units behind their decoders."""

from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import NDArray

from gemel_rtl.numeric.accumulate import DotCell
from gemel_rtl.numeric.decode import EdgeDecoder
from gemel_rtl.numeric.dot import DotUnit
from gemel_rtl.numeric.layouts import DecodedBlock
from gemel_rtl.shared import Shared, flat_ports

__all__ = ["CellBench", "DotGrid", "Lanes", "Registered", "as_ports"]

STRIDES = (8, 16, 32, 64)


GROUPED = ("grouped", "group_first", "group_last")


class Lanes(wiring.Component):
    """`count` of a component side by side. Each port but `shared` ones is widened to 8, 16, 32 or 64 bits a lane."""

    def __init__(self, make: Callable[[], Any], count: int, shared: tuple[str, ...] = ("valid", "o_valid")):
        self.make, self.count, self.shared = make, count, shared
        pattern = make()
        pattern._MustUse__silence = True  # only its ports are wanted
        self.ports = {port.name: port for port in flat_ports(pattern)}
        members: dict[str, Any] = {}
        for name, port in self.ports.items():
            width = len(port.value) if name in shared else count * self.stride(name)
            members[name] = In(width) if port.is_input else Out(width)
        super().__init__(members)

    def stride(self, name: str) -> int:
        return next(stride for stride in STRIDES if stride >= len(self.ports[name].value))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for lane in range(self.count):
            m.submodules[f"lane{lane}"] = component = Shared(self.make(), name="lane")
            for port in flat_ports(component):
                outer = getattr(self, port.name)
                if port.name not in self.shared:
                    outer = outer.word_select(lane, self.stride(port.name))
                elif not port.is_input and lane:
                    continue
                m.d.comb += port.value.eq(outer) if port.is_input else outer.eq(port.value)
        return m


class Registered(wiring.Component):
    """A combinational component with registered outputs, so that it is a pipeline of one stage for `tb_stream`."""

    latency = 1

    def __init__(self, make: Callable[[], Any]):
        self.make = make
        pattern = make()
        pattern._MustUse__silence = True  # only its ports are wanted
        super().__init__({**pattern.signature.members, "valid": In(1), "o_valid": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.component = component = self.make()
        m.d.sync += self.o_valid.eq(self.valid)
        for port in flat_ports(component):
            outer = getattr(self, port.name)
            if port.is_input:
                m.d.comb += port.value.eq(outer)
            else:
                m.d.sync += outer.eq(port.value)
        return m


def as_ports(values: NDArray[Any]) -> list[int]:
    """Per row of `values` (cycles, lanes), the integer that has its elements side by side, the first lowest."""
    rows = np.ascontiguousarray(values)
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


class DotGrid(wiring.Component):
    """rows x cols dot units behind one decoder each for a row and a column; the operands are registered in between."""

    def __init__(self, *, rows: int, cols: int):
        self.rows, self.cols = rows, cols
        super().__init__(
            {
                **_edges(rows, cols),
                "valid": In(1),
                "integer": In(1),
                "quarters": In(1),
                "o_valid": Out(1),
                "o": Out(32 * rows * cols),
                "overflow": Out(rows * cols),
            }
        )
        self.latency = 1 + DotUnit.latency

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows, cols = _decoders(self, m)
        valid, integer, four, quarters = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            valid.eq(self.valid),
            integer.eq(self.integer),
            four.eq(self.four),
            quarters.eq(self.quarters),
        ]
        for r, a in enumerate(rows):
            for c, b in enumerate(cols):
                at = r * self.cols + c
                m.submodules[f"dot{r}_{c}"] = dot = Shared(DotUnit(), name="dot_unit")
                m.d.comb += [
                    dot.valid.eq(valid),
                    dot.integer.eq(integer),
                    dot.four.eq(four),
                    dot.quarters.eq(quarters),
                    Value.cast(dot.a).eq(a),
                    Value.cast(dot.b).eq(b),
                    self.o.word_select(at, 32).eq(dot.o),
                    self.overflow[at].eq(dot.overflow),
                ]
                if at == 0:
                    m.d.comb += self.o_valid.eq(dot.o_valid)
        return m


class CellBench(wiring.Component):
    """One cell behind its two decoders; all inputs but drain and load are registered, in step with the operands."""

    DELAYED = (*("valid", "integer", "four", "quarters"), *("first", "bank", "ig", "jg"), *GROUPED)
    DIRECT = (
        "drain_en",
        "drain_bank",
        "drain_ig",
        "drain_jq",
        "load_en",
        "load_bank",
        "load_ig",
        "load_jq",
        "load_data",
    )

    def __init__(self, *, groups_m: int, groups_n: int, sub: int):
        self.cell = DotCell(groups_m=groups_m, groups_n=groups_n, sub=sub)
        members = self.cell.signature.members
        super().__init__(
            {
                **_edges(1, 1),
                **{name: members[name] for name in (*self.DELAYED, *self.DIRECT, "drain_data", "invalid", "overflow")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cell = cell = self.cell
        (a,), (b,) = _decoders(self, m)
        m.d.sync += [getattr(cell, name).eq(getattr(self, name)) for name in self.DELAYED]
        m.d.comb += [getattr(cell, name).eq(getattr(self, name)) for name in self.DIRECT]
        m.d.comb += [getattr(self, name).eq(getattr(cell, name)) for name in ("drain_data", "invalid", "overflow")]
        m.d.comb += [Value.cast(cell.a).eq(a), Value.cast(cell.b).eq(b)]
        return m


def _edges(rows: int, cols: int) -> dict[str, Any]:
    widths = {"fmt": 4, "place": 2, "scaling": 2, "line": 1}
    per_operand = {f"{name}_{side}": In(width) for side in "ab" for name, width in widths.items()}
    blocks = {"a": In(256 * rows), "b": In(256 * cols), "scale_a": In(32 * rows), "scale_b": In(32 * cols)}
    return {**blocks, "wide": In(1), "four": In(1), "lanes": In(7), **per_operand}


def _decoders(bench: Any, m: Module) -> tuple[list[Value], list[Value]]:
    """Decoded and registered operands of the rows and of the columns."""
    sides = []
    for side in "ab":
        blocks = getattr(bench, side)
        decoded = []
        for i in range(len(blocks) // 256):
            m.submodules[f"decode_{side}{i}"] = decoder = Shared(EdgeDecoder(), name="edge_decoder")
            held = Signal(DecodedBlock, name=f"{side}{i}", reset_less=True)
            m.d.comb += [
                decoder.enable.eq(1),
                decoder.block.eq(blocks.word_select(i, 256)),
                decoder.scale.eq(getattr(bench, f"scale_{side}").word_select(i, 32)),
                [
                    getattr(decoder, name).eq(getattr(bench, f"{name}_{side}"))
                    for name in ("fmt", "place", "scaling", "line")
                ],
                decoder.wide.eq(bench.wide),
                decoder.four.eq(bench.four),
                decoder.lanes.eq(bench.lanes),
            ]
            m.d.sync += held.eq(decoder.o)
            decoded.append(Value.cast(held))
        sides.append(decoded)
    return sides[0], sides[1]
