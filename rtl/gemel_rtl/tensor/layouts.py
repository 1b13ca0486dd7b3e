"""Descriptors: what each stage of the tensor core needs to know of a MATMUL."""

from amaranth.lib import data

from gemel_golden.isa import INSTRUCTIONS, AddressSlot, Field, Opcode
from gemel_rtl.interfaces import PC_BITS, SEMAPHORE_PAIR

__all__ = [
    "ADDRESSES",
    "FIELDS",
    "IN_FLIGHT",
    "TILE_BITS",
    "WORD_BITS",
    "DrainDescriptor",
    "FetchDescriptor",
    "PreloadDescriptor",
    "RoundingKey",
    "ScheduleDescriptor",
    "StageFault",
    "WriteDescriptor",
]

MATMUL = INSTRUCTIONS[Opcode.MATMUL]
FIELDS: dict[str, Field] = {field.name: field for field in MATMUL.all_fields}
ADDRESSES: dict[str, AddressSlot] = {slot.name: slot for slot in MATMUL.addresses}

IN_FLIGHT = 4
"""Instructions between their start and their end."""

TILE_BITS = 3
"""Bits of a tile number: stages compare numbers that differ by less than half of what they can count."""

WORD_BITS = 33
"""Bits of a word address in the arithmetic: 2^26 words of base plus 2^12 columns of 2^16 words don't wrap."""


FAULT_WORD_BITS = 58
"""Bits of the word address of a fault: a bias vector's address has 64 bits."""


class RoundingKey(data.Struct):
    """The key of stochastic rounding, as L1 holds it."""

    seed: 64
    index: 64
    """Of column 0 of row 0."""
    tensor: 32
    stride: 32
    """Indices between rows."""


class FetchDescriptor(data.Struct):
    """One operand: where it lies in L1 and how many rows and elements of K there are."""

    base: 27
    """Chunk address."""
    pitch: 16
    rows: 6
    k: 17
    transposed: 1
    wide: 1
    """The elements have 16 bits."""
    four: 1
    """The elements have 4 bits."""
    scaling: 2
    """The block scales that are read (`BlockScale`)."""
    one_scale: 1
    """There is one for all rows."""
    scales: 26
    """Their first word."""


class ScheduleDescriptor(data.Struct):
    """What the array computes."""

    m: 6
    n: 6
    k: 17
    a_format: 4
    b_format: 4
    a_transposed: 1
    b_transposed: 1
    accumulate: 1
    block_scale: 2
    """The block scales that have an effect (`BlockScale`)."""
    a_scaled: 2
    b_scaled: 2


class PreloadDescriptor(data.Struct):
    """What is read before a tile is computed or drained: C, scales, biases."""

    m: 6
    n: 6
    accumulate: 1
    c: 27
    c_pitch: 16
    column_scale: 1
    scale_word: 26
    bias: 1
    bias_word: FAULT_WORD_BITS
    stochastic: 1


class DrainDescriptor(data.Struct):
    """What is done to the accumulators on their way out."""

    m: 6
    n: 6
    integer: 1
    fmt: 4
    saturate: 1
    scale_mode: 2
    scale: 32
    bias: 1
    relu: 1
    stochastic: 1
    misaligned: 1


class WriteDescriptor(data.Struct):
    """Where a tile goes, and what its end means to others."""

    m: 6
    n: 6
    fmt: 4
    d: 32
    d_pitch: 16
    misaligned: 1
    address: 64
    """The first address that isn't aligned."""
    signal: SEMAPHORE_PAIR
    pc: PC_BITS


class StageFault(data.Struct):
    """The first access of a stage beyond L1: the number of the tile it belongs to, and the word."""

    valid: 1
    tile: TILE_BITS
    word: FAULT_WORD_BITS
