"""Which places have writes that the DRAM doesn't have yet."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.memory.timing import Dram
from gemel_rtl.memory.layouts import places

__all__ = ["Conflicts"]


class Conflicts(wiring.Component):
    """Compares two places with those of all slots of the write window.

    Parameters: dram, slots.
    Members: `push`, `slot`, `place`: a slot begins; `retire`, `head`: one ends; `ask<i>` (a place), `asks<i>`: to be
    compared; `found<i>`: a slot has it.
    """

    def __init__(self, dram: Dram, slots: int):
        self.dram, self.slots = dram, slots
        slot, place = ceil_log2(slots), places(dram)
        super().__init__(
            {
                "push": In(1),
                "slot": In(slot),
                "place": In(place),
                "retire": In(1),
                "head": In(slot),
                **{f"ask{i}": In(place) for i in range(2)},
                **{f"asks{i}": In(1) for i in range(2)},
                **{f"found{i}": Out(1) for i in range(2)},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        used = Signal(self.slots)
        held = [Signal(len(self.place.as_value()), name=f"place{i}", reset_less=True) for i in range(self.slots)]
        for i, place in enumerate(held):
            with m.If(self.retire & (self.head == i)):
                m.d.sync += used[i].eq(0)
            with m.If(self.push & (self.slot == i)):
                m.d.sync += [used[i].eq(1), place.eq(self.place)]
        for i in range(2):
            ask, asks, found = (getattr(self, f"{name}{i}") for name in ("ask", "asks", "found"))
            with m.If(asks):
                m.d.comb += found.eq((Cat(place == ask.as_value() for place in held) & used).any())
        return m
