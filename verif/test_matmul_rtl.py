"""gemel.matmul on the simulated nano chip: the golden tests' cases, under random stalls and at several latencies."""

import numpy as np
import pytest

import gemel
from gemel.bench.shapes import run_shapes
from gemel.sim.rtl_backend import RtlBackend
from gemel_verif.matmul_cases import NAMES, OUTPUTS, Case, random_case, run

LATENCIES = (1, 7, 100, 400)


@pytest.fixture(scope="module")
def device():
    with gemel.open("nano", "rtl") as opened:
        yield opened


def assert_exact(device, case, rng):
    """Run a case with the memory in a random mood; bytes, and the flags of the last launch, must be golden's."""
    assert isinstance(device.backend, RtlBackend)
    mood = {
        "latency": int(rng.choice(LATENCIES)),
        "stalls": float(rng.choice([0.0, 0.2, 0.6])),
        "reorder": bool(rng.integers(2)),
        "bandwidth": float(rng.choice([64, 64, 24])),
        "seed": int(rng.integers(1 << 32)),
    }
    device.backend.configure(**mood)
    found, expected = run(gemel, device, case, rng)
    np.testing.assert_array_equal(found, expected, err_msg=f"{case} with memory {mood}")


@pytest.mark.parametrize("b", NAMES)
@pytest.mark.parametrize("a", NAMES)
def test_every_pair_of_formats(device, a, b, rng):
    for out in rng.choice(OUTPUTS, 4, replace=False):
        assert_exact(device, random_case(rng, a, b, str(out)), rng)


@pytest.mark.parametrize("out", OUTPUTS)
def test_every_output(device, out, rng):
    for a in ("int8", "bf16"):
        assert_exact(device, random_case(rng, a, a, out, largest=70), rng)


@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (1, 130, 65), (130, 1, 33), (2, 3, 0), (33, 31, 1), (32, 32, 32)])
def test_edges(device, m, n, k, rng):
    for a, out in (("int8", "int32"), ("e4m3", "bf16")):
        assert_exact(device, Case(m=m, n=n, k=k, a=a, b=a, out=out, bias=out == "bf16", c=True), rng)


def test_a_long_inner_dimension_is_cut_and_summed_in_rising_order(device, rng):
    case = Case(m=40, n=35, k=3000, a="bf16", b="e5m2", out="fp32", b_transposed=True, kind="cancelling")
    assert_exact(device, case, rng)


def test_the_mood_of_memory_changes_no_byte_and_golden_agrees(device, rng):
    """The same program and the same bytes on both back ends, whole memory compared."""
    case = random_case(rng, "e4m3", "int8", "bf16")
    seed = int(rng.integers(1 << 32))
    with gemel.open("nano", "golden") as golden:
        expected, _ = run(gemel, golden, case, np.random.default_rng(seed))
    for latency in LATENCIES:
        device.backend.configure(latency=latency, stalls=0.3, seed=latency)
        found, _ = run(gemel, device, case, np.random.default_rng(seed))
        np.testing.assert_array_equal(found, expected)


def test_one_program_of_many_shapes(device):
    device.backend.configure(latency=50, stalls=0.1, seed=1)
    figures = run_shapes(device, count=40, seed=0, name="e4m3", largest=48)
    assert figures["exact"], figures["first_wrong_shape"]
