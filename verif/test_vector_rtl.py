"""Programs of the vector core on the simulated nano chip: the same bytes of L1 and the same faults as on golden."""

from collections.abc import Iterator

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.config import config
from gemel_golden.isa import VECTOR_BUNDLES
from gemel_golden.lane_ops import LaneOp
from gemel_golden.vector_isa import BUNDLE_BYTES, SCALAR_OPERAND, Control, encode_bundle
from gemel_verif.vector_programs import L1_BYTES, program_of, random_bundles

MEMORY = 1 << 20
DATA = 256 << 10
NANO = config("nano")


@pytest.fixture(scope="module")
def devices() -> Iterator[tuple[Device, Device]]:
    with gemel.open("nano", memory_bytes=MEMORY) as rtl, gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        yield rtl, golden


def compare(devices: tuple[Device, Device], program: bytes, data: np.ndarray, **bus: object) -> gemel.Result:
    """Run `program` on both with the same memory; what it leaves there, and its flags, must be equal."""
    assert isinstance(devices[0].backend, RtlBackend)
    devices[0].backend.configure(**bus)
    results = []
    for device in devices:
        device.backend.memory[DATA : DATA + len(data)] = data
        results.append(device.run(program, [DATA], timeout_cycles=1_000_000))
    rtl, golden = (device.backend.memory[DATA : DATA + len(data)] for device in devices)
    wrong = np.flatnonzero(rtl != golden)
    assert not wrong.size, f"{wrong.size} bytes differ, first at L1 address {wrong[0]:#x}"
    assert results[0].flags == results[1].flags
    assert results[0].counters["saturated"] == results[1].counters["saturated"]
    return results[0]


def content(rng: np.random.Generator, bundles: bytes) -> np.ndarray:
    """L1's bytes: the program, then numbers of everyday size mixed with any bits."""
    numbers = rng.normal(size=L1_BYTES // 4).astype(np.float32).view(np.uint8)
    noise = rng.integers(0, 256, L1_BYTES, np.uint8)
    data = np.where(np.repeat(rng.random(L1_BYTES // 128) < 0.5, 128), numbers, noise)
    data[: len(bundles)] = np.frombuffer(bundles, np.uint8)
    return data


@pytest.mark.parametrize("number", range(40))
def test_random_programs(devices: tuple[Device, Device], number: int, rng: np.random.Generator) -> None:
    bundles = random_bundles(rng)
    arguments = [int(value) for value in rng.integers(0, 1 << 32, 9)]
    compare(devices, program_of(bundles, arguments), content(rng, bundles), stalls=0.2 * (number % 2), seed=number)


def faulty(**values: int) -> bytes:
    return encode_bundle() + encode_bundle(**values) + encode_bundle(control=Control.HALT)


FAULTS = {
    "a load beyond L1": encode_bundle(control=Control.ADDRESS, imm=NANO.l1_bytes - 32) + faulty(ld_en=1),
    "a store beyond L1": encode_bundle(control=Control.ADDRESS, imm=NANO.l1_bytes - 32) + faulty(st_en=1),
    "a base that isn't aligned": encode_bundle(control=Control.ADDRESS, imm=16) + faulty(ld_en=1),
    "an empty loop": faulty(control=Control.LOOP, imm=1, imm2=0),
    "loops that end together": (
        encode_bundle(control=Control.LOOP, imm=2, imm2=2) + faulty(control=Control.LOOP, imm=2, imm2=1)
    ),
    "an unknown operation": encode_bundle() + bytes([0xFE]) + bytes(31),
    "no HALT": encode_bundle(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults(devices: tuple[Device, Device], name: str, rng: np.random.Generator) -> None:
    """Each illegal program stops its launch with the same record on both, and the chip goes on."""
    bundles = FAULTS[name]
    found = []
    for device in devices:
        device.backend.memory[DATA : DATA + L1_BYTES] = content(np.random.default_rng(0), bundles)
        entry = VECTOR_BUNDLES - len(bundles) // BUNDLE_BYTES if name == "no HALT" else 0
        entry -= entry % 2
        with pytest.raises(DeviceFault) as raised:
            device.run(program_of(bundles, [], entry=entry), [DATA])
        found.append(str(raised.value))
    assert found[0] == found[1]
    bundles = encode_bundle(control=Control.HALT)
    compare(devices, program_of(bundles, []), content(rng, bundles))


@pytest.mark.parametrize("code", [NANO.l1_bytes - 64, NANO.l1_bytes, 1 << 40, 32])
def test_code_that_isnt_there(devices: tuple[Device, Device], code: int, rng: np.random.Generator) -> None:
    """A program that lies partly or wholly beyond L1, or isn't aligned, is refused before anything of it is copied."""
    use = encode_bundle(control=Control.ADDRESS, imm=L1_BYTES - 256) + encode_bundle(st_en=1, st_reg=1)
    bundles = encode_bundle(op=LaneOp.MOV, rd=1, a=SCALAR_OPERAND + 1) + use + encode_bundle(control=Control.HALT)
    compare(devices, program_of(bundles, [5]), content(rng, bundles))
    found = []
    for device in devices:
        with pytest.raises(DeviceFault) as raised:
            device.run(program_of(bundles, [], code=code), [DATA])
        found.append(str(raised.value))
    assert found[0] == found[1]
    compare(devices, program_of(b"", [6]), content(rng, b""))
