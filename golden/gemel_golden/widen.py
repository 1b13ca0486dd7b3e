"""Codes of any format to FP32, exactly: what a load of the vector core does."""

import numpy as np
from numpy.typing import ArrayLike

from gemel_golden.formats import Format, as_codes, by_name, decode
from gemel_golden.fp32 import Bits, bits_of


def widen(codes: ArrayLike, fmt: Format | str) -> Bits:
    """FP32 bits of codes (any shape), exact for every code. NaN is made canonical.

    The 32-bit formats pass bit by bit: INT32 stays an integer, an FP32 NaN keeps its bits.
    """
    fmt = by_name(fmt)
    if fmt.bits == 32:
        return as_codes(codes, fmt)
    return bits_of(decode(codes, fmt).astype(np.float64))
