"""The widener on every code of the narrow formats and on many of the wide ones, against golden."""

import numpy as np

from gemel_golden.formats import FORMATS
from gemel_golden.widen import widen
from gemel_rtl.numeric.widen import Widener
from gemel_verif.numbers import fp32_values, report
from gemel_verif.numeric_benches import Lanes, Registered
from gemel_verif.streams import through

LANES = 16


def test_widener(rng: np.random.Generator) -> None:
    columns = []
    for fmt in FORMATS.values():
        codes = fp32_values(rng, 1 << 12) if fmt.bits == 32 else np.arange(1 << max(fmt.bits, 8), dtype=np.uint32)
        above = rng.integers(0, 1 << 32, codes.size) >> fmt.bits << fmt.bits
        own = (1 << fmt.bits) - 1
        i = above.astype(np.uint32) | codes & np.uint32(own)
        enable = rng.random(i.size) < (0.5 if fmt.bits == 32 else 1)
        expected = np.where(enable, widen(i & np.uint32(own), fmt), 0)
        columns.append((i, np.full(i.size, fmt.code), enable, expected))
    i, fmt, enable, expected = (np.concatenate(column) for column in zip(*columns, strict=True))
    operands = {"i": i, "fmt": fmt, "enable": enable}
    bank = Lanes(lambda: Registered(Widener), LANES)
    got = through(bank, "wideners", Registered.latency, ("o",), operands)
    report(got["o"], expected, **operands)
