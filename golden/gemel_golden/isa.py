"""The instruction table: encodings, fields, limits and text form, for RTL, golden, assembler and documents alike.

An instruction is 64 bytes, little-endian, read as one 512-bit integer. Bits 0-7 hold the opcode, 32-95 the waits and
signals, 96-125 the registers of six address slots, 128-191 the immediate of slot 0 (64 bits), 192-351 those of
slots 1-5 (32 bits each). The sequencer adds the named register to the immediate of each slot that the instruction
has, so that units see resolved addresses. Bits that an instruction doesn't name must be zero.
"""

from __future__ import annotations

from enum import IntEnum

from gemel_golden.encoding import (
    INSTRUCTION_BYTES,
    RANKS,
    SEMAPHORES,
    SYNC_FIELDS,
    AddressSlot,
    Field,
    Instruction,
    Opcode,
    Unit,
)
from gemel_golden.isa_dma import DMA, NO_ROW

__all__ = [
    "FAULT_BITS",
    "INSTRUCTIONS",
    "INSTRUCTION_BYTES",
    "LOOP_DEPTH",
    "NO_ROW",
    "OPERAND_FORMATS",
    "OUTPUT_FORMATS",
    "RANKS",
    "REGISTERS",
    "SEMAPHORES",
    "SEMAPHORE_MAX",
    "SYNC_FIELDS",
    "VECTOR_BUNDLES",
    "Activation",
    "AddressSlot",
    "BlockScale",
    "FaultCode",
    "Field",
    "Instruction",
    "Layout",
    "Opcode",
    "Rounding",
    "ScaleMode",
    "Scaled",
    "Unit",
    "encode",
    "lookup",
]

SEMAPHORE_MAX = 255
REGISTERS = 32
"""Address registers of 64 bits; register 0 always reads zero."""
LOOP_DEPTH = 4
VECTOR_BUNDLES = 1024
"""Bundles of 32 bytes that the vector core's instruction memory holds."""


class ScaleMode(IntEnum):
    """Where MATMUL's drain takes its scale from."""

    NONE = 0
    SCALAR = 1
    COLUMN = 2


class Rounding(IntEnum):
    """How MATMUL's drain rounds to a narrow floating-point format."""

    NEAREST = 0
    STOCHASTIC = 1


class BlockScale(IntEnum):
    """Scales of MATMUL's operands along K: their format and how many elements share one."""

    NONE = 0
    MX = 1
    NVFP4 = 2
    FP32 = 3


class Scaled(IntEnum):
    """How the block scales of one of MATMUL's operands lie in L1."""

    NONE = 0
    ROWS = 1
    TILE = 2


class Activation(IntEnum):
    """MATMUL's activation at the drain."""

    NONE = 0
    RELU = 1


class Layout(IntEnum):
    """How a matrix lies in L1."""

    LINEAR = 0
    TILE = 1


class FaultCode(IntEnum):
    """Why a launch was stopped."""

    NONE = 0
    ILLEGAL_OPCODE = 1
    ILLEGAL_FIELD = 2
    L1_ADDRESS = 3
    MEMORY_READ = 4
    MEMORY_WRITE = 5
    SEMAPHORE_OVERFLOW = 6
    LOOP_NESTING = 7
    FETCH = 8
    ILLEGAL_PACKET = 9
    CANCELLED = 10
    PROTECTION = 11
    WATCHDOG = 12
    ECC_L1 = 13
    ECC_MEMORY = 14
    ECC_FETCH = 15
    INDEX = 16


FAULT_BITS = 5
"""Width of a fault code."""


OPERAND_FORMATS = (2, 3, 4, 5, 6, 8, 9)
"""Codes of the formats that the tensor core multiplies: BF16, FP16, E4M3, E5M2, INT8, E2M1, INT4."""
OUTPUT_FORMATS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
"""Codes of the formats that the drain writes."""

INSTRUCTIONS: dict[Opcode, Instruction] = {
    i.opcode: i
    for i in (
        Instruction(
            opcode=Opcode.NOP,
            unit=Unit.SEQUENCER,
            doc="Does nothing but its waits and signals, in the sequencer.",
        ),
        Instruction(
            opcode=Opcode.HALT,
            unit=Unit.SEQUENCER,
            synchronises=False,
            doc="Ends the program once every unit is drained: all it wrote is visible then.",
        ),
        Instruction(
            opcode=Opcode.FENCE,
            unit=Unit.SEQUENCER,
            synchronises=False,
            doc="Holds the sequencer until every unit is drained: queues empty, L1 and memory writes done.",
        ),
        Instruction(
            opcode=Opcode.SET,
            unit=Unit.SEQUENCER,
            synchronises=False,
            fields=(
                Field(name="rd", lsb=8, width=5, lo=1, default=1, doc="register written"),
                Field(name="rs1", lsb=96, width=5, doc="first register added"),
                Field(name="rs2", lsb=101, width=5, doc="second register added"),
                Field(name="imm", lsb=128, width=64, signed=True, doc="immediate added"),
            ),
            doc="rd = rs1 + rs2 + imm modulo 2^64.",
        ),
        Instruction(
            opcode=Opcode.LOOP,
            unit=Unit.SEQUENCER,
            synchronises=False,
            fields=(Field(name="count", lsb=128, width=24, lo=1, default=1, doc="iterations"),),
            doc=f"Runs the instructions up to the matching END `count` times; {LOOP_DEPTH} loops nest.",
        ),
        Instruction(
            opcode=Opcode.END,
            unit=Unit.SEQUENCER,
            synchronises=False,
            doc="Ends the innermost loop's body.",
        ),
        Instruction(
            opcode=Opcode.BARRIER,
            unit=Unit.SEQUENCER,
            synchronises=False,
            doc=(
                "A FENCE; then holds the sequencer until every core of the launch is at a BARRIER: what each wrote "
                "before its own is visible to all."
            ),
        ),
        Instruction(
            opcode=Opcode.SIGNAL,
            unit=Unit.SEQUENCER,
            fields=(
                Field(
                    name="cores",
                    lsb=128,
                    width=RANKS,
                    lo=1,
                    default=1,
                    doc="mask of ranks: the cores whose semaphores are given; one that the launch hasn't is a fault",
                ),
            ),
            doc="Waits as NOP does, and gives its signals to semaphores of cores of the launch, this one or others.",
        ),
        *DMA,
        Instruction(
            opcode=Opcode.MATMUL,
            unit=Unit.TENSOR,
            fields=(
                Field(name="a_format", lsb=8, width=4, legal=OPERAND_FORMATS, default=6, doc="format code of A"),
                Field(name="b_format", lsb=12, width=4, legal=OPERAND_FORMATS, default=6, doc="format code of B"),
                Field(name="d_format", lsb=16, width=4, legal=OUTPUT_FORMATS, doc="format code of D"),
                Field(name="a_transposed", lsb=20, width=1, doc="A's rows in L1 run along K; without effect at 4 bits"),
                Field(name="b_transposed", lsb=21, width=1, doc="B's rows in L1 run along K; without effect at 4 bits"),
                Field(
                    name="accumulate", lsb=22, width=1, doc="start from C (FP32, or INT32 when A and B are integers)"
                ),
                Field(
                    name="scale_mode",
                    lsb=23,
                    width=2,
                    hi=2,
                    doc="0 none, 1 scalar `scale`, 2 FP32 per column at `scale_at`",
                ),
                Field(name="bias", lsb=25, width=1, doc="add FP32 per column from `bias_at`"),
                Field(name="activation", lsb=26, width=2, hi=1, doc="0 none, 1 ReLU"),
                Field(name="saturate", lsb=28, width=1, default=1, doc="1: overflow gives the largest value"),
                Field(name="block_scale", lsb=29, width=2, doc="scales along K: 0 none, 1 MX, 2 NVFP4, 3 FP32"),
                Field(name="rounding", lsb=31, width=1, doc="0 nearest even, 1 stochastic by the key behind `bias_at`"),
                Field(name="b_scaled", lsb=126, width=2, hi=2, doc="B's block scales: 0 none, 1 per row, 2 per tile"),
                Field(name="m", lsb=352, width=6, lo=1, hi=32, default=1, doc="rows of the tile"),
                Field(name="n", lsb=358, width=6, lo=1, hi=32, default=1, doc="columns of the tile"),
                Field(name="k", lsb=364, width=17, lo=1, hi=1 << 16, default=1, doc="elements of the inner dimension"),
                Field(name="a_scaled", lsb=381, width=2, hi=2, doc="A's block scales: 0 none, 1 per row, 2 per tile"),
                Field(name="a_pitch", lsb=384, width=16, doc="words between A's chunk columns in L1"),
                Field(name="b_pitch", lsb=400, width=16, doc="words between B's chunk columns"),
                Field(name="c_pitch", lsb=416, width=16, doc="words between C's chunk columns"),
                Field(name="d_pitch", lsb=432, width=16, doc="words between D's chunk columns"),
                Field(name="scale", lsb=448, width=32, doc="FP32 bits of the scalar scale"),
                Field(name="a_scales", lsb=480, width=16, signed=True, doc="words from a's to A's block scales"),
                Field(name="b_scales", lsb=496, width=16, signed=True, doc="words from b's to B's block scales"),
            ),
            addresses=(
                AddressSlot(name="a", slot=1, memory=False, multiple=32, doc="L1 address of A's chunk (0, 0)"),
                AddressSlot(name="b", slot=2, memory=False, multiple=32, doc="L1 address of B's chunk (0, 0)"),
                AddressSlot(name="c", slot=3, memory=False, multiple=32, doc="L1 address of C's chunk (0, 0)"),
                AddressSlot(
                    name="d",
                    slot=4,
                    memory=False,
                    multiple=8,
                    doc="L1 address of D's chunk (0, 0) plus column 0's byte offset in it, a multiple of 16 columns",
                ),
                AddressSlot(
                    name="scale_at",
                    slot=5,
                    memory=False,
                    multiple=64,
                    doc="L1 address of the tile's n FP32 scales, linear",
                ),
                AddressSlot(
                    name="bias_at",
                    slot=0,
                    memory=False,
                    multiple=64,
                    doc="L1 address of the tile's n FP32 biases, linear",
                ),
            ),
            doc=(
                "D[i, j] = epilogue(C[i, j] + sum over k of A[i, k] * B[j, k]) for one macro tile: the block-exact dot "
                "product in rising K, then scale, bias, activation and conversion. A is m x k, B is n x k: rows in L1 "
                "are rows of the operand, chunks run along K; transposed: rows in L1 run along K, chunks along m or n. "
                "Block scales are `gemel_golden.scaled`'s: MX E8M0 for 32 elements of K, NVFP4 E4M3 for 16, FP32 for "
                "128; an operand without them counts as 1. They lie in lines of 32, one line for a group of K and one "
                "scale for a row of the tile, line after line: 32 bytes each, or 128 of FP32; with one FP32 scale for "
                "the tile a line is 32 bytes that begin with it. NVFP4 belongs to two 4-bit operands, block scales to "
                "a product that isn't of two integers: `block_scale` has no effect elsewhere. The key of stochastic "
                "rounding is 24 bytes in the word 128 bytes behind `bias_at`: seed (8), element index of D[0, 0] (8), "
                "tensor number (4), indices between rows (4); `gemel_golden.philox.rounding_bits` says what they "
                "give. To integers and 32 bits rounding is nearest even."
            ),
        ),
        Instruction(
            opcode=Opcode.VECTOR,
            unit=Unit.VECTOR,
            fields=(
                Field(name="run", lsb=8, width=1, default=1, doc="execute from `entry` on, after `fetch`"),
                Field(name="fetch", lsb=352, width=11, hi=VECTOR_BUNDLES, doc="bundles copied from L1 at `program`"),
                Field(
                    name="at",
                    lsb=363,
                    width=10,
                    multiple=2,
                    doc="where in the instruction memory they go; beyond its end they go on at its beginning",
                ),
                Field(name="entry", lsb=373, width=10, doc="bundle at which execution begins"),
                *(
                    Field(name=f"x{i}", lsb=384 + 32 * (i - 6), width=32, doc=f"initial value of scalar register {i}")
                    for i in range(6, 10)
                ),
            ),
            addresses=(
                AddressSlot(name="program", slot=0, memory=False, multiple=64, doc="L1 address of the bundles"),
                *(
                    AddressSlot(name=f"x{i}", slot=i, memory=False, doc=f"initial value of scalar register {i}")
                    for i in range(1, 6)
                ),
            ),
            doc=(
                "Copies `fetch` bundles into the vector core's instruction memory and runs the program that begins at "
                "`entry` up to its HALT (see the [vector core's bundles](vector.md)), each bundle as soon as it is "
                "there: it must not store over the bytes that are copied. Scalar registers 1 to 9 start as "
                "x1 to x9, the others as zero; vector, predicate and address registers keep their values. Without "
                "`fetch` and `run` it does nothing but its waits and signals."
            ),
        ),
    )
}
"""The table."""


def encode(opcode: Opcode, **values: int) -> bytes:
    """Encode one instruction; see `Instruction.encode`."""
    return INSTRUCTIONS[opcode].encode(**values)


def lookup(raw: bytes) -> Instruction | None:
    """The table's row for these 64 bytes, or ``None`` for an unknown opcode."""
    try:
        return INSTRUCTIONS[Opcode(raw[0])]
    except ValueError:
        return None
