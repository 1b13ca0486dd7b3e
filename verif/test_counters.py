"""Counters: each shows what was counted, and on the chip the classes of each unit add up to the launch's cycles."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gemel
from gemel import Device, DeviceFault, Program, assemble, reg
from gemel.driver.counters import Counters as Read
from gemel.driver.work import work_of
from gemel.sim.rtl_backend import RtlBackend
from gemel_golden.activity import UNITS, Activity
from gemel_golden.config import config
from gemel_golden.counters import BUCKETS, COUNTERS, SINCE_RESET, WORK
from gemel_golden.isa import Unit
from gemel_rtl.counters import WORK_BITS, Counters
from gemel_verif.fault_programs import FAULTS
from gemel_verif.runner import simulate
from gemel_verif.vector_programs import L1_BYTES, program_of, random_bundles

MEMORY = 1 << 20
DATA = 256 << 10


def random_launch(rng: np.random.Generator) -> list[dict[str, int]]:
    """Cycles from before a launch to after it, with bursts that come back in order."""
    begin, first, end = 2, int(rng.integers(3, 9)), int(rng.integers(60, 200))
    asked: list[int] = []
    cycles = []
    left = 0
    for cycle in range(end + 8):
        now = {f"{unit.name.lower()}_activity": int(rng.integers(len(Activity))) for unit in UNITS}
        now |= {f"{name}_now": int(rng.integers(1 << WORK_BITS.get(name, 1))) for name in WORK}
        now |= {"start": cycle == begin, "delivered": cycle == first or rng.random() < 0.2, "done": cycle == end}
        now["delivered"] = now["delivered"] and cycle >= first
        if asked and rng.random() < 0.4 and (left or cycle > asked[0]):
            left = left or int(rng.integers(1, 4))
            now |= {"beat": 1, "last_beat": left == 1}
            left -= 1
            if not left:
                asked.pop(0)
        if rng.random() < 0.1 and cycle < end - 60 and len(asked) < 8:
            now["asked"] = 1
            asked.append(cycle)
        cycles.append({name: int(value) for name, value in now.items()})
    return cycles


def model(launch: list[dict[str, int]]) -> tuple[dict[str, int], int]:
    """What a launch counts, and its cycles."""
    counts = dict.fromkeys(COUNTERS, 0)
    running, counting, cycles, fresh = False, False, 0, True
    asked: list[int] = []
    for cycle, now in enumerate(launch):
        counted = running and (counting or now["delivered"])
        if now.get("beat"):
            if fresh:
                passed = cycle - asked.pop(0)
                counts[f"latency_{1 << passed.bit_length() - 1}"] += running
            fresh = bool(now["last_beat"])
        if now.get("asked"):
            asked.append(cycle)
        for unit in UNITS:
            activity = Activity(now[f"{unit.name.lower()}_activity"])
            counts[f"{unit.name}_{activity.name}".lower()] += counted
        for name in WORK:
            counts[name] += running * now[f"{name}_now"]
        cycles += counted
        counting = counted
        running = (running and not now["done"]) or bool(now["start"])
    return counts, cycles


def test_counters_show_what_was_counted(rng: np.random.Generator) -> None:
    launches = [random_launch(rng) for _ in range(4)]
    selects = [c.number for c in COUNTERS.values()] + [c.number | SINCE_RESET for c in COUNTERS.values()]
    names = ["select", *{name for launch in launches for cycle in launch for name in cycle}]
    inputs = {"launches": launches, "selects": selects, "names": names}
    got = simulate(Counters(config("nano")), "gemel_counters", "tb_counters", inputs)
    totals: Counter[str] = Counter()
    for launch, shown in zip(launches, got["shown"], strict=True):
        counts, cycles = model(launch)
        totals.update(counts)
        values = [*counts.values(), *(totals[name] for name in COUNTERS)]
        assert dict(zip(selects, shown["values"], strict=True)) == dict(zip(selects, values, strict=True))
        assert shown["launch_cycles"] == cycles


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with gemel.open("nano", memory_bytes=MEMORY) as opened:
        yield opened


def check(device: Device, counters: Read, cycles: int) -> None:
    """The classes of each unit add up to the launch's cycles, and counters agree with each other."""
    for unit, classes in counters.units.items():
        assert sum(classes.values()) == cycles, f"{unit.name}: {classes} don't add up to {cycles}"
    assert sum(counters.latencies.values()) == counters.work["load_bursts"]
    for unit, activity in (
        (Unit.SEQUENCER, Activity.L1),
        (Unit.LOAD, Activity.INSTRUCTION),
        (Unit.TENSOR, Activity.MEMORY),
        (Unit.VECTOR, Activity.MEMORY),
    ):
        assert activity == Activity.INSTRUCTION or not counters.units[unit][activity]
    busy = {name: device.read_register("core", name) for name in ("tensor_busy", "store_busy", "vector_busy")}
    for name, count in busy.items():
        assert counters.units[Unit[name.removesuffix("_busy").upper()]][Activity.BUSY] == count
    assert counters.work["load_beats"] == device.read_register("core", "load_busy")
    assert counters.work["store_beats"] == device.read_register("core", "store_busy")


def configure(device: Device, **options: Any) -> None:
    assert isinstance(device.backend, RtlBackend)
    device.backend.configure(**options)


def copies(rng: np.random.Generator, count: int) -> Program:
    """Loads and stores of random shapes that wait for each other, some rows absent."""
    p = Program()
    for i in range(count):
        rows, bytes_ = (int(n) for n in rng.integers(1, [20, 300]))
        shape = {"bytes": bytes_, "count1": rows, "pitch": -(-bytes_ // 32), "l1": 32768 * (i % 2)}
        valid = {"valid_bytes": int(rng.integers(bytes_ + 1)), "valid1": int(rng.integers(rows + 1))}
        wait = {2 + i % 2: 1} if i >= 2 else None
        p.load(mem=reg(1) + 16384 * i, stride1=bytes_ + 7, wait=wait, signal={i % 2: 1}, **valid, **shape)
        target = reg(1) + (1 << 18) + 16384 * i
        p.store(mem=target, stride1=bytes_ + 5, wait={i % 2: 1}, signal={2 + i % 2: 1}, **shape)
    p.halt()
    return p


@pytest.mark.parametrize("bus", [{"latency": 100}, {"latency": 3, "stalls": 0.4}, {"latency": 50, "bandwidth": 8}])
def test_classes_add_up_in_random_programs(device: Device, bus: dict[str, Any], rng: np.random.Generator) -> None:
    configure(device, **bus)
    before = device.counters(since_reset=True)
    cycles = []
    for number in range(6):
        vector = number % 2
        bundles = random_bundles(rng)
        arguments = [int(value) for value in rng.integers(0, 1 << 32, 9)]
        program = Program(program_of(bundles, arguments)) if vector else copies(rng, 8)
        device.memory[DATA : DATA + L1_BYTES] = rng.integers(0, 256, L1_BYTES, np.uint8)
        device.memory[DATA : DATA + len(bundles)] = np.frombuffer(bundles, np.uint8)
        result = device.run(program, [DATA], timeout_cycles=1_000_000)
        counters = device.counters()
        check(device, counters, result.cycles)
        work = work_of(program.bytes, device.config)
        assert (counters.work["load_bytes"], counters.work["store_bytes"]) == (work.bytes_read, work.bytes_written)
        assert counters.work["saturated"] == result.counters["saturated"]
        cycles.append(counters)
    after = device.counters(since_reset=True)
    assert after.cycles == before.cycles + sum(counters.cycles for counters in cycles)
    for unit in UNITS:
        for activity in Activity:
            new = sum(counters.units[unit][activity] for counters in cycles)
            assert after.units[unit][activity] == before.units[unit][activity] + new
    for name in WORK:
        assert after.work[name] == before.work[name] + sum(counters.work[name] for counters in cycles)


def test_classes_add_up_in_kernels(device: Device, rng: np.random.Generator) -> None:
    configure(device, latency=100)
    a, b = (gemel.tensor(device, rng.normal(size=(64, 96)).astype(np.float32), "bf16") for _ in "ab")
    gemel.matmul(a, b.T)
    products = device.counters()
    assert device.last is not None
    check(device, products, device.last.cycles)
    assert products.units[Unit.TENSOR][Activity.BUSY] == 64 * 64 * 96 // device.config.macs_16bit
    gemel.softmax(gemel.tensor(device, rng.normal(size=(16, 64)).astype(np.float32)))
    softmax = device.counters()
    check(device, softmax, device.last.cycles)
    assert softmax.units[Unit.TENSOR] == dict.fromkeys(Activity, 0) | {Activity.INSTRUCTION: softmax.cycles}
    assert softmax.units[Unit.VECTOR][Activity.BUSY] > 0 and softmax.units[Unit.VECTOR][Activity.L1] > 0


@pytest.mark.parametrize("fault", [0, 1, 4, 5])
def test_classes_add_up_in_launches_that_are_stopped(device: Device, fault: int) -> None:
    configure(device, latency=20)
    with pytest.raises(DeviceFault):
        device.run(assemble(FAULTS[fault][0] + "\nHALT"), timeout_cycles=20_000)
    check(device, device.counters(), device.read_register("core", "launch_cycles"))


def test_classes_say_what_held_a_unit(device: Device) -> None:
    """LOAD waits for memory, STORE for LOAD; with a slow memory they do so longer, by as many cycles."""
    p = Program()
    p.load(mem=reg(1), bytes=4096, valid_bytes=4096, valid1=1, signal={0: 1})
    p.store(mem=reg(1) + 8192, bytes=4096, wait={0: 1})
    p.halt()
    counts = []
    for latency in (50, 250):
        configure(device, latency=latency)
        device.run(p, [DATA])
        counts.append(device.counters())
    fast, slow = (counters.units for counters in counts)
    assert slow[Unit.LOAD][Activity.MEMORY] == fast[Unit.LOAD][Activity.MEMORY] + 200
    assert slow[Unit.STORE][Activity.SEMAPHORE] == fast[Unit.STORE][Activity.SEMAPHORE] + 200
    assert slow[Unit.STORE][Activity.MEMORY] == fast[Unit.STORE][Activity.MEMORY] + 200
    assert slow[Unit.SEQUENCER][Activity.DEPENDENCE] == fast[Unit.SEQUENCER][Activity.DEPENDENCE] + 400
    assert fast[Unit.LOAD][Activity.BUSY] == 64 + 3  # three words go to L1 once the last beat has come
    assert fast[Unit.STORE][Activity.BUSY] == 64
    assert [least for least, count in counts[0].latencies.items() if count] == [32]
    assert [least for least, count in counts[1].latencies.items() if count] == [128]
    assert len(counts[0].latencies) == BUCKETS
    assert {name: counts[0].work[name] for name in ("load_bytes", "load_beats", "load_bursts")} == {
        "load_bytes": 4096,
        "load_beats": 64,
        "load_bursts": 1,
    }


def test_golden_counts_nothing() -> None:
    with gemel.open("nano", "golden", memory_bytes=MEMORY) as golden:
        golden.run(assemble("LOAD\nHALT"))
        counters = golden.counters()
    assert counters.cycles == 0 and not any(counters.work.values()) and counters.share(Unit.LOAD, Activity.BUSY) == 0
