"""The command processor does what golden's does: random rings with waits, faults and illegal packets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gemel_golden.chip import GoldenChip
from gemel_golden.config import config
from gemel_golden.core import Core
from gemel_golden.faults import Fault
from gemel_golden.isa import FaultCode, Unit
from gemel_golden.packets import PACKETS, PacketType, encode_packet
from gemel_golden.registers import BLOCKS
from gemel_rtl.command.processor import CommandProcessor
from gemel_verif.runner import simulate

CHIP = config("nano")
MEMORY = 1 << 16
RING = 0x1000
RING_SIZE = 16
DATA = 0x4000
"""From here on memory holds arguments and the words of WAIT and SIGNAL."""
TOP = 1 << CHIP.mem_address_bits


class ScriptedCore(Core):
    """In golden's core's place: notes the launches and ends each as the script says."""

    def __init__(self, memory: np.ndarray, endings: list[dict[str, int] | None]):
        super().__init__(CHIP, memory)
        self.endings = endings
        self.launches: list[tuple[int, int, list[int]]] = []

    def launch(self, address: int, length: int, arguments: Sequence[int] = ()) -> None:
        self.launches.append((address, length, list(arguments)))

    def run(self) -> bool:
        record = self.endings[len(self.launches) - 1]
        if record:
            raise Fault(FaultCode(record["code"]), Unit(record["unit"]), record["address"], record["pc"])
        return True


class Batch:
    """Packets that the host writes at once, and the words it changes while packet `index` waits."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.pokes: dict[int, tuple[int, int]] = {}


def word(rng: np.random.Generator) -> int:
    return int(rng.integers(1 << 64, dtype=np.uint64))


def somewhere(rng: np.random.Generator, multiple: int) -> int:
    """An address of data; once in a while one that memory or the bus doesn't have."""
    if rng.random() < 0.06:
        return [MEMORY, MEMORY + 0x10000, TOP, TOP | DATA, (1 << 64) - multiple][int(rng.integers(5))]
    return int(rng.integers(DATA, MEMORY - 64) // multiple * multiple)


def packet(rng: np.random.Generator, batch: Batch, index: int) -> bytes:
    """A random packet, perhaps illegal."""
    match int(rng.integers(6)):
        case 0:
            return encode_packet(PacketType.NOP)
        case 1 | 2:
            return encode_packet(
                PacketType.LAUNCH,
                arguments=int(rng.integers(32)),
                program=word(rng) & ~63,
                length=int(rng.integers(1, 1 << 24)),
                argument_block=somewhere(rng, 64),
            )
        case 3:
            address = somewhere(rng, 8)
            if rng.random() < 0.5 and address < MEMORY:
                value = word(rng) | 1
                batch.pokes[index] = address, min(value + int(rng.integers(2)), (1 << 64) - 1)
                return encode_packet(PacketType.WAIT, address=address, value=value)
            return encode_packet(PacketType.WAIT, address=address, value=0)
        case 4:
            flags = {name: int(rng.integers(2)) for name in ("interrupt", "timestamp")}
            return encode_packet(PacketType.SIGNAL, address=somewhere(rng, 16), value=word(rng), **flags)
    kind = PacketType(int(rng.integers(len(PacketType))))
    bits = int.from_bytes(encode_packet(kind), "little")
    fields = PACKETS[kind]
    wrong = [4] + [bits | 1 << b for b in range(8, 512) if not any(f.lsb <= b < f.lsb + f.width for f in fields)]
    wrong += [bits | field.insert(field.maximum + 1) for field in fields if field.maximum + 1 < 1 << field.width]
    wrong += [bits | field.insert(field.multiple >> 1) for field in fields if field.multiple > 1]
    wrong += [bits & ~field.insert(-1) for field in fields if field.minimum > 0]
    return wrong[int(rng.integers(len(wrong)))].to_bytes(64, "little")


def golden(batches: list[Batch], memory: np.ndarray, endings: list[Any]) -> dict[str, Any]:
    """Launches, faults, interrupts and memory of golden's chip."""
    chip = GoldenChip(CHIP, len(memory))
    chip.memory[:] = memory
    chip.core = core = ScriptedCore(chip.memory, endings)

    def write(name: str, value: int, block: str = "ring") -> None:
        chip.write_register(BLOCKS[block].address(name), value)

    def read(name: str, block: str = "ring") -> int:
        return chip.read_register(BLOCKS[block].address(name))

    for name, value in (("base_lo", RING), ("size", RING_SIZE), ("control", 1)):
        write(name, value)
    written, faults, interrupts = 0, [], 0
    for batch in batches:
        for raw in batch.packets:
            at = RING + 64 * (written % RING_SIZE)
            chip.memory[at : at + 64] = np.frombuffer(raw, np.uint8)
            written += 1
        # One packet at a time, so that each interrupt is seen.
        for index in range(written - len(batch.packets), written):
            write("write", index + 1)
            chip.run(0)
            if read("read") == index:
                address, value = batch.pokes[index]
                chip.memory[address : address + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
                chip.run(0)
            causes = read("irq_status", "chip")
            interrupts += causes & 1
            if causes >> 16 & 1:
                names = ("code", "unit", "pc", "address_lo", "address_hi")
                record = {name: read(f"fault_{name}") for name in names}
                record["address"] = record.pop("address_lo") | record.pop("address_hi") << 32
                faults.append(record)
                write("fault_clear", 1)
            write("irq_status", causes, "chip")
    return {"launches": core.launches, "faults": faults, "interrupts": interrupts, "memory": chip.memory}


def run(batches: list[Batch], memory: np.ndarray, rng: np.random.Generator, **bus: Any) -> dict[str, Any]:
    """Run the batches on golden and the RTL; everything but time must be equal. The RTL's results."""
    endings: list[dict[str, int] | None] = [
        {"code": int(rng.integers(1, 9)), "unit": int(rng.integers(4)), "pc": index, "address": word(rng)}
        if rng.random() < 0.2
        else None
        for batch in batches
        for index, _ in enumerate(batch.packets)
    ]
    expected = golden(batches, memory, endings)
    inputs = {
        "config": CHIP.name,
        "seed": int(rng.integers(1 << 30)),
        "memory": memory.copy(),
        "ring_base": RING,
        "ring_size": RING_SIZE,
        "batches": [vars(batch) for batch in batches],
        "endings": endings,
        "limit": 40000,
    } | bus
    got = simulate(CommandProcessor(CHIP), "gemel_command", "tb_command", inputs)
    stamps = [
        int.from_bytes(raw[8:16], "little") + 8
        for batch in batches
        for raw in batch.packets
        if raw[0] == PacketType.SIGNAL and raw[1] == 2 | raw[1] & 1 and raw[2:8] == bytes(6)
    ]
    for stamp in stamps:
        if stamp < MEMORY:
            assert int.from_bytes(got["memory"][stamp : stamp + 8].tobytes(), "little") < got["final"]
            expected["memory"][stamp : stamp + 8] = got["memory"][stamp : stamp + 8]
    assert got["launches"] == expected["launches"]
    assert got["faults"] == expected["faults"]
    assert got["interrupts"] == expected["interrupts"]
    np.testing.assert_array_equal(got["memory"], expected["memory"])
    return got


@pytest.mark.parametrize(("stall", "latency"), [(0.0, 1), (0.0, 30), (0.4, 5)])
def test_random_rings(rng: np.random.Generator, stall: float, latency: int) -> None:
    memory = rng.integers(0, 256, MEMORY, np.uint8)
    batches, index = [], 0
    for _ in range(14):
        batch = Batch()
        for _ in range(int(rng.integers(1, RING_SIZE + 1))):
            batch.packets.append(packet(rng, batch, index))
            index += 1
        batches.append(batch)
    got = run(batches, memory, rng, stall=stall, latency=latency)
    assert got["launches"] and got["faults"] and got["interrupts"], "too few packets to test anything"


def test_next_packet_is_fetched_meanwhile(rng: np.random.Generator) -> None:
    """With 100 cycles of latency, launches of 2 arguments follow each other after one latency, not two."""
    batch = Batch()
    for _ in range(RING_SIZE):
        batch.packets.append(encode_packet(PacketType.LAUNCH, arguments=2, program=0, length=1, argument_block=DATA))
    memory = np.zeros(MEMORY, np.uint8)
    inputs = {
        "config": CHIP.name,
        "seed": 1,
        "memory": memory,
        "ring_base": RING,
        "ring_size": RING_SIZE,
        "batches": [vars(batch)],
        "endings": [None] * RING_SIZE,
        "limit": 9999,
        "stall": 0.0,
        "latency": 100,
    }
    cycles = simulate(CommandProcessor(CHIP), "gemel_command", "tb_command", inputs)["cycles"]
    assert cycles < 100 + RING_SIZE * (100 + 20 + 12)
