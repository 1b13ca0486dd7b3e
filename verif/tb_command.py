"""Drives the command processor: rings in a scripted memory, and a core that only says how each launch ends."""

from typing import Any

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.launch import Argument, FaultRecord
from gemel_verif.axi_memory import ReadMemory, WriteMemory
from gemel_verif.bench import Bench
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

ARGUMENT = Packer(Argument)
RECORD = Packer(FaultRecord)
PATIENCE = 400
"""Cycles of waiting after which the host changes the word: more than a few looks at it take."""


class Core:
    """Notes each launch, and ends the n-th after a while with the n-th of `endings`, a fault record or None."""

    def __init__(self, dut: Any, rng: np.random.Generator, endings: list[dict[str, int] | None]):
        self.dut, self.rng, self.endings = dut, rng, endings
        self.launches: list[tuple[int, int, list[int]]] = []
        self.cancelled = 0
        self.words: dict[int, int] = {}
        self.left: int | None = None
        self.running = False

    def drive(self) -> None:
        ending = self.left == 0
        self.dut.launch_done.value = ending
        if ending:
            record = self.endings[len(self.launches) - 1]
            self.dut.launch_fault.value = RECORD.pack(**record) if record else 0
            self.left, self.running = None, False
        elif self.left is not None:
            self.left -= 1

    def sample(self) -> None:
        if value(self.dut.launch_start):
            assert not self.running, "a launch starts while one runs"
            self.running, self.words = True, {}
            self.program = value(self.dut.launch_program), value(self.dut.launch_length)
        if value(self.dut.launch_argument_valid):
            argument = ARGUMENT.unpack(value(self.dut.launch_argument))
            for word in range(8):
                if argument["enable"] >> word & 1:
                    self.words[8 * argument["beat"] + word] = argument["words"] >> 64 * word & (1 << 64) - 1
        if self.running and self.left is None:
            if value(self.dut.launch_cancel):
                self.left = int(self.rng.integers(20))
                self.cancelled += 1
            elif value(self.dut.launch_go):
                assert sorted(self.words) == list(range(len(self.words)))
                self.launches.append((*self.program, [self.words[i] for i in range(len(self.words))]))
                self.left = int(self.rng.integers(1, 40))


class Host:
    """The registers, and the faults and interrupts that the processor reports."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.inputs: dict[str, int] = {"enable": 0, "ring_base": 0, "ring_size": 1, "ring_write": 0}
        self.clear = False
        self.cycle = 0
        self.read = 0
        self.faults: list[dict[str, int]] = []
        self.interrupts = 0
        self.busy = self.stopped = False
        self.waited = 0

    def drive(self) -> None:
        for name, word in self.inputs.items():
            getattr(self.dut, name).value = word
        self.dut.fault_clear.value = self.clear
        self.clear = False
        self.dut.clock.value = self.cycle
        self.cycle += 1

    def sample(self) -> None:
        self.read = value(self.dut.ring_read)
        self.interrupts += value(self.dut.interrupt)
        self.waited = self.waited + 1 if value(self.dut.waiting) else 0
        self.busy = bool(value(self.dut.busy))
        record = RECORD.unpack(value(self.dut.fault))
        if record["code"] and not self.stopped:
            self.faults.append(record)
        self.stopped = bool(record["code"])


@cocotb.test()
async def run_rings(dut: Any) -> None:
    """Do the scenario's batches of packets; results are launches, faults, interrupts, memory and cycles."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip, stall, memory = config(inputs["config"]), inputs["stall"], inputs["memory"]
    bench = Bench(dut)
    reads = ReadMemory(dut, "read", chip, memory, rng, latency=inputs["latency"], stall=stall)
    writes = WriteMemory(dut, "write", chip, memory, rng, latency=inputs["latency"], stall=stall)
    core = Core(dut, rng, inputs["endings"])
    host = Host(dut)
    bench.models += [reads, writes, core, host]
    await bench.reset()
    base, size = inputs["ring_base"], inputs["ring_size"]
    host.inputs |= {"enable": 1, "ring_base": base, "ring_size": size}
    written = 0
    begin = bench.cycle
    for batch in inputs["batches"]:
        for packet in batch["packets"]:
            at = base + 64 * (written % size)
            memory[at : at + 64] = np.frombuffer(packet, np.uint8)
            written += 1
        host.inputs["ring_write"] = written
        pokes = dict(batch["pokes"])
        for _ in range(inputs["limit"]):
            if host.stopped and rng.random() < 0.1:
                host.clear = True
            if host.waited > PATIENCE and host.read in pokes:
                address, word = pokes.pop(host.read)
                memory[address : address + 8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)
            if host.read == written and not host.busy and not host.stopped:
                break
            await bench.step()
        else:
            raise AssertionError(f"packet {host.read} of {written} isn't done after {inputs['limit']} cycles")
    outputs.update(
        launches=core.launches,
        cancelled=core.cancelled,
        faults=host.faults,
        interrupts=host.interrupts,
        memory=memory,
        cycles=bench.cycle - begin,
        final=host.cycle,
    )
