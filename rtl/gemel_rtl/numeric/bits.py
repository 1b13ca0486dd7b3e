"""Small combinational pieces: balanced sums, bit counts, and the logarithmic normaliser."""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

__all__ = ["balanced", "bit_count", "normalise", "shift_right_sticky"]


def balanced(items: Sequence[Any], combine: Callable[[Any, Any], Any]) -> Any:
    """`items` combined pairwise in a tree of least depth."""
    while len(items) > 1:
        pairs = [combine(a, b) for a, b in zip(items[0::2], items[1::2], strict=False)]
        items = [*pairs, items[-1]] if len(items) % 2 else pairs
    return items[0]


def bit_count(m: Module, value: Value, *, name: str) -> Value:
    """The number of ones among the 32 bits of `value`: five additions of fields side by side in one word."""
    for level in range(5):
        width = 1 << level
        mask = Const(sum(((1 << width) - 1) << at for at in range(0, 32, 2 * width)), 32)
        pairs = Signal(32, name=f"{name}{level}")
        m.d.comb += pairs.eq((value & mask) + ((value >> width) & mask))
        value = pairs
    return value[:6]


def normalise(m: Module, value: Value, *, name: str) -> tuple[Value, Value]:
    """`value` shifted left until its highest bit is set, and by how many places; a zero is shifted by all steps."""
    width = len(value)
    count = []
    for level in reversed(range((width - 1).bit_length())):
        step = 1 << level
        empty = Signal(name=f"{name}_empty{step}")
        shifted = Signal(width, name=f"{name}_shift{step}")
        m.d.comb += [
            empty.eq(value[width - step :] == 0),
            shifted.eq(Mux(empty, Cat(Const(0, step), value[: width - step]), value)),
        ]
        count.insert(0, empty)
        value = shifted
    return value, Cat(count)


def shift_right_sticky(m: Module, value: Value, amount: Value, *, name: str) -> Value:
    """`value >> amount` with what was shifted out ORed into the lowest bit; `value` has 33 bits, `amount` 5 at most."""
    extended = Signal(len(value) + 31, name=f"{name}_extended")
    m.d.comb += extended.eq(Cat(Const(0, 31), value) >> amount)
    return Cat(extended[31] | extended[:31].any(), extended[32:])
