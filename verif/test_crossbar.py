"""The AXI4 crossbar: data in each reader's order, writes where they belong, turns, full rate and no deadlock."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from gemel_golden.config import config
from gemel_golden.interleave import CHANNEL_GRANULE, channel
from gemel_rtl.noc.arbiter import ReadArbiter, WriteArbiter
from gemel_rtl.noc.crossbar import Initiator, ReadCrossbar, WriteCrossbar
from gemel_rtl.noc.pieces import PIECE_BEATS
from gemel_rtl.noc.read_splitter import check_beats
from gemel_verif.runner import simulate

NANO = config("nano")
TWO, FOUR = NANO.override(channels=2), NANO.override(channels=4)
MEMORY_BYTES = 1 << 16
WORD = 64
APERTURE = 1 << (NANO.mem_address_bits - 1)
ID_BITS = 2
NO_STALL: dict[str, float] = {}
EVERYWHERE = dict.fromkeys(("memory", "ar", "aw", "w", "r", "b"), 0.4)
READING = [(TWO, NO_STALL), (FOUR, EVERYWHERE), *((TWO, {name: 0.8}) for name in ("memory", "ar", "r"))]
WRITING = [(TWO, NO_STALL), (FOUR, EVERYWHERE), *((TWO, {name: 0.8}) for name in ("memory", "aw", "w", "b"))]
INITIATORS = (Initiator(depth=8), Initiator(depth=32, aperture=True), Initiator(depth=64, aperture=True))


def name_of(parameter: Any) -> str:
    return "+".join(parameter) or "none" if isinstance(parameter, dict) else str(parameter.channels)


def bursts_of(rng: np.random.Generator, count: int, base: int, size: int) -> list[tuple[int, int]]:
    """Random (address, beats) in a window; none crosses 4 KB."""
    bursts = []
    for _ in range(count):
        first = int(rng.integers(size // WORD))
        beats = int(rng.integers(1, 1 + min(64 - first % 64, 1 if rng.random() < 0.4 else 64, size // WORD - first)))
        bursts.append((base + first * WORD, beats))
    return bursts


def run(kind: str, chip: Any, component: Any, bursts: list, memory: np.ndarray, **more: Any) -> dict[str, Any]:
    targets = len(component.o) if hasattr(component, "initiators") else 1
    inputs = {"kind": kind, "chip": chip, "bursts": bursts, "memory": memory, "targets": targets, "seed": 0}
    inputs |= {"latency": [9] * targets, "stall": NO_STALL, "interleave": True, "broken": (), "limit": 20000}
    inputs |= {"id_bits": ID_BITS} | more
    module = f"gemel_{type(component).__name__.lower()}_{targets}"
    return simulate(component, module, "tb_crossbar", inputs)


def words(
    memory: np.ndarray, bursts: list[tuple[int, int]], broken: tuple[int, ...] = ()
) -> list[tuple[int, int, bool]]:
    """What a reader of these bursts gets: data, response, last; addresses beyond the memory answer with an error."""
    beats = []
    for address, count in bursts:
        for i in range(count):
            at = address + WORD * i
            data = int.from_bytes(memory[at : at + WORD].tobytes(), "little")
            beats.append((data, 3 if at >= len(memory) else 2 if at in broken else 0, i == count - 1))
    return beats


@pytest.mark.parametrize(("chip", "stall"), READING, ids=name_of)
def test_readers_get_their_data_in_order(rng: np.random.Generator, chip: Any, stall: dict[str, float]) -> None:
    """Channels of different latencies, ids that overtake each other, errors, and the aperture beside the channels."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    broken = tuple(int(a) * WORD for a in rng.integers(0, MEMORY_BYTES // WORD, 40))
    bursts = [bursts_of(rng, 25, 0, MEMORY_BYTES) for _ in INITIATORS]
    for mine in bursts[1:]:
        mine[5:5] = bursts_of(rng, 3, APERTURE, MEMORY_BYTES)
    latency = [int(x) for x in rng.integers(1, 60, chip.channels + 1)]
    crossbar = ReadCrossbar(chip, INITIATORS, id_bits=ID_BITS)
    seed = int(rng.integers(1 << 32))
    out = run("read", chip, crossbar, bursts, memory, latency=latency, stall=stall, broken=broken, seed=seed)
    for got, mine in zip(out["got"], bursts, strict=True):
        assert [(data, resp, bool(last)) for _, data, resp, last in got] == words(memory, mine, broken)


@pytest.mark.parametrize(("chip", "stall"), WRITING, ids=name_of)
def test_writes_land_and_are_answered_once(rng: np.random.Generator, chip: Any, stall: dict[str, float]) -> None:
    """Writers write windows of their own, with random strobes; some pieces of a burst answer with an error."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    expected, window = memory.copy(), 1 << 14
    broken = tuple(int(a) * WORD for a in rng.integers(0, MEMORY_BYTES // WORD, 40))
    bursts: list[list[tuple[int, list[tuple[int, ...]]]]] = []
    answers: list[list[int]] = []
    for p, initiator in enumerate(INITIATORS):
        places = bursts_of(rng, 25, p * window, window)
        if initiator.aperture:
            places[5:5] = bursts_of(rng, 3, APERTURE, window)
        bursts.append([])
        answers.append([])
        for start, beats in places:
            data = [tuple(int.from_bytes(rng.bytes(size), "little") for size in (WORD, 8)) for _ in range(beats)]
            bursts[-1].append((start, data))
            ats = [start + WORD * i for i in range(beats)]
            answers[-1].append(3 if start >= APERTURE else 2 if any(at in broken for at in ats) else 0)
            for at, (value, strobes) in zip(ats, data, strict=True):
                for byte in range(WORD if at not in broken and at < APERTURE else 0):
                    if strobes >> byte & 1:
                        expected[at + byte] = value >> 8 * byte & 0xFF
    crossbar = WriteCrossbar(chip, INITIATORS, id_bits=ID_BITS)
    latency = [int(x) for x in rng.integers(1, 60, chip.channels + 1)]
    seed = int(rng.integers(1 << 32))
    out = run("write", chip, crossbar, bursts, memory, latency=latency, stall=stall, broken=broken, seed=seed)
    assert out["answers"] == answers
    assert_array_equal(out["memory"], expected)


def granules(chip: Any, home: int, count: int) -> list[int]:
    """The first addresses of granules that belong to a channel."""
    return [a for a in range(0, MEMORY_BYTES, CHANNEL_GRANULE) if channel(chip, a) == home][:count]


def test_one_reader_runs_at_full_rate_over_channels_of_different_latency(rng: np.random.Generator) -> None:
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    bursts = [[], [], [(4096 * i, 64) for i in range(8)]]
    crossbar = ReadCrossbar(TWO, INITIATORS, id_bits=ID_BITS)
    out = run("read", TWO, crossbar, bursts, memory, latency=[50, 20, 1], interleave=False)
    cycles = [cycle for cycle, *_ in out["got"][2]]
    assert cycles == list(range(cycles[0], cycles[0] + 512))
    assert cycles[0] == 50 + 5


def test_readers_take_turns_and_channels_give_a_beat_in_every_cycle(rng: np.random.Generator) -> None:
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    bursts = [[(4096 * i, 64) for i in range(4)] for _ in range(4)]
    crossbar = ReadCrossbar(TWO, [Initiator(depth=64)] * 4, id_bits=ID_BITS)
    out = run("read", TWO, crossbar, bursts, memory, latency=[9, 9], interleave=False)
    for beats, asked in zip(out["beats"], out["bursts"], strict=True):
        assert beats == list(range(beats[0], beats[0] + 4 * 4 * 64 // 2))
        turns = [identity for _, identity, _, _ in asked]
        assert all(sorted(turns[i : i + 4]) == [0, 1, 2, 3] for i in range(0, len(turns), 4))


def test_writers_that_use_channels_in_opposite_order_go_on(rng: np.random.Generator) -> None:
    """Each writer's W follows its own order of channels: who held a channel without data would stop the others."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    expected, bursts = memory.copy(), []
    for p in range(3):
        homes = [p % 2, 1 - p % 2]
        places = [granules(TWO, home, 3 * 16)[3 * i + p] for i in range(16) for home in homes]
        bursts.append([(place, [(int.from_bytes(rng.bytes(WORD), "little"), (1 << WORD) - 1)] * 8) for place in places])
        for place, data in bursts[-1]:
            expected[place : place + 512] = np.frombuffer(data[0][0].to_bytes(WORD, "little") * 8, np.uint8)
    crossbar = WriteCrossbar(TWO, [Initiator(depth=8)] * 3, id_bits=ID_BITS)
    out = run("write", TWO, crossbar, bursts, memory, latency=[9, 9])
    assert_array_equal(out["memory"], expected)
    for beats in out["beats"]:
        assert len(beats) / (beats[-1] - beats[0] + 1) > 0.95


@pytest.mark.parametrize("kind", ["read", "write"])
def test_with_one_channel_it_is_the_arbiter(rng: np.random.Generator, kind: str) -> None:
    """One target: the same transfers in the same cycles as without a crossbar."""
    memory = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
    bursts: list[list] = [bursts_of(rng, 12, 0, MEMORY_BYTES) for _ in range(3)]
    if kind == "write":
        bursts = [[(start, [(i, 1)] * beats) for i, (start, beats) in enumerate(mine)] for mine in bursts]
    with_crossbar, without = (
        (ReadCrossbar(NANO, [Initiator(depth=8)] * 3), ReadArbiter(NANO, 3))
        if kind == "read"
        else (WriteCrossbar(NANO, [Initiator(depth=8)] * 3), WriteArbiter(NANO, 3))
    )
    found = run_one(kind, with_crossbar, bursts, memory.copy())
    expected = run_one(kind, without, bursts, memory.copy())
    for name in ("beats", "bursts", "got" if kind == "read" else "answers"):
        assert found[name] == expected[name]


def run_one(kind: str, component: Any, bursts: list, memory: np.ndarray) -> dict[str, Any]:
    inputs = {"kind": kind, "bursts": bursts, "memory": memory, "seed": 5, "latency": 9, "stall": 0.3}
    inputs |= {"interleave": True, "broken": (), "limit": 20000}
    if hasattr(component, "initiators"):
        inputs |= {"port": "o_0"}
    return simulate(component, f"gemel_{type(component).__name__.lower()}", "tb_arbiter", inputs)


def test_a_buffer_too_small_for_a_piece_is_refused() -> None:
    with pytest.raises(ValueError, match=f"a buffer of 4 beats doesn't hold a piece of {PIECE_BEATS}"):
        check_beats(4)
