"""Builder of pipelines: registers without reset, each stage under the valid bit that travels with it."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data

__all__ = ["Pipeline"]


class Pipeline:
    """Stages of registers in module `m`. Between two calls of `next` the caller computes; after `next`, `register`
    delays what was computed by one cycle.

    A stage's registers load only when valid data arrive, so they hold the last valid result while nothing comes, and
    a simulator skips the work of an idle stage. The valid bits themselves are reset.

    Attributes
    ----------
    valid : the current stage holds data
    stage : number of stages so far
    """

    def __init__(self, m: Module, valid: Value):
        self.m = m
        self.valid = valid
        self.stage = 0
        self._load = valid

    def next(self) -> None:
        """Begin the next stage."""
        self.stage += 1
        self._load = self.valid
        self.valid = Signal(name=f"valid{self.stage}")
        self.m.d.sync += self.valid.eq(self._load)

    def register(self, value: Any, *, name: str, shape: Any = None) -> Signal:
        """`value` of the stage before, as `shape` (by default that of `value`), held in this stage."""
        value = Value.cast(value)
        held = Signal(value.shape() if shape is None else shape, name=f"{name}_s{self.stage}", reset_less=True)
        with self.m.If(self._load):
            self.m.d.sync += held.eq(value)
        return held

    def struct(self, layout: data.StructLayout, fields: Mapping[str, Any], *, name: str) -> data.View:
        """A structure of `fields` of the stage before, held in this stage."""
        held = data.View(layout, Signal(layout.size, name=f"{name}_s{self.stage}", reset_less=True))
        with self.m.If(self._load):
            self.m.d.sync += [held[key].eq(value) for key, value in fields.items()]
        return held

    def carry(self, view: data.View, *, name: str) -> data.View:
        """The structure `view` of the stage before, held in this stage."""
        held = self.register(view.as_value(), name=name)
        return data.View(view.shape(), held)
