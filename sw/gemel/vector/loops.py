"""How a loop becomes bundles: as a pipeline where that is faster, else its body's list schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gemel.vector.ir import Bank, Loop, Op, Reg, Slot
from gemel.vector.layout import Layout
from gemel.vector.pipeline import Pipeline
from gemel.vector.schedule import list_schedule
from gemel_golden.vector_isa import Control

__all__ = ["append_pipeline", "code_size"]


def append_pipeline(layout: Layout, loop: Loop, pipeline: Pipeline, window: int) -> None:
    """Append the pipelined loop."""
    if loop.scalar is None:
        _append_counted(layout, loop.count, pipeline)
    else:
        _append_guarded(layout, loop, loop.scalar, pipeline, window)


@dataclass(frozen=True)
class _Plan:
    """How a known number of iterations is divided."""

    unroll: int
    rounds: int
    """Of the kernel."""

    @classmethod
    def of(cls, count: int, pipeline: Pipeline) -> _Plan:
        """The plan with the least code."""
        inside = count - pipeline.filling
        least = pipeline.unroll
        unroll = min(range(least, 2 * least), key=lambda n: (n + inside % n, n))
        return cls(unroll, max(0, inside // unroll))


def _append_counted(layout: Layout, count: int, pipeline: Pipeline) -> None:
    plan, step = _Plan.of(count, pipeline), pipeline.interval
    if plan.rounds < 2:
        layout.append(pipeline.bundles(0, pipeline.end(count), count, plan.unroll))
        return
    start = pipeline.filling * step
    stop = start + plan.unroll * step
    layout.append(pipeline.bundles(0, start, None, plan.unroll))
    with layout.loop(plan.rounds, None):
        layout.append(pipeline.bundles(start, stop, None, plan.unroll, squeezed=False))
    tail = start + plan.rounds * plan.unroll * step
    layout.append(pipeline.bundles(tail, pipeline.end(count), count, plan.unroll))


def _append_guarded(layout: Layout, loop: Loop, count: Reg, pipeline: Pipeline, window: int) -> None:
    """The pipeline when there are enough iterations for it, then the rest of them one by one."""
    unroll = 1 << (pipeline.unroll - 1).bit_length()
    shift, filling, step = unroll.bit_length() - 1, pipeline.filling, pipeline.interval
    new = [Reg(Bank.SCALAR, name) for name in ("short", "mask", "once", "inside", "rounds", "done", "rest")]
    short, mask, once, inside, rounds, done, rest = new
    layout.append(
        list_schedule(
            [
                _scalar(Control.SUB, short, count, filling + unroll),
                _scalar(Control.SHR, short, short, 31),
                _scalar(Control.SUB, mask, short, 1),
                _scalar(Control.AND, once, mask, 1),
                _scalar(Control.SUB, inside, count, filling),
                _scalar(Control.SHR, inside, inside, shift),
                _scalar(Control.AND, rounds, inside, 0, mask),
                _scalar(Control.SHL, done, rounds, shift),
                _scalar(Control.SUB, rest, count, 0, done),
                _scalar(Control.AND, done, mask, filling),
                _scalar(Control.SUB, rest, rest, 0, done),
            ],
            window,
        )
    )
    start = filling * step
    with layout.loop(0, once):
        layout.append(pipeline.bundles(0, start, None, unroll))
        with layout.loop(0, rounds):
            layout.append(pipeline.bundles(start, start + unroll * step, None, unroll, squeezed=False))
        total = filling + unroll
        layout.append(pipeline.bundles(start + unroll * step, pipeline.end(total), total, unroll))
    with layout.loop(0, rest):
        layout.append(list_schedule(_ops(loop), window))


def _scalar(what: Control, target: Reg, a: Reg, imm: int, b: Reg | None = None) -> Op:
    return Op(Slot.CONTROL, {"control": what, "imm": imm}, {"sa": a, **({"sb": b} if b else {})}, ("d", target))


def _ops(loop: Loop) -> Sequence[Op]:
    return [item for item in loop.body if isinstance(item, Op)]


def code_size(loop: Loop, pipeline: Pipeline) -> int:
    """Bundles of the pipelined loop."""
    layout = Layout()
    append_pipeline(layout, loop, pipeline, 1)
    return len(layout.bundles)
