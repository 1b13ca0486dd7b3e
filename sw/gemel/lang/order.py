"""The order in which a row's elements are combined, the same in the interpreter and in every compiled program.

A row is cut into vectors of 32 elements. Vector j goes to chain j mod 4 in rising order; elements beyond the row's end
are left out. The chains are then combined pairwise, (0 + 1) + (2 + 3), and the 32 lanes in five steps, each with the
lane 16, 8, 4, 2 and 1 apart. Lanes that no element of a chain falls into hold the identity. Columns are combined from
the identity on, row after row. FMA stands for a sum of products: a chain begins with a product and takes the others by
FMA.
"""

from __future__ import annotations

from gemel_golden.lane_ops import LaneOp

__all__ = ["CHAINS", "IDENTITIES", "METHODS"]

CHAINS = 4

IDENTITIES: dict[LaneOp, int] = {
    LaneOp.ADD: 0x8000_0000,
    LaneOp.FMA: 0x8000_0000,
    LaneOp.MAX: 0xFF80_0000,
    LaneOp.MIN: 0x7F80_0000,
    LaneOp.IADD: 0,
    LaneOp.IMAX: 0x8000_0000,
    LaneOp.IMIN: 0x7FFF_FFFF,
}
"""Bits that change nothing; of ADD, those of -0."""

METHODS: dict[LaneOp, str] = {
    LaneOp.ADD: "add",
    LaneOp.FMA: "add",
    LaneOp.MAX: "max",
    LaneOp.MIN: "min",
    LaneOp.IADD: "iadd",
    LaneOp.IMAX: "imax",
    LaneOp.IMIN: "imin",
}
"""The builder's names."""
