"""How many cycles a program takes: its bundles one by one, held by registers and units under way."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gemel.vector.ir import Op, Slot
from gemel.vector.timing import FETCH, LOADS, LOOP_CYCLES, STORE_VISIBLE, latency, occupies
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import (
    BUNDLE_BYTES,
    IOTA,
    NOP,
    PHILOX,
    SCALARS,
    TWO_OPERANDS,
    Control,
    decode_bundle,
    writes_predicate,
)

__all__ = ["Estimate", "estimate"]

_SCALAR = 32
_MASK = 0xFFFF_FFFF
_LIMIT = 10_000_000


@dataclass(frozen=True)
class Estimate:
    """Cycles of a program and of its loops."""

    cycles: int
    """From its first bundle to the last result."""
    issued: int
    """Bundles issued."""
    loops: dict[int, tuple[int, int]]
    """By the index of the LOOP bundle: iterations run, and cycles spent in them."""


@dataclass
class _Bundle:
    """What matters of a bundle."""

    values: dict[str, int]
    reads: list[tuple[str, int]] = field(default_factory=list)
    writes: list[tuple[tuple[str, int], int]] = field(default_factory=list)
    units: list[tuple[str, int]] = field(default_factory=list)
    load: tuple[int, int] | None = None
    """Cycles of L1's port, where loads queue up, and cycles until the result."""


def estimate(program: bytes, arguments: Mapping[int, int] | None = None, *, fetched: range | None = None) -> Estimate:
    """Run the timing model. `arguments` gives x1 to x9, which loops may count by; what READ gives counts as zero.

    fetched: where a fetch that begins with the program has its bundles, `range(len(program) // 32)` for one that has no
    others; `None`: they are there.

    Raises ValueError for a program that doesn't end.
    """
    bundles = [_bundle(decode_bundle(program[i : i + BUNDLE_BYTES])) for i in range(0, len(program), BUNDLE_BYTES)]
    scalars = [0] * SCALARS
    for number, value in (arguments or {}).items():
        scalars[number] = value & _MASK
    free: dict[str, int] = defaultdict(int)
    ready: dict[tuple[str, int], int] = defaultdict(int)
    stack: list[tuple[int, int, int, int]] = []
    loops: dict[int, tuple[int, int]] = {}
    loads: deque[int] = deque(maxlen=LOADS)
    pc = now = last_store = issued = port = beats_taken = 0
    while True:
        if pc >= len(bundles) or issued == _LIMIT:
            raise ValueError("the program doesn't end with HALT")
        bundle = bundles[pc]
        control = bundle.values["control"]
        time = max([now, *(ready[reg] for reg in bundle.reads), *(free[unit] for unit, _ in bundle.units)])
        if control == Control.FENCE:
            time = max(time, last_store)
        if fetched:
            time = max(time, FETCH + (fetched.start + pc) // 2 + beats_taken)
        if bundle.load and len(loads) == LOADS:
            time = max(time, loads[0])
        for unit, cycles in bundle.units:
            free[unit] = time + cycles
        for reg, cycles in bundle.writes:
            ready[reg] = time + cycles
        if bundle.load:
            beats, cycles = bundle.load
            start, port, beats_taken = max(time, port), max(time, port) + beats, beats_taken + beats
            ready["v", bundle.values["ld_reg"]] = start + cycles
            loads.append(start + cycles)
        if bundle.values["st_en"]:
            last_store = time + STORE_VISIBLE
        now, issued = time + 1, issued + 1
        _scalar(bundle.values, scalars)
        if control == Control.HALT:
            came = FETCH + fetched.stop // 2 + beats_taken if fetched else 0
            return Estimate(max([now, last_store, came, *ready.values()]), issued, loops)
        if control == Control.LOOP:
            now += LOOP_CYCLES
            count = (scalars[bundle.values["sa"]] + bundle.values["imm"]) & _MASK
            if count:
                stack.append((pc, pc + bundle.values["imm2"], count, now))
                loops.setdefault(pc, (0, 0))
                pc += 1
            else:
                pc += bundle.values["imm2"] + 1
        elif stack and pc == stack[-1][1]:
            start, end, left, since = stack.pop()
            runs, spent = loops[start]
            loops[start] = runs + 1, spent + now - since
            if left > 1:
                stack.append((start, end, left - 1, now))
                pc = start + 1
            else:
                pc += 1
        else:
            pc += 1


def _bundle(v: dict[str, int]) -> _Bundle:
    found = _Bundle(v)
    op = v["op"]
    if op != NOP:
        work = Op(Slot.ALU, v)
        named = [name for name, used in (("a", op not in (PHILOX, IOTA)), ("b", op in TWO_OPERANDS)) if used]
        named += ["c"] if op == LaneOp.FMA else []
        found.reads += [("v", v[name]) for name in named if v[name] < _SCALAR] + [("p", v["pred"])]
        target = ("p", v["pd"]) if writes_predicate(op) else ("v", v["rd"])
        found.reads.append(target)
        found.writes.append((target, latency(work)))
        found.units += occupies(work)
    if v["ld_en"]:
        work = Op(Slot.LOAD, v)
        found.reads += [("p", v["ld_pred"]), ("v", v["ld_reg"])]
        found.load = occupies(work)[0][1], latency(work)
    if v["st_en"]:
        found.reads += [("p", v["st_pred"]), ("v", v["st_reg"])]
        found.reads += [("v", v["st_random"])] if v["st_stochastic"] else []
        found.units += occupies(Op(Slot.STORE, v))
    if v["control"] == Control.READ:
        found.reads.append(("v", v["vector"]))
    if v["control"] == Control.PSET:
        found.reads.append(("p", v["d"]))
    return found


def _scalar(v: Mapping[str, int], s: list[int]) -> None:
    """Scalar arithmetic, which loops may count by."""
    a, b = s[v["sa"]], (s[v["sb"]] + v["imm"]) & _MASK
    result = {
        Control.ADD: a + b,
        Control.SUB: a - b,
        Control.AND: a & b,
        Control.SHL: a << (b & 31),
        Control.SHR: a >> (b & 31),
        Control.READ: 0,
    }.get(Control(v["control"]))
    if result is not None and v["d"]:
        s[v["d"]] = result & _MASK
