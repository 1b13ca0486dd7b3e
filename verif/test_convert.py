"""The converter on every pattern of the high half of FP32, against golden."""

import numpy as np

from gemel_golden.formats import FORMATS
from gemel_golden.rounding import from_fp32
from gemel_rtl.numeric.convert import RESULTS, Converter
from gemel_verif.numbers import report
from gemel_verif.numeric_benches import Lanes
from gemel_verif.streams import through

LANES = 16


def test_converter(rng: np.random.Generator) -> None:
    high = np.arange(1 << 16, dtype=np.uint32) << 16
    columns = []
    for fmt in RESULTS:
        low = rng.choice(np.array([0, 1, 0x7FFF, 0x8000, 0x8001], np.uint32), high.size)
        i = high | np.where(rng.random(high.size) < 0.5, low, rng.integers(0, 1 << 16, high.size, dtype=np.uint32))
        saturate = bool(rng.integers(2)) if fmt.name != "fp32" else False
        expected = from_fp32(i, fmt, saturate=saturate)[0].astype(np.uint32)
        if fmt.name == "fp32":
            nan = (i & 0x7FFF_FFFF) > 0x7F80_0000
            expected = np.where(nan, np.uint32(FORMATS["fp32"].nan or 0), expected)
        columns.append((i, np.full(i.size, fmt.code), np.full(i.size, saturate), expected))
    i, fmt, saturate, expected = (np.concatenate(column) for column in zip(*columns, strict=True))
    operands = {"i": i, "fmt": fmt, "saturate": saturate}
    got = through(Lanes(Converter, LANES), "converters", Converter.latency, ("o",), operands)
    report(got["o"], expected, **operands)
