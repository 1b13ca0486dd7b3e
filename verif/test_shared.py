"""Shared components: one module a name, the clock connected, and no two meanings of one name."""

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_rtl.shared import Shared
from gemel_rtl.verilog import Export, export


class Offset(wiring.Component):
    """Adds a constant, one cycle later."""

    def __init__(self, offset: int):
        self.offset = offset
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.i + self.offset)
        return m


class Chain(wiring.Component):
    """Offsets in a row."""

    def __init__(self, *offsets: int):
        self.offsets = offsets
        super().__init__({"i": In(8), "o": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        value = self.i
        for number, offset in enumerate(self.offsets):
            m.submodules[f"offset{number}"] = part = Shared(Offset(offset), name="offset")
            m.d.comb += part.i.eq(value)
            value = part.o
        m.d.comb += self.o.eq(value)
        return m


def test_each_module_once_with_its_clock() -> None:
    texts = export(Chain(3, 3, 3), "chain")
    assert list(texts) == ["offset", "chain"]
    assert texts["offset"].startswith("// Adds a constant, one cycle later.\nmodule offset(")
    assert texts["chain"].count("  offset offset") == 3
    assert texts["chain"].count(".clk(clk)") == 3


def test_two_components_of_one_name() -> None:
    context = Export()
    context.emit(Offset(3), "offset")
    with pytest.raises(ValueError, match="two Offset named offset differ in offset"):
        context.emit(Offset(4), "offset")
