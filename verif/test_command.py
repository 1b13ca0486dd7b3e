"""The rings do what golden's do: random packets with waits, faults and cancelled launches; and how they share cores."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from gemel_golden.chip import GoldenChip
from gemel_golden.config import ChipConfig, config
from gemel_golden.core import Core
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.packets import PACKETS, PacketType, encode_packet
from gemel_golden.registers import BLOCKS
from gemel_golden.windows import OPEN, Windows
from gemel_rtl.command.rings import Rings
from gemel_verif.runner import simulate

MEMORY = 1 << 16
RINGS = 0x1000
RING_SIZE = 16
TIMELINES = 0x2000
"""A word per ring that counts up: what one ring signals, another waits for."""
DATA, DATA_BYTES, STAMPS = 0x4000, 0x3000, 0x2000
"""Where each ring's arguments and words lie, and from which byte on its timestamps, which depend on time."""
NANO = config("nano").override(copy_beats=32)
TOP = 1 << NANO.mem_address_bits


class ScriptedCore(Core):
    """In golden's core's place: notes the launches and ends each as the script says."""

    def __init__(self, chip: ChipConfig, number: int, memory: np.ndarray, endings: dict[int, Any]):
        super().__init__(chip, memory)
        self.number, self.endings = number, endings
        self.launches: list[tuple[int, int, list[int]]] = []

    def launch(
        self,
        address: int,
        length: int,
        arguments: Sequence[int] = (),
        team: Sequence[Core] = (),
        windows: Windows = OPEN,
    ) -> None:
        super().launch(address, length, arguments, team, windows)
        self.launches.append((address, length, list(arguments)))

    def run(self) -> bool:
        ending = self.endings.get(self.program)
        if ending not in (None, "hang") and ending["core"] == self.number:
            raise Fault(FaultCode(ending["code"]), Unit(ending["unit"]), ending["address"], ending["pc"])
        self.halted = ending is None
        return self.halted


@dataclass
class Work:
    """What one ring is to do: packets, and the words that the host changes while packet `index` waits."""

    base: int
    size: int = RING_SIZE
    priority: int = 0
    pauses: bool = False
    packets: list[bytes] = field(default_factory=list)
    pokes: dict[int, tuple[int, int]] = field(default_factory=dict)


def word(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 64, dtype=np.uint64))


class Random:
    """Random work for all rings of a chip."""

    def __init__(self, rng: np.random.Generator, chip: ChipConfig):
        self.rng, self.chip = rng, chip
        self.rings = [Work(RINGS + 64 * RING_SIZE * number, pauses=True) for number in range(chip.rings)]
        self.endings: dict[int, Any] = {}
        self.signalled = [0] * chip.rings

    def somewhere(self, ring: int, multiple: int, *, stamped: bool = False) -> int:
        """An address of the ring's data; once in a while one that memory or the bus doesn't have."""
        if self.rng.random() < 0.06:
            return [MEMORY, MEMORY + 0x10000, TOP, TOP | DATA, (1 << 64) - multiple][int(self.rng.integers(5))]
        first, last = (STAMPS, DATA_BYTES) if stamped else (0, STAMPS - 0x400)
        return DATA + ring * DATA_BYTES + int(self.rng.integers(first, last) // multiple * multiple)

    def launch(self) -> tuple[int, int]:
        """Program and cores of a launch, which may fault on one of them or hang."""
        program, cores = word(self.rng) & ~63, int(self.rng.integers(1, 1 << self.chip.cores))
        members = [core for core in range(self.chip.cores) if cores >> core & 1]
        if self.rng.random() < 0.2:
            self.endings[program] = {
                "code": int(self.rng.integers(1, 9)),
                "unit": int(self.rng.integers(4)),
                "pc": int(self.rng.integers(1 << 24)),
                "address": word(self.rng),
                "core": int(self.rng.choice(members)),
            }
        elif self.rng.random() < 0.05:
            self.endings[program] = "hang"
        return program, cores

    def copy(self, ring: int) -> bytes:
        """A copy within the ring's data; once in a while one end is where there is no memory."""
        half = (STAMPS - 0x400) // 2
        size = int(self.rng.integers([1, 64, 1500, half][int(self.rng.integers(4))]))
        ends = [DATA + ring * DATA_BYTES + part * half + int(self.rng.integers(half - size)) for part in (0, 1)]
        if self.rng.random() < 0.5:
            ends.reverse()
        if self.rng.random() < 0.1:
            beyond = [MEMORY, MEMORY + 0x10000, TOP, TOP | DATA, (1 << 64) - 0x1000][int(self.rng.integers(5))]
            ends[int(self.rng.integers(2))] = beyond + int(self.rng.integers(64))
        return encode_packet(PacketType.COPY, source=ends[0], target=ends[1], bytes=size)

    def packet(self, ring: int) -> bytes:
        """A random packet, perhaps illegal."""
        rng, work = self.rng, self.rings[ring]
        match int(rng.integers(9)):
            case 0:
                return encode_packet(PacketType.NOP)
            case 1 | 2:
                program, cores = self.launch()
                return encode_packet(
                    PacketType.LAUNCH,
                    arguments=int(rng.integers(32)),
                    cores=cores,
                    program=program,
                    length=int(rng.integers(1, 1 << 24)),
                    argument_block=self.somewhere(ring, 64),
                    argument_stride=64 * int(rng.integers(5)),
                )
            case 3:
                address = self.somewhere(ring, 8)
                if rng.random() < 0.5 and address < MEMORY:
                    value = word(rng) | 1
                    work.pokes[len(work.packets)] = address, min(value + int(rng.integers(2)), (1 << 64) - 1)
                    return encode_packet(PacketType.WAIT, address=address, value=value)
                return encode_packet(PacketType.WAIT, address=address, value=0)
            case 4:
                flags = {name: int(rng.integers(2)) for name in ("interrupt", "timestamp")}
                address = self.somewhere(ring, 16, stamped=bool(flags["timestamp"]))
                return encode_packet(PacketType.SIGNAL, address=address, value=word(rng), **flags)
            case 5:
                if rng.random() < 0.5:
                    self.signalled[ring] += 1
                    return encode_packet(
                        PacketType.SIGNAL, address=TIMELINES + 16 * ring, value=self.signalled[ring], interrupt=1
                    )
                other = int(rng.integers(self.chip.rings))
                return encode_packet(PacketType.WAIT, address=TIMELINES + 16 * other, value=self.signalled[other])
            case 6 | 7:
                return self.copy(ring)
        return self.illegal()

    def illegal(self) -> bytes:
        """A packet with one thing wrong in it."""
        kind = PacketType(int(self.rng.integers(len(PacketType))))
        bits = int.from_bytes(encode_packet(kind), "little")
        fields = PACKETS[kind]
        wrong = [len(PacketType)]
        wrong += [bits | 1 << b for b in range(8, 512) if not any(f.lsb <= b < f.lsb + f.width for f in fields)]
        wrong += [bits | field.insert(field.maximum + 1) for field in fields if field.maximum + 1 < 1 << field.width]
        wrong += [bits | field.insert(field.multiple >> 1) for field in fields if field.multiple > 1]
        wrong += [bits & ~field.insert(-1) for field in fields if field.minimum > 0]
        wrong += [bits | field.insert(1 << self.chip.cores) for field in fields if field.name == "cores"]
        return wrong[int(self.rng.integers(len(wrong)))].to_bytes(64, "little")


class Golden:
    """Golden's chip with scripted cores, and what its rings reported."""

    def __init__(self, chip: ChipConfig, memory: np.ndarray, endings: dict[int, Any]):
        self.chip = GoldenChip(chip, len(memory))
        self.chip.memory[:] = memory
        self.endings = endings
        self.cores = [ScriptedCore(chip, number, self.chip.memory, endings) for number in range(chip.cores)]
        self.chip.cores[:] = self.cores
        self.chip.dispatcher.cores = tuple(self.cores)
        self.faults: list[list[dict[str, int]]] = [[] for _ in range(chip.rings)]
        self.interrupts = [0] * chip.rings

    def write(self, block: str, name: str, value: int, index: int = 0) -> None:
        self.chip.write_register(BLOCKS[block].address(name, index), value)

    def read(self, block: str, name: str, index: int = 0) -> int:
        return self.chip.read_register(BLOCKS[block].address(name, index))

    def run(self, rings: list[Work]) -> None:
        """Do all packets, one of a ring at a time, so that each interrupt is seen."""
        for number, work in enumerate(rings):
            for name, value in (("base_lo", work.base), ("size", work.size), ("control", 1)):
                self.write("ring", name, value, number)
        left = {number: 0 for number, work in enumerate(rings) if work.packets}
        while left:
            for number in list(left):
                if self.read("ring", "read", number) == left[number]:
                    if left[number] == len(rings[number].packets):
                        del left[number]
                        continue
                    self._put(rings[number], left[number])
                    left[number] += 1
                    self.write("ring", "write", left[number], number)
                self._step(number, rings[number])

    def _put(self, work: Work, index: int) -> None:
        at = work.base + 64 * (index % work.size)
        self.chip.memory[at : at + 64] = np.frombuffer(work.packets[index], np.uint8)

    def _step(self, number: int, work: Work) -> None:
        self._run()
        index = self.read("ring", "read", number)
        if self.read("ring", "status", number) >> 3 & 1 and index in work.pokes:
            address, value = work.pokes[index]
            self.chip.memory[address : address + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
            self._run()
        stuck = [core.number for core in self.cores if self.chip.dispatcher.running(core.number)]
        if stuck:
            self.write("chip", "core_reset", 1 << stuck[0])
            self._run()

    def _run(self) -> None:
        self.chip.run(0)
        causes = self.read("chip", "irq_status")
        self.write("chip", "irq_status", causes)
        for number in range(len(self.interrupts)):
            self.interrupts[number] += causes >> number & 1
            if causes >> 16 + number & 1:
                names = ("code", "unit", "pc", "core", "address_lo", "address_hi")
                record = {name: self.read("ring", f"fault_{name}", number) for name in names}
                record["address"] = record.pop("address_lo") | record.pop("address_hi") << 32
                self.faults[number].append(record)
                self.write("ring", "fault_clear", 1, number)


def simulated(
    chip: ChipConfig, rings: list[Work], endings: dict[int, Any], memory: np.ndarray, seed: int, **bus: Any
) -> dict[str, Any]:
    """What the hardware does."""
    inputs = {
        "config": chip.name,
        "overrides": {"cores": chip.cores, "rings": chip.rings, "copy_beats": chip.copy_beats},
        "seed": seed,
        "memory": memory.copy(),
        "rings": [vars(work) for work in rings],
        "endings": endings,
        "limit": 200_000,
    } | bus
    return simulate(Rings(chip), "gemel_rings", "tb_command", inputs)


@pytest.mark.parametrize(
    ("cores", "rings", "stall", "latency"), [(1, 1, 0.0, 1), (1, 1, 0.4, 30), (3, 4, 0.0, 30), (3, 4, 0.4, 5)]
)
def test_random_rings(rng: np.random.Generator, cores: int, rings: int, stall: float, latency: int) -> None:
    chip = NANO.override(cores=cores, rings=rings)
    memory = rng.integers(0, 256, MEMORY, np.uint8)
    memory[TIMELINES : TIMELINES + 16 * rings] = 0
    work = Random(rng, chip)
    for _ in range(120 * rings):
        ring = int(rng.integers(rings))
        work.rings[ring].packets.append(work.packet(ring))
    golden = Golden(chip, memory, work.endings)
    golden.run(work.rings)
    got = simulated(chip, work.rings, work.endings, memory, int(rng.integers(1 << 30)), stall=stall, latency=latency)
    expected = golden.chip.memory
    for raw in (raw for ring in work.rings for raw in ring.packets):
        if raw[0] == PacketType.SIGNAL and raw[1] == 2 | raw[1] & 1 and raw[2:8] == bytes(6):
            stamp = int.from_bytes(raw[8:16], "little") + 8
            if stamp < MEMORY:
                assert int.from_bytes(got["memory"][stamp : stamp + 8].tobytes(), "little") < got["final"]
                expected[stamp : stamp + 8] = got["memory"][stamp : stamp + 8]
    assert [sorted(launches) for launches in got["launches"]] == [sorted(core.launches) for core in golden.cores]
    assert got["faults"] == golden.faults
    assert got["interrupts"] == golden.interrupts
    assert got["held"] == 0, "the copy engine asks only for what it has room for"
    used = slice(0, RINGS), slice(TIMELINES, MEMORY)  # a ring's old packets depend on how the host kept pace
    for part in used:
        np.testing.assert_array_equal(got["memory"][part], expected[part])
    assert any(got["launches"]) and any(got["faults"]) and any(got["interrupts"]), "too few packets to test anything"


def launches(count: int, cores: int, first: int) -> list[bytes]:
    """Launches without arguments whose programs are numbered from `first` on."""
    return [encode_packet(PacketType.LAUNCH, program=64 * (first + i), length=1, cores=cores) for i in range(count)]


def run_launches(chip: ChipConfig, rings: list[tuple[int, list[bytes]]], latency: int = 4) -> dict[str, Any]:
    """Run rings of (priority, packets)."""
    work = [Work(RINGS + 0x400 * i, priority=priority, packets=packets) for i, (priority, packets) in enumerate(rings)]
    return simulated(chip, work, {}, np.zeros(MEMORY, np.uint8), 1, stall=0.0, latency=latency)


CHIP = NANO.override(cores=3, rings=4)


def test_next_packet_is_fetched_meanwhile() -> None:
    """With 100 cycles of latency, launches of 2 arguments follow each other after one latency, not two."""
    packets = [encode_packet(PacketType.LAUNCH, arguments=2, argument_block=DATA)] * RING_SIZE
    chip = NANO.override(rings=1)
    cycles = run_launches(chip, [(0, packets)], latency=100)["cycles"]
    assert cycles < 100 + RING_SIZE * (100 + 20 + 12)


def test_equals_take_turns() -> None:
    """Four rings want core 1 all the time: each gets every fourth launch."""
    got = run_launches(CHIP, [(3, launches(RING_SIZE, 0b10, 100 * ring)) for ring in range(4)])
    owners = [program // 6400 for program, _ in got["times"][1]]
    assert owners[1:-1] == [(owners[1] + i) % 4 for i in range(len(owners) - 2)] and len(owners) == 4 * RING_SIZE


def test_the_highest_priority_goes_first() -> None:
    """Rings 2 and 0 finish before rings 3 and 1 begin, and no launch of ring 2 waits for more than one of ring 0."""
    rings = [(priority, launches(RING_SIZE, 1, 100 * ring)) for ring, priority in enumerate((4, 0, 7, 1))]
    owners = [program // 6400 for program, _ in run_launches(CHIP, rings)["times"][0]]
    places = {ring: [place for place, owner in enumerate(owners) if owner == ring] for ring in range(4)}
    # While the highest fetches its next packet, the next one in rank gets the core.
    assert all(place <= 2 * index + 1 for index, place in enumerate(places[2]))
    assert all(place <= 2 * index + 1 for index, place in enumerate(places[0]))
    assert all(place <= 2 * (RING_SIZE + index) + 1 for index, place in enumerate(places[3]))


def test_a_launch_on_all_cores_is_not_starved() -> None:
    """Two rings keep cores 0 and 1 busy in turn; the launch on both begins after at most one more of each."""
    rings = [(0, launches(RING_SIZE, 1, 0)), (0, launches(RING_SIZE, 2, 100)), (0, launches(4, 7, 200)), (0, [])]
    got = run_launches(CHIP, rings)
    both = [program for program, _ in got["times"][0]]
    places = [place for place, program in enumerate(both) if program >= 6400]
    assert all(b - a <= 2 for a, b in pairwise(places)), "another launch slipped in between"
    assert [program for program, _ in got["times"][2]] == [64 * (200 + i) for i in range(4)]


def test_disjoint_launches_run_beside_each_other() -> None:
    """Three rings on three cores take as long as one alone, but for the bus that they share."""
    alone = run_launches(CHIP, [(0, launches(RING_SIZE, 1, 0)), (0, []), (0, []), (0, [])])["cycles"]
    together = run_launches(CHIP, [(0, launches(RING_SIZE, 1 << ring, 0)) for ring in range(3)] + [(0, [])])["cycles"]
    assert together < 1.5 * alone


def test_copies_of_all_rings_take_turns() -> None:
    """Each ring's copy waits for one of every other ring's, and moves 64 bytes a cycle when its turn comes."""
    size, copies = 2048, 4
    packets = [
        [encode_packet(PacketType.COPY, source=0, target=DATA + DATA_BYTES * ring, bytes=size)] * copies
        for ring in range(4)
    ]
    work = [Work(RINGS + 0x400 * ring, packets=packets[ring]) for ring in range(4)]
    memory = np.random.default_rng(1).integers(0, 256, MEMORY, np.uint8)
    source = memory[:size].copy()
    got = simulated(CHIP, work, {}, memory, 1, stall=0.0, latency=60)
    first = 0
    for cycle, _, _, beats in got["copies"][0]:
        assert got["copies"][1][first + beats - 1] <= cycle + beats + 2, "an address waits for all its data"
        first += beats
    for ring in range(4):
        place = DATA + DATA_BYTES * ring
        np.testing.assert_array_equal(got["memory"][place : place + size], source)
    order = sorted((end, ring) for ring, ends in enumerate(got["ends"]) for end in ends)
    assert all({ring for _, ring in order[i : i + 4]} == {0, 1, 2, 3} for i in range(0, len(order), 4))
    assert got["cycles"] < 4 * copies * (size // 64 + 2 * 60 + 40)


@pytest.mark.parametrize(
    ("source", "target", "size", "broken", "stall"),
    [
        (0x4010, 0x8020, 5000, 0x4A40, 0.3),
        (0x4010, 0x8020, 5000, 0x8A40, 0.3),
        # The burst before the last, whose single beat is answered in the next cycle.
        (0x4000, 0x8000, 0x840, 0x87C0, 0.0),
    ],
)
def test_an_uncorrectable_error_is_a_fault_of_its_copy(
    source: int, target: int, size: int, broken: int, stall: float
) -> None:
    """The next copy of the ring is done, and nothing but the targets is written."""
    bad = encode_packet(PacketType.COPY, source=source, target=target, bytes=size)
    good = encode_packet(PacketType.COPY, source=0x5800, target=0x9801, bytes=1000)
    memory = np.random.default_rng(1).integers(0, 256, MEMORY, np.uint8)
    work = [Work(RINGS, packets=[bad, good])]
    got = simulated(NANO.override(rings=1), work, {}, memory, 1, stall=stall, latency=20, broken=(broken,))
    (record,) = got["faults"][0]
    assert (record["code"], record["unit"], record["pc"]) == (FaultCode.ECC_MEMORY, Unit.COMMAND, 0)
    assert record["address"] == broken & -0x400, "bursts begin at multiples of 1 KB"
    expected = memory.copy()
    expected[0x9801 : 0x9801 + 1000] = memory[0x5800 : 0x5800 + 1000]
    outside = np.ones(MEMORY, bool)
    outside[RINGS : RINGS + 64 * RING_SIZE] = outside[target : target + size] = False
    np.testing.assert_array_equal(got["memory"][outside], expected[outside])


def test_a_copy_reads_no_further_ahead_than_its_buffer_holds() -> None:
    """Memory takes beats at a third of the rate at which it gives them: none of them waits on the bus."""
    source, target, size = 0x4007, 0x9003, 12_000
    packet = encode_packet(PacketType.COPY, source=source, target=target, bytes=size)
    memory = np.random.default_rng(1).integers(0, 256, MEMORY, np.uint8)
    rates = {"stall": 0.0, "write_stall": 0.7}
    got = simulated(NANO.override(rings=1), [Work(RINGS, packets=[packet])], {}, memory, 1, latency=5, **rates)
    np.testing.assert_array_equal(got["memory"][target : target + size], memory[source : source + size])
    assert got["held"] == 0
