"""Copies of views on the simulated chip under random stalls: turned, converted, quantised."""

import numpy as np
from numpy.testing import assert_array_equal

import gemel
from gemel.kernels.copy import REFERENCES


def test_views_of_any_kind(device: gemel.Device, rng: np.random.Generator) -> None:
    """Several pieces each, whose edges fill no word; nothing beside `out` changes."""
    values = rng.standard_normal((131, 300)).astype(np.float32)
    for source, target in (("bf16", "bf16"), ("e4m3", "e4m3"), ("fp32", "bf16")):
        x = gemel.tensor(device, values, source)[1:, 1:]
        expected = REFERENCES["copy"](x.numpy(), target)
        assert_array_equal(gemel.copy(x, target).numpy(), expected)
        table = gemel.tensor(device, np.full((302, 133), 7), target)
        gemel.copy(x.T, out=table[1:300, 2:132])
        whole = np.full((302, 133), 7, np.float32)
        whole[1:300, 2:132] = expected.T
        assert_array_equal(table.numpy(), whole)


def test_quantised_and_turned(device: gemel.Device, rng: np.random.Generator) -> None:
    values = (rng.standard_normal((70, 290)) * np.exp2(rng.integers(-9, 9, (70, 1)))).astype(np.float32)
    x = gemel.tensor(device, values, "bf16")
    for view in (x, x.T):
        for copy, by_group in ((gemel.copy_mx, {}), (gemel.copy_fp8, {}), (gemel.copy_fp8, {"by_group": True})):
            codes, scales = copy(view, "e4m3", **by_group)
            expected, expected_scales = REFERENCES[copy.__name__](view.numpy(), "e4m3")
            assert_array_equal(codes.numpy(), np.float32(expected))
            assert_array_equal(scales.codes() if copy is gemel.copy_mx else scales.numpy(), expected_scales)
