"""A unit's class in each cycle, from what holds it."""

from amaranth.hdl import Module, Signal, ValueLike

from gemel_golden.activity import Activity

__all__ = ["classify"]


def classify(
    m: Module,
    activity: Signal,
    *,
    busy: ValueLike,
    dependence: ValueLike,
    l1: ValueLike = 0,
    memory: ValueLike = 0,
    semaphore: ValueLike = 0,
) -> None:
    """Drive `activity` (of `Supervision`) with the first class, in the order of `Activity.order`, whose condition
    holds; `dependence` may hold whenever the unit has an instruction.
    """
    held = {"busy": busy, "l1": l1, "memory": memory, "semaphore": semaphore, "dependence": dependence}
    m.d.comb += activity.eq(Activity.INSTRUCTION)
    for kind in reversed(Activity.order()):
        with m.If(held[kind.name.lower()]):
            m.d.comb += activity.eq(kind)
