"""Random programs of the vector core, and the instructions that run one between memory and L1."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gemel_golden.isa import VECTOR_BUNDLES, Opcode, encode
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import (
    ALU_OPS,
    BUNDLE_BYTES,
    COMPARISONS,
    IOTA,
    LANES,
    NOP,
    PHILOX,
    SCALAR_OPERAND,
    SCALARS,
    VECTORS,
    Control,
    Permute,
    encode_bundle,
    writes_vector,
)

__all__ = ["DUMP", "L1_BYTES", "Regions", "program_of", "random_bundles"]

L1_BYTES = 64 * 1024
"""L1 that these programs use: of any chip."""
CODE = 0
READ, WRITE, DUMP = 16 * 1024, 36 * 1024, 57 * 1024
SIDE = 20 * 1024
"""Bytes of the regions that are read and written."""
READERS, WRITERS = (0, 1, 2, 3), (4, 5, 6)
DUMPER = 7
ROWS, COLUMNS = 8, 3
"""Rows and columns of an access before the steps; they keep it within its region."""
ELEMENT_FORMATS = tuple(code for code in range(11) if code not in (8, 9))


@dataclass
class Regions:
    """What the generator knows of a program under construction."""

    rng: np.random.Generator
    bundles: list[bytes] = field(default_factory=list)
    unfenced: bool = False
    depth: int = 0

    def emit(self, **values: int) -> None:
        self.bundles.append(encode_bundle(**values))


def random_bundles(rng: np.random.Generator, length: int = 120) -> bytes:
    """A program that uses everything: about `length` random bundles in nested loops, then all its state is stored."""
    g = Regions(rng)
    for d in range(1, SCALARS):
        g.emit(control=Control.ADD, d=d, imm=_word(rng))
    for register in (*READERS, *WRITERS):
        tile = bool(rng.integers(2))
        base = (READ if register in READERS else WRITE) + 32 * int(rng.integers(0, 8))
        pitch = int(rng.integers(9, 13)) if tile else int(rng.integers(12, 20))
        g.emit(control=Control.ADDRESS, d=register, imm=base, imm2=pitch, flag=tile)
        g.emit(control=Control.STEP, d=register, imm=_pair(int(rng.integers(0, 2)), int(rng.integers(0, 2))))
    for p in (1, 2, 3):
        g.emit(control=Control.PSET, d=p, imm=int(rng.integers(-2, 40)))
    _block(g, length)
    _dump(g)
    g.emit(control=Control.HALT)
    assert len(g.bundles) <= VECTOR_BUNDLES, len(g.bundles)
    return b"".join(g.bundles)


def _pair(low: int, high: int) -> int:
    return (low & 0xFFFF) | (high & 0xFFFF) << 16


def _word(rng: np.random.Generator) -> int:
    """A scalar: a number of everyday size, a small integer or any bits."""
    kind = rng.integers(3)
    if kind == 0:
        return int(np.float32(rng.normal()).view(np.uint32))
    return int(rng.integers(0, 64)) if kind == 1 else int(rng.integers(0, 1 << 32))


def _block(g: Regions, length: int) -> None:
    """Straight bundles and loops. Registers that step begin at a place of their own, so that loops don't add up."""
    rng = g.rng
    stepping = {int(register) for register in rng.choice(7, 2, replace=False)}
    for register in stepping:
        g.emit(control=Control.MOVE, d=register, imm=_pair(int(rng.integers(3)), 0))
    steps = dict.fromkeys(stepping, 3)
    done = 0
    while done < length:
        if g.depth < 3 and length - done > 12 and rng.random() < 0.06:
            inner = int(rng.integers(4, (length - done) // 2))
            done += inner
            place = len(g.bundles)
            g.emit()
            fenced = g.unfenced
            g.depth += 1
            g.emit(control=Control.FENCE)
            g.unfenced = False
            _block(g, inner)
            g.emit()
            g.depth -= 1
            g.unfenced = g.unfenced or fenced
            count = int(rng.choice([0, 1, 2, 3], p=[0.1, 0.2, 0.4, 0.3]))
            body = len(g.bundles) - place - 1
            g.bundles[place] = encode_bundle(control=Control.LOOP, imm=count, imm2=body)
            g.emit()
            continue
        done += 1
        g.emit(**_bundle(g, steps))


def _bundle(g: Regions, steps: dict[int, int]) -> dict[str, int]:
    rng = g.rng
    v: dict[str, int] = {}
    if rng.random() < 0.8:
        v |= _arithmetic(rng)
    if rng.random() < 0.4:
        register = int(rng.choice(READERS if g.unfenced else (*READERS, *WRITERS)))
        v |= _access(rng, "ld", register, steps, range(11))
        if writes_vector(v.get("op", NOP)) and v["ld_reg"] == v["rd"]:
            v["ld_reg"] = (v["rd"] + 1) % VECTORS
    if rng.random() < 0.3:
        v |= _access(rng, "st", int(rng.choice(WRITERS)), steps, range(11))
        v |= {"st_saturate": int(rng.integers(2)), "st_stochastic": int(rng.integers(2))}
        v["st_random"] = int(rng.integers(VECTORS))
        g.unfenced = True
    v |= _control(g, v)
    return v


def _arithmetic(rng: np.random.Generator) -> dict[str, int]:
    op = int(rng.choice([code for code in ALU_OPS if code != NOP]))
    if rng.random() < 0.3:
        op = int(rng.choice([0, 1, 2]))
    v = {name: int(rng.integers(2)) for name in ("neg_a", "neg_b", "neg_c", "abs_a", "abs_b", "pred_not")}
    v |= {name: int(rng.integers(48)) if rng.random() < 0.4 else int(rng.integers(VECTORS)) for name in "abc"}
    v |= {"op": op, "rd": int(rng.integers(VECTORS)), "pred": int(rng.integers(4)) if rng.random() < 0.4 else 0}
    v["pred_not"] &= v["pred"] > 0
    if rng.random() < 0.3:
        v["permute"] = int(rng.integers(len(Permute)))
    if op in COMPARISONS:
        v["pd"] = int(rng.integers(1, 4))
    if op == PHILOX:
        v["b"] = 32 + int(rng.integers(0, SCALARS - 3))
    return v


def _access(rng: np.random.Generator, slot: str, register: int, steps: dict[int, int], formats: Any) -> dict[str, int]:
    element = bool(rng.random() < 0.2)
    v = {
        "en": 1,
        "reg": int(rng.integers(VECTORS)),
        "addr": register,
        "format": int(rng.choice(ELEMENT_FORMATS if element else list(formats))),
        "element": element,
        "row": int(rng.integers(ROWS)),
        "col": int(rng.integers(COLUMNS * LANES if element else COLUMNS)),
        "pred": int(rng.integers(4)) if rng.random() < 0.3 else 0,
    }
    v["not"] = int(rng.integers(2)) if v["pred"] else 0
    if steps.get(register, 0) and rng.random() < 0.5:
        steps[register] -= 1
        v["post"] = 1
    return {f"{slot}_{name}": value for name, value in v.items()}


def _control(g: Regions, v: dict[str, int]) -> dict[str, int]:
    rng = g.rng
    kind = rng.random()
    d, sa, sb = (int(rng.integers(SCALARS)) for _ in range(3))
    if kind < 0.2:
        op = int(rng.choice([Control.ADD, Control.SUB, Control.AND, Control.SHL, Control.SHR]))
        return {"control": op, "d": d, "sa": sa, "sb": sb, "imm": _word(rng)}
    if kind < 0.25 and "st_en" not in v:
        return {"control": Control.READ, "d": d, "vector": int(rng.integers(VECTORS))}
    if kind < 0.32:
        p = int(rng.integers(1, 4))
        return {} if p == v.get("pd") else {"control": Control.PSET, "d": p, "imm": int(rng.integers(-2, 40))}
    if kind < 0.36 and "st_en" not in v:
        g.unfenced = False
        return {"control": Control.FENCE}
    return {}


def _dump(g: Regions) -> None:
    """Store every vector register, and predicates and scalars by way of one."""
    g.emit(control=Control.ADDRESS, d=DUMPER, imm=DUMP, imm2=4)
    g.emit(control=Control.STEP, d=DUMPER, imm=_pair(1, 0))
    dump = {"st_en": 1, "st_addr": DUMPER, "st_format": 1, "st_post": 1}
    for r in range(VECTORS):
        g.emit(**dump, st_reg=r)
    for p in (1, 2, 3):
        g.emit(op=LaneOp.MOV, rd=p, a=SCALAR_OPERAND, neg_a=1)
        g.emit(op=IOTA, rd=p, pred=p)
        g.emit(**dump, st_reg=p)
    for s in range(1, SCALARS):
        g.emit(op=LaneOp.MOV, rd=s, a=SCALAR_OPERAND + s)
        g.emit(**dump, st_reg=s)


def program_of(bundles: bytes, arguments: list[int], *, entry: int = 0, code: int = CODE) -> bytes:
    """Argument 1 is the address of `L1_BYTES` bytes: they go to L1, the program runs, and all of L1 comes back.

    The bundles stand at the beginning of these bytes, at CODE; they are fetched from address `code` on.
    """
    assert len(bundles) <= READ
    rows = {"mem_reg": 1, "l1": CODE, "count1": L1_BYTES // 1024, "pitch": 32, "stride1": 1024, "bytes": 1024}
    memory = {"valid_bytes": 1024, "valid1": L1_BYTES // 1024}
    given = {f"x{i}": value for i, value in enumerate(arguments, 1)}
    place = {"program": code, "fetch": len(bundles) // BUNDLE_BYTES, "at": entry, "entry": entry}
    instructions = (
        (Opcode.LOAD, rows | memory | {"signal0": 0, "signal0_count": 1}),
        (Opcode.VECTOR, place | given | {"wait0": 0, "wait0_count": 1, "signal0": 1, "signal0_count": 1}),
        (Opcode.STORE, rows | {"wait0": 1, "wait0_count": 1}),
        (Opcode.HALT, {}),
    )
    return b"".join(encode(opcode, **values) for opcode, values in instructions)
