"""What VECTOR does: the vector core's state and the interpreter of its programs, bundle by bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from gemel_golden import functions, lane_ops, vector_isa
from gemel_golden.config import CHUNK, WORD
from gemel_golden.faults import Fault
from gemel_golden.flags import Flags
from gemel_golden.isa import VECTOR_BUNDLES, FaultCode, Unit
from gemel_golden.philox import philox4x32
from gemel_golden.vector_isa import (
    ADDRESS_REGISTERS,
    BUNDLE_BYTES,
    COMPARISONS,
    FUNCTION_BASE,
    IOTA,
    LANES,
    LOOPS,
    NOP,
    PHILOX,
    PREDICATES,
    SCALAR_OPERAND,
    SCALARS,
    VECTORS,
    Control,
    Permute,
)
from gemel_golden.vector_memory import AddressRegister, load, store

__all__ = ["RaceError", "Run", "VectorState", "execute"]

MASK32 = 0xFFFF_FFFF
_LANE = np.arange(LANES)
_SOURCES = {
    **{Permute(1 + i): _LANE ^ (1 << i) for i in range(5)},
    **{Permute(6 + i): _LANE - (1 << i) for i in range(5)},
    Permute.FIRST: np.zeros(LANES, int),
    Permute.LAST: np.full(LANES, LANES - 1),
}
_OPS = {int(op): op for op in lane_ops.LaneOp}


class RaceError(RuntimeError):
    """A load of bytes that an earlier store of the program wrote with no FENCE in between: on hardware, a race."""


@dataclass
class VectorState:
    """The architectural state of a vector core; what isn't a scalar register lasts from one program to the next."""

    bundles: list[bytes] = field(default_factory=lambda: [bytes(BUNDLE_BYTES)] * VECTOR_BUNDLES)
    vectors: NDArray[np.uint32] = field(default_factory=lambda: np.zeros((VECTORS, LANES), np.uint32))
    predicates: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((PREDICATES, LANES), bool))
    bundle: int = 0
    """Index of the bundle executed last, or at fault."""
    addresses: list[AddressRegister] = field(default_factory=lambda: [AddressRegister()] * ADDRESS_REGISTERS)

    def __post_init__(self) -> None:
        self.predicates[0] = True


def execute(values: Mapping[str, int], state: VectorState, l1: NDArray[np.uint8]) -> Flags:
    """Do one VECTOR: change `state` and `l1` in place and return its flags. Raises Fault, and `RaceError`.

    `values` are the instruction's fields, `program` and x1 to x5 resolved.
    """
    if values["fetch"]:
        _fetch(values, state, l1)
    if not values["run"]:
        return Flags()
    scalars = [0] + [values[f"x{i}"] & MASK32 for i in range(1, 10)] + [0] * (SCALARS - 10)
    run = Run(state, l1, scalars)
    if values["fetch"]:
        first = values["program"] // CHUNK
        run.copied[first : first + values["fetch"]] = True
    return run.run(values["entry"])


def _fetch(values: Mapping[str, int], state: VectorState, l1: NDArray[np.uint8]) -> None:
    start, count = values["program"], values["fetch"]
    if start % WORD or start >= len(l1):
        raise Fault(FaultCode.L1_ADDRESS, Unit.VECTOR, start)
    if start + count * BUNDLE_BYTES > len(l1):
        raise Fault(FaultCode.L1_ADDRESS, Unit.VECTOR, len(l1))
    for i in range(count):
        address = start + i * BUNDLE_BYTES
        state.bundles[(values["at"] + i) % VECTOR_BUNDLES] = l1[address : address + BUNDLE_BYTES].tobytes()


class Run:
    """One program under way."""

    def __init__(self, state: VectorState, l1: NDArray[np.uint8], scalars: list[int]):
        self.state, self.l1, self.scalars = state, l1, scalars
        self.loops: list[list[int]] = []
        self.flags = Flags()
        self.unfenced = np.zeros(len(l1) // CHUNK, bool)
        self.copied = np.zeros(len(l1) // CHUNK, bool)
        """Chunks that the instruction memory is filled from meanwhile."""

    def run(self, pc: int) -> Flags:
        """Execute from bundle `pc` to HALT."""
        decoded: dict[int, dict[str, int]] = {}
        while True:
            self.state.bundle = pc % VECTOR_BUNDLES
            if pc >= VECTOR_BUNDLES:
                raise Fault(FaultCode.ILLEGAL_OPCODE, Unit.VECTOR)
            if pc not in decoded:
                raw = self.state.bundles[pc]
                if vector_isa.check_bundle(raw) is not None:
                    raise Fault(FaultCode.ILLEGAL_FIELD, Unit.VECTOR)
                decoded[pc] = vector_isa.decode_bundle(raw)
            v = decoded[pc]
            loop = self._loop(v, pc) if v["control"] == Control.LOOP else None
            self.bundle(v, pc)
            if v["control"] == Control.HALT:
                return self.flags
            pc = self._next(loop, pc)

    def _loop(self, v: Mapping[str, int], pc: int) -> list[int]:
        """The loop that a LOOP begins: first bundle, last bundle, iterations left."""
        end = pc + v["imm2"]
        if len(self.loops) == LOOPS or end == pc or (self.loops and end >= self.loops[-1][1]):
            raise Fault(FaultCode.LOOP_NESTING, Unit.VECTOR)
        return [pc + 1, end, (self.scalars[v["sa"]] + v["imm"]) & MASK32]

    def _next(self, loop: list[int] | None, pc: int) -> int:
        if loop is not None:
            if loop[2] == 0:
                return loop[1] + 1
            self.loops.append(loop)
        elif self.loops and pc == self.loops[-1][1]:
            first, _, left = self.loops[-1]
            if left > 1:
                self.loops[-1][2] -= 1
                return first
            self.loops.pop()
        return pc + 1

    def bundle(self, v: Mapping[str, int], pc: int) -> None:
        """The four slots: everything is read before anything is written."""
        state, addresses = self.state, list(self.state.addresses)
        result, mask = self._arithmetic(v), self._predicate(v["pred"], v["pred_not"])
        loaded = None
        if v["ld_en"]:
            lanes = self._predicate(v["ld_pred"], v["ld_not"])
            loaded, touched = load(addresses[v["ld_addr"]], v, lanes, self.l1)
            if self.unfenced[touched].any():
                raise RaceError(f"bundle {pc} loads what an earlier bundle stored; a FENCE must stand between them")
        if v["st_en"]:
            lanes = self._predicate(v["st_pred"], v["st_not"])
            source, random = state.vectors[v["st_reg"]], state.vectors[v["st_random"]]
            flags, touched = store(addresses[v["st_addr"]], v, lanes, source, random, self.l1)
            if self.copied[touched].any():
                raise RaceError(f"bundle {pc} stores over bundles that this VECTOR fetches")
            self.flags |= flags
            self.unfenced[touched] = True
        if v["ld_en"] and v["ld_post"]:
            state.addresses[v["ld_addr"]] = addresses[v["ld_addr"]].stepped()
        if v["st_en"] and v["st_post"]:
            state.addresses[v["st_addr"]] = addresses[v["st_addr"]].stepped()
        self._control(v, addresses)
        if result is not None:
            if v["op"] in COMPARISONS:
                state.predicates[v["pd"]] = result
            else:
                state.vectors[v["rd"]] = np.where(mask, result, state.vectors[v["rd"]])
        if loaded is not None:
            state.vectors[v["ld_reg"]] = loaded

    def _predicate(self, number: int, complement: int) -> NDArray[np.bool_]:
        return self.state.predicates[number] ^ bool(complement)

    def _operand(self, code: int) -> NDArray[np.uint32]:
        if code >= SCALAR_OPERAND:
            return np.full(LANES, self.scalars[code - SCALAR_OPERAND], np.uint32)
        return self.state.vectors[code]

    def _arithmetic(self, v: Mapping[str, int]) -> NDArray[np.uint32] | NDArray[np.bool_] | None:
        """The arithmetic slot's result in all lanes; a comparison's is masked by its predicate."""
        op = v["op"]
        if op == NOP:
            return None
        if op == IOTA:
            return _LANE.astype(np.uint32)
        if op == PHILOX:
            first = v["b"] - SCALAR_OPERAND
            seed_low, seed_high, tensor, group = self.scalars[first : first + 4]
            groups = group + np.arange(LANES // 4, dtype=np.uint64)
            counter = np.zeros((LANES // 4, 4), np.uint64)
            counter[:, 0], counter[:, 1], counter[:, 2] = groups & MASK32, groups >> 32, tensor
            return philox4x32(counter, np.array([seed_low, seed_high], np.uint64)).reshape(LANES)
        a = self._operand(v["a"])
        if v["a"] < SCALAR_OPERAND:
            a = permute(a, v["permute"])
        a = lane_ops.modify(a, bool(v["abs_a"]), bool(v["neg_a"]))
        if op >= FUNCTION_BASE:
            return functions.evaluate(functions.Function(op - FUNCTION_BASE), a)
        b = lane_ops.modify(self._operand(v["b"]), bool(v["abs_b"]), bool(v["neg_b"]))
        c = lane_ops.modify(self._operand(v["c"]), False, bool(v["neg_c"]))
        result = lane_ops.apply(_OPS[op], a, b, c)
        if op in COMPARISONS:
            return (result != 0) & self._predicate(v["pred"], v["pred_not"])
        return result

    def _control(self, v: Mapping[str, int], addresses: list[AddressRegister]) -> None:
        state, s = self.state, self.scalars
        d, a = v["d"], s[v["sa"]]
        second = (s[v["sb"]] + v["imm"]) & MASK32
        low, high = v["imm"] & 0xFFFF, v["imm"] >> 16
        scalar = None
        match v["control"]:
            case Control.ADD:
                scalar = a + second
            case Control.SUB:
                scalar = a - second
            case Control.AND:
                scalar = a & second
            case Control.SHL:
                scalar = a << (second & 31)
            case Control.SHR:
                scalar = a >> (second & 31)
            case Control.READ:
                scalar = int(state.vectors[v["vector"], 0])
            case Control.ADDRESS:
                base, pitch = (a + v["imm"]) & MASK32, (s[v["sb"]] + v["imm2"]) & 0xFFFF
                state.addresses[d & 7] = AddressRegister(base=base, pitch=pitch, tile=bool(v["flag"]))
            case Control.STEP:
                state.addresses[d & 7] = addresses[d & 7].with_steps(low, high)
            case Control.MOVE:
                row, column = (a + low) & 0xFFFF, (s[v["sb"]] + high) & 0xFFFF
                state.addresses[d & 7] = addresses[d & 7].moved(row, column, add=bool(v["flag"]))
            case Control.PSET:
                count = (a + v["imm"]) & MASK32
                count -= (count >> 31) << 32
                state.predicates[d] = count > _LANE
            case Control.FENCE:
                self.unfenced[:] = False
        if scalar is not None and d:
            s[d] = scalar & MASK32


def permute(x: NDArray[np.uint32], code: int) -> NDArray[np.uint32]:
    """What each lane of operand a takes (`vector_isa.Permute`)."""
    if code == Permute.NONE:
        return x
    source = _SOURCES[Permute(code)]
    return np.where(source >= 0, x[source], np.uint32(0))
