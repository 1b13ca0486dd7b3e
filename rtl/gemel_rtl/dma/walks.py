"""What each DMA instruction walks: the fields it doesn't have, as LOAD or STORE would have them."""

from collections.abc import Mapping

from gemel_golden.isa import Opcode

__all__ = ["LOADS", "STORES"]

ONE_DIMENSION = {"count2": 1, "count3": 1}
WHOLE = {"valid_bytes": 1 << 16, "valid1": (1 << 16) - 1}

LOADS: Mapping[Opcode, Mapping[str, int]] = {
    Opcode.LOAD: {},
    Opcode.GATHER: WHOLE | ONE_DIMENSION,
    Opcode.IM2COL: WHOLE,
    Opcode.LOAD_TRANSPOSED: WHOLE | ONE_DIMENSION,
}
"""The LOAD unit's."""

STORES: Mapping[Opcode, Mapping[str, int]] = {
    Opcode.STORE: {},
    Opcode.SCATTER: ONE_DIMENSION,
    Opcode.SCATTER_ADD: ONE_DIMENSION,
    Opcode.STORE_CONVERT: ONE_DIMENSION,
    Opcode.FILL: {},
}
"""The STORE unit's."""
