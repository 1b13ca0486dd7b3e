"""The inference chip's figures in cycles: products, random shapes, one row, attention, the vector core's kernels."""

from collections.abc import Iterator

import pytest

import gemel
from gemel.bench.figures import run_figures
from gemel.bench.matmul import from_l1, from_memory, product_of


@pytest.fixture(scope="module")
def device() -> Iterator[gemel.Device]:
    with gemel.open("inference", "rtl") as opened:
        yield opened


def test_every_figure_is_met(device: gemel.Device) -> None:
    figures = list(run_figures(device))
    assert len(figures) == 25
    missed = [f"{f.name}: {' '.join(f.words)}" for f in figures if not f.met]
    assert not missed, "\n".join(missed)


@pytest.mark.parametrize("name", ["e4m3", "bf16"])
@pytest.mark.parametrize("layout", ["nn", "tn", "tt"])
def test_transposed_operands_run_at_the_full_rate(device: gemel.Device, layout: str, name: str) -> None:
    """In L1, whichever operand is transposed: at most one more fetch of a square than without."""
    plain, transposed = (from_l1(device, product_of(64, 96, 256, name, layout=way)) for way in ("nt", layout))
    assert transposed.exact
    assert plain.cycles is not None and transposed.cycles is not None
    assert transposed.cycles <= plain.cycles + 16


@pytest.mark.parametrize("epilogue", ["gelu_aux_bias", "relu_aux", "dgelu_bgrad"])
def test_epilogues_of_the_vector_core_hide_behind_the_product(device: gemel.Device, epilogue: str) -> None:
    """From memory, from K of 512 on: 15 % of the product alone, here mostly the last tile and its strips."""
    plain, fused = (from_memory(device, product_of(128, 128, 512, "e4m3", epilogue=e)) for e in ("default", epilogue))
    assert fused.exact
    assert plain.cycles is not None and fused.cycles is not None
    assert fused.cycles <= 1.15 * plain.cycles


@pytest.mark.parametrize(("name", "scales"), [("e4m3", "fp32"), ("e4m3", "mx"), ("e2m1", "nvfp4")])
def test_block_scales_cost_next_to_nothing(device: gemel.Device, name: str, scales: str) -> None:
    plain, scaled = (from_l1(device, product_of(128, 128, 512, name, scales=way)) for way in ("none", scales))
    assert scaled.exact
    assert plain.cycles is not None and scaled.cycles is not None
    assert plain.cycles >= 0.99 * scaled.cycles
