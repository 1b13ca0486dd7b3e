"""Builder of pipelines: registers without reset, each stage under the valid bit that travels with it."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
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

    def select(self, condition: Value, when: Any, otherwise: Any, *, name: str) -> Signal:
        """`when` or `otherwise` of the stage before, held in this stage; a simulator evaluates the chosen one only."""
        when, otherwise = Value.cast(when), Value.cast(otherwise)
        held = Signal(max(len(when), len(otherwise)), name=f"{name}_s{self.stage}", reset_less=True)
        with self.m.If(self._load):
            with self.m.If(condition):
                self.m.d.sync += held.eq(when)
            with self.m.Else():
                self.m.d.sync += held.eq(otherwise)
        return held

    def struct(self, layout: data.StructLayout, fields: Mapping[str, Any], *, name: str) -> data.View:
        """A structure of `fields` of the stage before, all those of `layout`, held in this stage in one register."""
        words = [_fitted(fields[str(key)], field.width) for key, field in layout]
        return data.View(layout, self.register(Cat(words), name=name))

    def carry(self, view: data.View, *, name: str) -> data.View:
        """The structure `view` of the stage before, held in this stage."""
        held = self.register(view.as_value(), name=name)
        return data.View(view.shape(), held)


def _fitted(value: Any, width: int) -> Value:
    """`value` cut or extended to `width` bits."""
    value = Value.cast(value)
    missing = width - len(value)
    if missing <= 0:
        return value[:width]
    return Cat(value, value[-1].replicate(missing) if value.shape().signed else Const(0, missing))
