"""STORE_CONVERT in simulation against golden: every pair of formats, block scales, faults, throughput."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import WORD, config
from gemel_golden.formats import FORMATS
from gemel_golden.isa import BlockScale, FaultCode, Opcode
from gemel_verif.dma_runs import DmaRun, golden, run
from gemel_verif.dma_scenarios import MEMORY_BYTES, Images, images, place_in_l1, random_values

NANO = config("nano")
FLOATS = ("fp32", "bf16", "fp16", "e4m3", "e5m2")


def numbers(rng: np.random.Generator, source: str) -> Images:
    """Random memory, and an L1 of numbers of many magnitudes, some subnormal, zero, infinite or NaN."""
    before = images(rng)
    spread = rng.standard_normal(NANO.l1_bytes // 4) * np.exp2(rng.integers(-150, 120, NANO.l1_bytes // 4))
    with np.errstate(over="ignore"):
        wide = spread.astype(np.float32).view(np.uint32)
    wide[:: 4 * 32] = np.uint32(0)
    rare = rng.integers(0, len(wide), 60)
    wide[rare] = rng.choice(np.array([0x7F800000, 0xFFC00001, 0x80000000, 1], np.uint32), 60)
    if source == "bf16":
        wide = (wide >> 16) | (np.roll(wide, 7) >> 16 << 16)
    elif source != "fp32":
        wide = rng.integers(0, 1 << 32, len(wide)).astype(np.uint32)
    return Images(before.memory, wide.view(np.uint8).copy())


NONE, MX, FP32 = BlockScale.NONE, BlockScale.MX, BlockScale.FP32


def conversion(
    rng: np.random.Generator, source: str, target: str, block_scale: BlockScale, **values: int
) -> dict[str, int]:
    """A STORE_CONVERT of some rows of whole elements; without block scales times 1 or another factor."""
    a, b = FORMATS[source], FORMATS[target]
    rows = int(rng.integers(1, 12))
    length = int(rng.choice(np.array([1, 32, 64, 128, 256, 512, rng.integers(1, 800)])))
    out = -(-length * 8 // a.bits) * b.bits // 8
    factor = int(rng.choice(np.array([1.0, 0.37, -8.0, 1e-20], np.float32)).view(np.uint32))
    shape = {
        "opcode": int(Opcode.STORE_CONVERT),
        "count1": rows,
        "bytes": length,
        "source_format": a.code,
        "target_format": b.code,
        "block_scale": int(block_scale),
        "factor": 0 if block_scale else factor,
        "layout": int(rng.integers(2)),
        "stride1": out + int(rng.integers(70)),
        "mem": int(rng.integers(1000)),
    }
    if block_scale:
        shape |= {"scales": 40000 + int(rng.integers(500)), "scale_stride": 60 + int(rng.integers(3))}
    return place_in_l1(rng, shape | values, NANO.l1_bytes)


def compare(what: DmaRun) -> dict[str, Any]:
    out = run(what)
    memory, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    assert_array_equal(out["memory"], memory)
    return out


@pytest.mark.parametrize(("latency", "stall"), [(0, 0.0), (20, 0.3)])
@pytest.mark.parametrize("source", FLOATS)
def test_conversions_are_golden(rng: np.random.Generator, source: str, latency: int, stall: float) -> None:
    """Every target, with factors and with scales; plain copies between them."""
    program = []
    for number in range(25):
        target = FLOATS[number % len(FLOATS)]
        block_scale = (NONE, MX, FP32)[number % 3] if target in ("e4m3", "e5m2") else NONE
        program.append(conversion(rng, source, target, block_scale))
        if number % 4 == 0:
            program.append(random_values(rng, Opcode.STORE, NANO))
    # Rows whose scales are several words.
    program += [conversion(rng, source, "e5m2", scale, count1=2, bytes=16384) for scale in (MX, FP32)]
    seed = int(rng.integers(1 << 32))
    compare(
        DmaRun(
            opcode=Opcode.STORE,
            programs=[program],
            seed=seed,
            latency=latency,
            stall=stall,
            images=numbers(rng, source),
        )
    )


FAULTY = {
    "L1": ("bf16", "e4m3", {"l1": NANO.l1_bytes - 1600, "pitch": 20, "layout": 0}, FaultCode.L1_ADDRESS),
    "L1, narrow": ("fp32", "e5m2", {"l1": NANO.l1_bytes - 1696, "pitch": 20, "layout": 0}, FaultCode.L1_ADDRESS),
    "L1, wide": ("bf16", "fp32", {"l1": NANO.l1_bytes - 800, "pitch": 40, "layout": 0}, FaultCode.L1_ADDRESS),
    "misaligned": ("bf16", "fp16", {"l1": 8}, FaultCode.L1_ADDRESS),
    "memory": ("bf16", "e4m3", {"mem": MEMORY_BYTES - 700}, FaultCode.MEMORY_WRITE),
    "scales": ("bf16", "e4m3", {"scales": MEMORY_BYTES - 100}, FaultCode.MEMORY_WRITE),
    "scales before": ("bf16", "e4m3", {"scales": -5000}, FaultCode.MEMORY_WRITE),
    "FP32 scales": ("bf16", "e4m3", {"scales": MEMORY_BYTES - 100, "block_scale": FP32}, FaultCode.MEMORY_WRITE),
    "L1, bytes": ("e4m3", "bf16", {"l1": NANO.l1_bytes - 32 * 45, "pitch": 20, "layout": 0}, FaultCode.L1_ADDRESS),
    "L1, FP32 scales": (
        "bf16",
        "e4m3",
        {"l1": NANO.l1_bytes - 1600, "pitch": 20, "layout": 0, "block_scale": FP32},
        FaultCode.L1_ADDRESS,
    ),
}


def test_faults(rng: np.random.Generator) -> None:
    """Each record is golden's, and the next program is sound."""
    programs = []
    before = numbers(rng, "bf16")
    for source, target, values, _ in FAULTY.values():
        faulty = conversion(rng, source, target, MX if target[0] == "e" else NONE, count1=8, bytes=600) | values
        programs += [[faulty], [random_values(rng, Opcode.STORE, NANO)]]
    what = DmaRun(opcode=Opcode.STORE, programs=programs, latency=9, stall=0.2, images=before)
    out = run(what)
    _, _, faults = golden(what)
    assert [result["fault"] for result in out["results"]] == faults
    for fault, (*_, code) in zip(faults[::2], FAULTY.values(), strict=True):
        assert fault is not None and fault["code"] == code


@pytest.mark.parametrize(
    ("source", "target", "block_scale"),
    [
        ("bf16", "e4m3", MX),
        ("fp32", "e4m3", MX),
        ("fp32", "bf16", NONE),
        ("e4m3", "bf16", NONE),
        ("bf16", "e4m3", FP32),
        ("fp32", "e5m2", FP32),
    ],
)
def test_full_rate(rng: np.random.Generator, source: str, target: str, block_scale: BlockScale) -> None:
    """A word a cycle of what comes, or of what goes where that is more; rows of scales take none."""
    shape = {"count1": 16, "bytes": 1024, "layout": 1, "stride1": 2048, "mem": 0}
    program = [conversion(rng, source, target, block_scale, **shape) for _ in range(4)]
    out = compare(DmaRun(opcode=Opcode.STORE, programs=[program], images=numbers(rng, source)))
    words = 4 * 16 * 1024 // WORD * max(1, FORMATS[target].bits // FORMATS[source].bits)
    assert out["accesses"][-1] - out["accesses"][0] + 1 <= words + 40
