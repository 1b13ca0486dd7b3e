"""The definition of a trace: its operations one after another, on any number of virtual registers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gemel.vector.ir import Body, Loop, Op, Reg, Slot
from gemel_golden import functions, lane_ops
from gemel_golden.flags import Flags
from gemel_golden.philox import element_words
from gemel_golden.vector import permute
from gemel_golden.vector_isa import COMPARISONS, FUNCTION_BASE, IOTA, LANES, PHILOX, Control
from gemel_golden.vector_memory import AddressRegister, load, store

__all__ = ["interpret"]

_MASK = 0xFFFF_FFFF
_LANE = np.arange(LANES)
Lanes = NDArray[np.uint32]


def interpret(trace: Body, arguments: Mapping[int, int], l1: NDArray[np.uint8]) -> Flags:
    """Run a trace on an L1, in program order, and change it; the flags of its stores. `arguments` are x1 to x9."""
    run = _Run(arguments, l1)
    run.body(trace)
    return run.flags


class _Run:
    def __init__(self, arguments: Mapping[int, int], l1: NDArray[np.uint8]):
        self.arguments, self.l1, self.flags = arguments, l1, Flags()
        self.scalars: dict[Reg, int] = {}
        self.vectors: dict[Reg, Lanes] = {}
        self.predicates: dict[Reg, NDArray[np.bool_]] = {}
        self.addresses: dict[Reg, AddressRegister] = {}

    def body(self, items: Body) -> None:
        for item in items:
            if isinstance(item, Loop):
                count = item.count + (self._scalar(item.scalar) if item.scalar else 0)
                for _ in range(count & _MASK):
                    self.body(item.body)
            else:
                self._op(item)

    def _op(self, op: Op) -> None:
        match op.slot:
            case Slot.ALU:
                self._arithmetic(op)
            case Slot.LOAD:
                register = self.addresses[op.uses["ld_addr"]]
                value, _ = load(register, op.fields, self._predicate(op, "ld_pred", "ld_not"), self.l1)
                self.vectors[_target(op)] = value
                self._post(op)
            case Slot.STORE:
                register, mask = self.addresses[op.uses["st_addr"]], self._predicate(op, "st_pred", "st_not")
                value = self.vectors[op.uses["st_reg"]]
                random = self.vectors[op.uses["st_random"]] if "st_random" in op.uses else np.zeros(LANES, np.uint32)
                fields = {"st_stochastic": 0, **op.fields}
                flags, _ = store(register, fields, mask, value, random, self.l1)
                self.flags |= flags
                self._post(op)
            case Slot.CONTROL:
                self._control(op)

    def _post(self, op: Op) -> None:
        if op.post:
            self.addresses[op.post] = self.addresses[op.post].stepped()

    def _scalar(self, reg: Reg) -> int:
        if reg.constant:
            return 0
        return self.scalars[reg] if reg in self.scalars else self.arguments[reg.fixed or 0] & _MASK

    def _predicate(self, op: Op, use: str, complement: str) -> NDArray[np.bool_]:
        reg = op.uses[use]
        value = np.ones(LANES, bool) if reg.constant else self.predicates[reg]
        return value ^ bool(op.fields.get(complement, 0))

    def _operand(self, op: Op, letter: str) -> Lanes:
        reg = op.uses.get(letter)
        if reg is None:
            return np.zeros(LANES, np.uint32)
        value = self.vectors[reg] if reg in self.vectors else np.full(LANES, self._scalar(reg), np.uint32)
        if letter == "a":
            value = permute(value, op.fields.get("permute", 0))
        negate, absolute = (bool(op.fields.get(f"{what}_{letter}", 0)) for what in ("neg", "abs"))
        return lane_ops.modify(value, absolute, negate)

    def _arithmetic(self, op: Op) -> None:
        code, mask = op.fields["op"], self._predicate(op, "pred", "pred_not")
        a, b, c = (self._operand(op, letter) for letter in "abc")
        if code in COMPARISONS:
            self.predicates[_target(op)] = (lane_ops.apply(lane_ops.LaneOp(code), a, b, c) != 0) & mask
            return
        if code == IOTA:
            result = _LANE.astype(np.uint32)
        elif code == PHILOX:
            low, high, tensor, group = (self._scalar(op.uses[name]) for name in ("b", "b1", "b2", "b3"))
            result = element_words(low | high << 32, tensor, 4 * group + _LANE)
        elif code >= FUNCTION_BASE:
            result = functions.evaluate(functions.Function(code - FUNCTION_BASE), a)
        else:
            result = lane_ops.apply(lane_ops.LaneOp(code), a, b, c)
        if op.merges:
            result = np.where(mask, result, self.vectors[_target(op)])
        self.vectors[_target(op)] = result

    def _control(self, op: Op) -> None:
        fields = {"imm": 0, "imm2": 0, "flag": 0, **op.fields}
        a, b = (self._scalar(op.uses[name]) if name in op.uses else 0 for name in ("sa", "sb"))
        imm = fields["imm"] & _MASK
        second, low, high = (b + imm) & _MASK, imm & 0xFFFF, imm >> 16
        match op.control:
            case Control.ADD:
                self.scalars[_target(op)] = (a + second) & _MASK
            case Control.SUB:
                self.scalars[_target(op)] = (a - second) & _MASK
            case Control.AND:
                self.scalars[_target(op)] = a & second
            case Control.SHL:
                self.scalars[_target(op)] = (a << (second & 31)) & _MASK
            case Control.SHR:
                self.scalars[_target(op)] = a >> (second & 31)
            case Control.READ:
                self.scalars[_target(op)] = int(self.vectors[op.uses["vector"]][0])
            case Control.ADDRESS:
                base, pitch = (a + imm) & _MASK, (b + fields["imm2"]) & 0xFFFF
                self.addresses[_target(op)] = AddressRegister(base=base, pitch=pitch, tile=bool(fields["flag"]))
            case Control.STEP:
                self.addresses[_target(op)] = self.addresses[_target(op)].with_steps(low, high)
            case Control.MOVE:
                moved = self.addresses[_target(op)].moved(a + low, b + high, add=bool(fields["flag"]))
                self.addresses[_target(op)] = moved
            case Control.PSET:
                count = (a + imm) & _MASK
                self.predicates[_target(op)] = count - ((count >> 31) << 32) > _LANE


def _target(op: Op) -> Reg:
    assert op.define is not None, "the operation writes no register"
    return op.define[1]
