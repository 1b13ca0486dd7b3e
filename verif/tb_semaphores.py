"""Drives the semaphores: several units that wait and signal at random, and a model that says who may go."""

from typing import Any

import cocotb
import numpy as np

from gemel_rtl.interfaces import SEMAPHORE_PAIR
from gemel_verif.bench import Bench, Source, Stalls
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

PAIR = Packer(SEMAPHORE_PAIR)


class Registers:
    """Clears, selects a counter and sees the fault."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.clear, self.select = 0, 0
        self.fault: dict[str, int] | None = None
        self.value = 0

    def drive(self) -> None:
        self.dut.clear.value = self.clear
        self.dut.select.value = self.select
        self.clear = 0

    def sample(self) -> None:
        self.value = value(self.dut.value)
        self.fault = None
        if value(self.dut.fault_valid):
            self.fault = {name: value(getattr(self.dut, f"fault_{name}")) for name in ("code", "pc")}


@cocotb.test()
async def exchange(dut: Any) -> None:
    """Give every unit its waits and signals; results are the transfers in order, counters and the fault."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    bench = Bench(dut)
    log: list[tuple[int, str, int, dict[str, int]]] = []
    registers = Registers(dut)
    sources = []
    for i in range(inputs["ports"]):
        getattr(dut, f"source_pc_{i}").value = 100 + i
        for kind in ("wait", "signal"):

            def note(bits: int, i: int = i, kind: str = kind) -> None:
                log.append((bench.cycle, kind, i, PAIR.unpack(bits)))

            source = Source(dut, f"port_{i}_{kind}", Stalls(rng, inputs["stall"]), note)
            source.queue += [PAIR.pack(**pair) for pair in inputs[kind][i]]
            sources.append(source)
    bench.models.append(registers)
    await bench.reset()
    registers.clear = 1
    await bench.step()
    bench.models += sources
    for _ in range(inputs["cycles"]):
        await bench.step()
        if registers.fault is not None or not any(source.queue for source in sources):
            break
    await bench.step()
    counts = []
    for semaphore in range(32):
        registers.select = semaphore
        await bench.step()
        counts.append(registers.value)
    outputs.update(log=log, counts=counts, fault=registers.fault, cycles=bench.cycle)
