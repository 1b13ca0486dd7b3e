"""Moves between registers that needn't be: what makes a value writes the variable that it is assigned to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gemel.vector.ir import Bank, Body, Loop, Op, Reg, Slot, all_ops
from gemel_golden.lane_ops import LaneOp

__all__ = ["coalesce"]

_MODIFIERS = ("permute", "neg_a", "abs_a")


def coalesce(body: Body) -> Body:
    """The same program without the moves that a renaming makes superfluous."""
    total = Counter(reg for op in all_ops(body) for reg in op.touched)
    return _body(body, total)


def _body(body: Body, total: Counter[Reg]) -> Body:
    done: Body = []
    straight: list[Op] = []
    for item in body:
        if isinstance(item, Op):
            straight.append(item)
            continue
        done += _straight(straight, total)
        straight = []
        done.append(Loop(item.count, item.scalar, _body(item.body, total), item.pipeline))
    return done + _straight(straight, total)


def _straight(ops: list[Op], total: Counter[Reg]) -> list[Op]:
    position = 0
    while position < len(ops):
        pair = _pure_move(ops[position])
        if pair and _can_join(ops, position, *pair, total):
            source, target = pair
            before = Counter(reg for op in ops for reg in op.touched if reg is target)[target]
            ops = [op.renamed({source: target}) for i, op in enumerate(ops) if i != position]
            after = Counter(reg for op in ops for reg in op.touched if reg is target)[target]
            total[target] += after - before
        else:
            position += 1
    return ops


def _pure_move(op: Op) -> tuple[Reg, Reg] | None:
    """Source and target of a MOV that changes nothing."""
    if op.slot != Slot.ALU or op.fields.get("op") != LaneOp.MOV or op.merges or op.define is None:
        return None
    source = op.uses["a"]
    if source.bank != Bank.VECTOR or any(op.fields.get(name) for name in _MODIFIERS):
        return None
    return source, op.define[1]


def _can_join(ops: Sequence[Op], move: int, source: Reg, target: Reg, total: Counter[Reg]) -> bool:
    """Whether `target` can take the place of `source`, which must be a register of this block alone.

    Between the first definition of `source` and the move nobody touches `target`; behind the move nobody reads `source`
    after `target` has changed, or writes it.
    """
    own = [i for i, op in enumerate(ops) if source in op.reads or source in op.writes]
    if source is target or len(own) != total[source] or source not in ops[own[0]].kills:
        return False
    first = own[0]
    if first >= move or (target in ops[first].writes):
        return False
    if any(target in op.reads or target in op.writes for op in ops[first + 1 : move]):
        return False
    changed = False
    for op in ops[move + 1 :]:
        if source in op.writes or (changed and source in op.reads):
            return False
        changed = changed or target in op.writes
    return True
