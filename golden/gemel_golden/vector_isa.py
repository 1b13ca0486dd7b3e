"""The vector core's table: a bundle of four slots, its fields, operations and text form, for RTL, golden and compiler.

A bundle is 32 bytes, little-endian, read as one 256-bit integer: an arithmetic slot, a load slot, a store slot and a
control slot, which all read the state before the bundle and write it after. A vector has 32 elements of 32 bits on
every chip, so programs and results don't depend on a chip's size.
"""

from __future__ import annotations

from enum import IntEnum

from gemel_golden.functions import Function
from gemel_golden.isa import Field
from gemel_golden.lane_ops import LaneOp

__all__ = [
    "ADDRESS_REGISTERS",
    "ALU_OPS",
    "BUNDLE",
    "BUNDLE_BYTES",
    "COMPARISONS",
    "CONTROL_DOC",
    "FUNCTION_BASE",
    "HAZARDS",
    "IOTA",
    "LANES",
    "LOOPS",
    "NOP",
    "PHILOX",
    "PHILOX_DOC",
    "PREDICATES",
    "SCALARS",
    "SCALAR_OPERAND",
    "TWO_OPERANDS",
    "VECTORS",
    "Control",
    "Permute",
    "check_bundle",
    "decode_bundle",
    "encode_bundle",
    "writes_predicate",
    "writes_vector",
]

LANES = 32
"""Elements of a vector."""
BUNDLE_BYTES = 32
VECTORS = 32
"""Vector registers."""
SCALARS = 16
"""Scalar registers of 32 bits; register 0 always reads zero."""
ADDRESS_REGISTERS = 8
PREDICATES = 4
"""Predicate registers, a bit a lane; predicate 0 is always all ones."""
LOOPS = 4
"""Loops that nest."""
SCALAR_OPERAND = 32
"""Operand codes from here on name scalar registers, whose value every lane gets."""

FUNCTION_BASE = 32
"""The arithmetic slot's operation 32 + f is function f of `gemel_golden.functions`."""
PHILOX = 48
IOTA = 49
NOP = 63

COMPARISONS = frozenset(op for op in LaneOp if LaneOp.FLT <= op <= LaneOp.IS_NAN)
"""Operations that write a predicate instead of a vector."""
TWO_OPERANDS = frozenset(
    op for op in LaneOp if op not in (LaneOp.MOV, LaneOp.F2I, LaneOp.I2F, LaneOp.FLOOR, LaneOp.IS_NAN)
)
"""Operations that read b as a vector; c is FMA's alone, and a is read by all but PHILOX, IOTA and NOP."""

ALU_OPS: dict[int, str] = {
    **{int(op): op.name for op in LaneOp},
    **{FUNCTION_BASE + f: f.name for f in Function},
    PHILOX: "PHILOX",
    IOTA: "IOTA",
    NOP: "NOP",
}
"""Names of the arithmetic slot's operations by code."""


PHILOX_DOC = (
    "Philox-4x32-10 with the key s[b], s[b + 1]: lane i takes word i mod 4 of counter (s[b + 3] + i // 4 as 64 bits, "
    "s[b + 2], 0), with b less 32"
)
HAZARDS = """
Bundles issue in order, one a cycle. A bundle waits until no register that it reads or writes waits for a result, so
that a program's results don't depend on these cycles. It also waits for a free function or Philox unit, in the cycle
after a store if it stores itself, and while eight loads or four stores are under way.

Loads don't wait for stores: what a store wrote is there for loads after a FENCE, and a load without it is a race, which
golden reports as an error. Stores wait until L1 has taken all loads before them. HALT implies a FENCE.

Of several changes to an address register in one bundle the control slot's wins. After a fault the state of the vector
core isn't defined.
"""


class Permute(IntEnum):
    """What lane i of operand a takes, where that is a vector.

    XOR: lane i ^ s. UP: lane i - s, zeros coming in. FIRST and LAST: the first or the last lane.
    """

    NONE = 0
    XOR1 = 1
    XOR2 = 2
    XOR4 = 3
    XOR8 = 4
    XOR16 = 5
    UP1 = 6
    UP2 = 7
    UP4 = 8
    UP8 = 9
    UP16 = 10
    FIRST = 11
    LAST = 12


class Control(IntEnum):
    """The control slot's operations; `imm` is added to scalar `b` where both are operands."""

    NOP = 0
    HALT = 1
    ADD = 2
    SUB = 3
    AND = 4
    SHL = 5
    SHR = 6
    READ = 7
    LOOP = 8
    ADDRESS = 9
    STEP = 10
    MOVE = 11
    PSET = 12
    FENCE = 13


CONTROL_DOC: dict[Control, str] = {
    Control.NOP: "Nothing.",
    Control.HALT: "The program ends; all its stores are visible when VECTOR gives its signals.",
    Control.ADD: "s[d] = s[a] + (s[b] + imm), modulo 2^32.",
    Control.SUB: "s[d] = s[a] - (s[b] + imm), modulo 2^32.",
    Control.AND: "s[d] = s[a] & (s[b] + imm).",
    Control.SHL: "s[d] = s[a] << ((s[b] + imm) mod 32).",
    Control.SHR: "s[d] = s[a] >> ((s[b] + imm) mod 32), logical.",
    Control.READ: "s[d] = element 0 of v[vector]; not in one bundle with a store.",
    Control.LOOP: (
        "Runs the next `imm2` bundles s[a] + imm times; 0 times skips them. A bundle ends one loop at most: an inner "
        "loop ends before its outer one. Costs one cycle more."
    ),
    Control.ADDRESS: (
        "Address register d[0:3] = base s[a] + imm (bytes, a multiple of 32), pitch s[b] + imm2, layout `flag`; "
        "row, column and steps become 0."
    ),
    Control.STEP: "Steps of address register d: rows imm[0:16], columns imm[16:32], signed.",
    Control.MOVE: (
        "Row and column of address register d = s[a] + imm[0:16] and s[b] + imm[16:32]; with `flag` these are added. "
        "Both are modulo 2^16."
    ),
    Control.PSET: "p[d] = lanes below s[a] + imm, signed: none below 1, all from 32 on.",
    Control.FENCE: "Waits until every earlier store is visible to loads.",
}


def _access(prefix: str, lsb: int) -> list[Field]:
    """The fields that a load and a store share; they take 31 bits."""
    where = "row and column are added to the address register's"
    return [
        Field(name=f"{prefix}_en", lsb=lsb, width=1, doc="the slot is used"),
        Field(name=f"{prefix}_reg", lsb=lsb + 1, width=5, doc="vector register"),
        Field(name=f"{prefix}_addr", lsb=lsb + 6, width=3, doc="address register"),
        Field(name=f"{prefix}_format", lsb=lsb + 9, width=4, hi=10, doc="format code in L1"),
        Field(name=f"{prefix}_element", lsb=lsb + 13, width=1, doc="one element: loads fill all lanes, stores lane 0"),
        Field(name=f"{prefix}_row", lsb=lsb + 14, width=5, doc=where),
        Field(name=f"{prefix}_col", lsb=lsb + 19, width=8, doc="column in vectors of 32 elements, or in elements"),
        Field(name=f"{prefix}_post", lsb=lsb + 27, width=1, doc="then the address register makes its step"),
        Field(name=f"{prefix}_pred", lsb=lsb + 28, width=2, doc="predicate"),
        Field(name=f"{prefix}_not", lsb=lsb + 30, width=1, doc="the predicate's complement"),
    ]


_FIELDS: tuple[Field, ...] = (
    Field(name="op", lsb=0, width=8, legal=tuple(sorted(ALU_OPS)), default=NOP, doc="operation of the arithmetic slot"),
    Field(name="rd", lsb=8, width=5, doc="vector register written"),
    Field(name="a", lsb=13, width=6, hi=47, doc="operand: vector register, or 32 + scalar register"),
    Field(name="b", lsb=19, width=6, hi=47, doc="operand"),
    Field(name="c", lsb=25, width=6, hi=47, doc="operand"),
    Field(name="permute", lsb=31, width=4, hi=12, doc="which lane of a vector a lane of operand a takes"),
    Field(name="neg_a", lsb=35, width=1, doc="negate a (the sign bit), after its absolute value"),
    Field(name="neg_b", lsb=36, width=1, doc="negate b"),
    Field(name="neg_c", lsb=37, width=1, doc="negate c"),
    Field(name="abs_a", lsb=38, width=1, doc="absolute value of a (the sign bit cleared)"),
    Field(name="abs_b", lsb=39, width=1, doc="absolute value of b"),
    Field(name="pred", lsb=40, width=2, doc="predicate: other lanes of rd stay; a comparison gives 0 there"),
    Field(name="pred_not", lsb=42, width=1, doc="the predicate's complement"),
    Field(name="pd", lsb=43, width=2, doc="predicate that a comparison writes, 1 to 3"),
    *_access("ld", 64),
    *_access("st", 112),
    Field(name="st_saturate", lsb=143, width=1, default=1, doc="overflow of a narrow format gives its largest value"),
    Field(name="st_stochastic", lsb=144, width=1, doc="stochastic rounding with the high bits of `st_random`"),
    Field(name="st_random", lsb=145, width=5, doc="vector register of random words"),
    Field(name="control", lsb=168, width=4, hi=max(Control), doc="operation of the control slot"),
    Field(name="d", lsb=172, width=4, doc="what it writes: scalar, address or predicate register"),
    Field(name="sa", lsb=176, width=4, doc="scalar operand a"),
    Field(name="sb", lsb=180, width=4, doc="scalar operand b"),
    Field(name="imm", lsb=184, width=32, doc="immediate"),
    Field(name="imm2", lsb=216, width=16, doc="second immediate"),
    Field(name="flag", lsb=232, width=1, doc="ADDRESS: tile layout; MOVE: add"),
    Field(name="vector", lsb=233, width=5, doc="vector register of READ"),
)

BUNDLE: dict[str, Field] = {field.name: field for field in _FIELDS}
"""The fields by name."""

_USED = sum(((1 << f.width) - 1) << f.lsb for f in _FIELDS)


def encode_bundle(**values: int) -> bytes:
    """32 bytes. Unknown names and illegal values raise ``ValueError``; negative immediates are taken modulo."""
    for name in values:
        if name not in BUNDLE:
            raise ValueError(f"a bundle has no field {name!r}; it has {', '.join(BUNDLE)}")
    bits = 0
    for name, field in BUNDLE.items():
        value = int(values.get(name, field.default))
        if name in ("imm", "imm2") and -(1 << (field.width - 1)) <= value < 0:
            value += 1 << field.width
        try:
            field.check(value)
        except ValueError as error:
            raise ValueError(f"bundle: {error}") from None
        bits |= field.insert(value)
    raw = bits.to_bytes(BUNDLE_BYTES, "little")
    if (wrong := check_bundle(raw)) is not None:
        raise ValueError(f"bundle: {wrong}")
    return raw


def decode_bundle(raw: bytes) -> dict[str, int]:
    """Field values of 32 bytes; nothing is checked (see `check_bundle`)."""
    bits = int.from_bytes(raw, "little")
    return {name: field.extract(bits) for name, field in BUNDLE.items()}


def writes_vector(op: int) -> bool:
    """Whether the arithmetic slot's operation writes a vector register."""
    return op != NOP and op not in COMPARISONS


def writes_predicate(op: int) -> bool:
    """Whether the arithmetic slot's operation writes a predicate register."""
    return op in COMPARISONS


def check_bundle(raw: bytes) -> str | None:
    """What is illegal in these 32 bytes, as a sentence, or ``None``."""
    bits = int.from_bytes(raw, "little")
    if stray := bits & ~_USED:
        return f"reserved bit {(stray & -stray).bit_length() - 1} is set"
    v = decode_bundle(raw)
    for name, field in BUNDLE.items():
        try:
            field.check(v[name])
        except ValueError as error:
            return str(error)
    if v["ld_en"] and writes_vector(v["op"]) and v["ld_reg"] == v["rd"]:
        return f"load and arithmetic both write vector register {v['rd']}"
    if writes_predicate(v["op"]):
        if v["pd"] == 0:
            return "a comparison can't write predicate 0"
        if v["control"] == Control.PSET and v["d"] == v["pd"]:
            return f"PSET and comparison both write predicate {v['pd']}"
    if v["control"] == Control.PSET and not 1 <= v["d"] < PREDICATES:
        return f"PSET writes predicates 1 to 3, not {v['d']}"
    if v["op"] == PHILOX and not SCALAR_OPERAND <= v["b"] <= SCALAR_OPERAND + SCALARS - 4:
        return f"PHILOX takes four scalar registers from b = 32..44 on, not {v['b']}"
    if v["control"] == Control.READ and v["st_en"]:
        return "READ and a store can't share a bundle"
    for slot in ("ld", "st"):
        if v[f"{slot}_en"] and v[f"{slot}_element"] and v[f"{slot}_format"] in (8, 9):
            return f"{slot}: single elements of 4-bit formats can't be accessed"
    return None
