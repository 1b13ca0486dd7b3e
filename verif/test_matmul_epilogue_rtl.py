"""Epilogues of gemel.matmul on the simulated nano chip, under random stalls: the bits of the reference."""

import numpy as np
import pytest

import gemel
from gemel.bench.matmul import from_memory, product_of
from gemel.kernels.matmul_epilogue import EPILOGUES
from gemel.kernels.matmul_reference import fused_reference
from gemel_verif.epilogue_cases import EpilogueCase, random_epilogue_case, run_epilogue

FORMATS = (("e4m3", "e5m2", "bf16"), ("bf16", "bf16", "fp32"), ("int8", "int8", "int8"), ("fp16", "e2m1", "e4m3"))


def assert_exact(device, case, rng):
    for name, found, expected in run_epilogue(gemel, fused_reference, device, case, rng):
        np.testing.assert_array_equal(found, expected, err_msg=f"{name} of {case}")


@pytest.mark.parametrize("name", EPILOGUES)
def test_every_epilogue(device, name, rng):
    for a, b, out in FORMATS:
        assert_exact(device, random_epilogue_case(rng, name, a, b, out, largest=72), rng)


@pytest.mark.parametrize(("name", "scales"), [("e4m3", "fp32"), ("e2m1", "nvfp4"), ("bf16", "mx")])
def test_block_scales(device, name, scales):
    for epilogue in ("relu_aux", "bgrada", "bgradb"):
        assert from_memory(device, product_of(135, 40, 200, name, scales=scales, epilogue=epilogue)).exact


@pytest.mark.parametrize("name", ["gelu_aux_bias", "drelu_bgrad", "bgradb"])
def test_several_rows_and_columns_of_tiles(device, name, rng):
    """With K cut, and with whole K in blocks of columns."""
    for n, k in ((40, 1100), (70, 400)):
        assert_exact(device, EpilogueCase(m=34, n=n, k=k, epilogue=name, a="bf16", b="bf16"), rng)
