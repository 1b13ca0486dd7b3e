"""Drives the rings: packets in a scripted memory, and cores that only say how each launch ends."""

from typing import Any

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.launch import Argument, FaultRecord, RingFault
from gemel_verif.axi_memory import ReadMemory, WriteMemory
from gemel_verif.bench import Bench
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

ARGUMENT = Packer(Argument)
RECORD = Packer(FaultRecord)
RING_RECORD = Packer(RingFault)
PATIENCE = 400
"""Cycles of waiting after which the host changes the word, or cancels a launch: more than a few looks at it take."""


class Core:
    """Notes its launches, and ends each after a while.

    `endings`: by program, a fault record ("core": whose it is), None, or "hang": it has to be cancelled.
    """

    def __init__(self, dut: Any, number: int, rng: np.random.Generator, endings: dict[int, Any]):
        self.dut, self.number, self.rng, self.endings = dut, number, rng, endings
        self.launches: list[tuple[int, int, list[int]]] = []
        self.times: list[tuple[int, int]] = []
        """Program and cycle of every start."""
        self.words: dict[int, int] = {}
        self.left: int | None = None
        self.record: dict[str, int] | None = None
        self.running = self.hangs = False
        self.cycle = 0

    def _port(self, name: str) -> Any:
        return getattr(self.dut, f"launch_{self.number}_{name}")

    def drive(self) -> None:
        self.cycle += 1
        ending = self.left == 0
        self._port("done").value = ending
        self._port("fault").value = RECORD.pack(**self.record) if self.record else 0
        if ending:
            self.left, self.running, self.hangs = None, False, False
        elif self.left is not None:
            self.left -= 1

    def sample(self) -> None:
        if value(self._port("start")):
            assert not self.running, f"a launch starts on core {self.number} while one runs"
            self.running, self.words, self.record = True, {}, None
            self.program = value(self._port("program")), value(self._port("length"))
            self.times.append((self.program[0], self.cycle))
        if value(self._port("argument_valid")):
            argument = ARGUMENT.unpack(value(self._port("argument")))
            for word in range(8):
                if argument["enable"] >> word & 1:
                    self.words[8 * argument["beat"] + word] = argument["words"] >> 64 * word & (1 << 64) - 1
        if not self.running or self.left is not None:
            return
        if value(self._port("cancel")):
            self.left = int(self.rng.integers(20))
        elif value(self._port("go")) and not self.hangs:
            assert sorted(self.words) == list(range(len(self.words)))
            self.launches.append((*self.program, [self.words[i] for i in range(len(self.words))]))
            self._begin(self.endings.get(self.program[0]))

    def _begin(self, ending: Any) -> None:
        if ending == "hang":
            self.hangs = True
        elif ending and ending["core"] == self.number:
            self.record = {name: word for name, word in ending.items() if name != "core"}
            self.left = int(self.rng.integers(8, 40))
        elif ending:  # another core's fault ends it, however long it takes
            self.hangs = True
        else:
            self.left = int(self.rng.integers(1, 40))


class Ring:
    """One ring's registers, its packets still to be written, and the faults and interrupts that it reports.

    `pokes`: what the host writes while packet i waits. With `pauses` the ring is disabled now and then.
    """

    def __init__(self, dut: Any, number: int, memory: np.ndarray, rng: np.random.Generator, work: dict[str, Any]):
        self.dut, self.number, self.memory, self.rng = dut, number, memory, rng
        self.base, self.size = work["base"], work["size"]
        self.packets, self.pokes = list(work["packets"]), dict(work["pokes"])
        self.priority = work.get("priority", 0)
        self.written = self.read = self.interrupts = self.waited = 0
        self.faults: list[dict[str, int]] = []
        self.pauses, self.paused = work["pauses"], 0
        self.clear = self.stopped = False
        self.busy = True
        self.ends: list[int] = []
        """Cycle in which packet i was done."""
        self.cycle = 0

    @property
    def done(self) -> bool:
        return self.read == len(self.packets) and not self.busy and not self.stopped and not self.paused

    def _port(self, side: str, name: str) -> Any:
        return getattr(self.dut, f"{side}_{self.number}_{name}")

    def drive(self) -> None:
        self.cycle += 1
        while self.written < min(len(self.packets), self.read + self.size) and self.rng.random() < 0.8:
            at = self.base + 64 * (self.written % self.size)
            self.memory[at : at + 64] = np.frombuffer(self.packets[self.written], np.uint8)
            self.written += 1
        if self.pauses and not self.paused and self.rng.random() < 0.01:
            self.paused = int(self.rng.integers(5, 60))
        self.paused = max(0, self.paused - 1)
        inputs = {
            "enable": not self.paused,
            "base": self.base,
            "size": self.size,
            "write": self.written,
            "priority": self.priority,
        }
        for name, word in inputs.items():
            self._port("control", name).value = word
        self._port("control", "fault_clear").value = self.clear
        self.clear = False

    def sample(self) -> None:
        read = value(self._port("status", "read"))
        self.ends += [self.cycle] * (read - self.read)
        self.read = read
        self.interrupts += value(self._port("status", "interrupt"))
        self.waited = self.waited + 1 if value(self._port("status", "waiting")) else 0
        self.busy = bool(value(self._port("status", "busy")))
        record = RING_RECORD.unpack(value(self._port("status", "fault")))
        if record["code"] and not self.stopped:
            self.faults.append(record)
        self.stopped = bool(record["code"])
        if self.stopped and self.rng.random() < 0.1:
            self.clear = True
        if self.waited > PATIENCE and self.read in self.pokes:
            address, word = self.pokes.pop(self.read)
            self.memory[address : address + 8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)


class Host:
    """The chip's registers: the clock, and the cancelling of launches that hang."""

    def __init__(self, dut: Any, cores: list[Core], endings: dict[int, Any]):
        self.dut, self.cores, self.endings = dut, cores, endings
        self.cycle = 0
        self.hung = 0

    def drive(self) -> None:
        self.dut.clock.value = self.cycle
        self.cycle += 1
        stuck = [core for core in self.cores if core.hangs and self.endings[core.program[0]] == "hang"]
        self.hung = self.hung + 1 if stuck else 0
        self.dut.core_reset.value = 1 << stuck[0].number if self.hung > PATIENCE else 0
        if self.hung > PATIENCE:
            self.hung = 0

    def sample(self) -> None:
        pass


class Holds:
    """Counts the cycles in which the copy engine holds a beat back that memory has read for it."""

    def __init__(self, dut: Any):
        self.valid, self.ready = dut.copy_read_r_valid, dut.copy_read_r_ready
        self.cycles = 0

    def drive(self) -> None:
        pass

    def sample(self) -> None:
        self.cycles += value(self.valid) and not value(self.ready)


@cocotb.test()
async def run_rings(dut: Any) -> None:
    """Do the packets of the scenario's rings; results are launches, faults, interrupts, memory and cycles."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip = config(inputs["config"]).override(**inputs["overrides"])
    stall, memory = inputs["stall"], inputs["memory"]
    bench = Bench(dut)
    reads = ReadMemory(dut, "read", chip, memory, rng, latency=inputs["latency"], stall=stall)
    writes = WriteMemory(dut, "write", chip, memory, rng, latency=inputs["latency"], stall=stall)
    copied = {"latency": inputs["latency"], "broken": inputs.get("broken", ())}
    copy_reads = ReadMemory(dut, "copy_read", chip, memory, rng, stall=stall, **copied)
    copy_writes = WriteMemory(dut, "copy_write", chip, memory, rng, stall=inputs.get("write_stall", stall), **copied)
    cores = [Core(dut, number, rng, inputs["endings"]) for number in range(chip.cores)]
    rings = [Ring(dut, number, memory, rng, work) for number, work in enumerate(inputs["rings"])]
    host = Host(dut, cores, inputs["endings"])
    holds = Holds(dut)
    bench.models += [reads, writes, copy_reads, copy_writes, holds, *cores, *rings, host]
    await bench.reset()
    begin = bench.cycle
    await bench.run(lambda: all(ring.done for ring in rings), inputs["limit"])
    outputs.update(
        launches=[core.launches for core in cores],
        times=[core.times for core in cores],
        faults=[ring.faults for ring in rings],
        interrupts=[ring.interrupts for ring in rings],
        ends=[ring.ends for ring in rings],
        memory=memory,
        held=holds.cycles,
        copies=(copy_writes.bursts, copy_writes.beats),
        cycles=bench.cycle - begin,
        final=host.cycle,
    )
