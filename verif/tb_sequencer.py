"""Drives the sequencer: programs in memory, units that only take instructions, semaphores that only grant."""

from typing import Any

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.interfaces import SEMAPHORE_PAIR, issue_payload
from gemel_rtl.launch import Argument
from gemel_verif.axi_memory import ReadMemory
from gemel_verif.bench import Bench, Sink, Stalls
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

ISSUE = Packer(issue_payload())
PAIR = Packer(SEMAPHORE_PAIR)
ARGUMENT = Packer(Argument)
UNITS = ("load", "tensor", "store")


class Launch:
    """Starts a program, gives its arguments after a while, sees its end; holds abort after a fault."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.done = self.delivered = self.idle = False
        self.fault: dict[str, int] | None = None
        self.inputs: dict[str, int] = {}
        self.abort = False

    def drive(self) -> None:
        for name in ("start", "argument_valid"):
            getattr(self.dut, name).value = self.inputs.pop(name, 0)
        for name in list(self.inputs):
            getattr(self.dut, name).value = self.inputs.pop(name)
        self.dut.sup_abort.value = self.abort

    def sample(self) -> None:
        self.done = bool(value(self.dut.done))
        self.idle = bool(value(self.dut.sup_idle))
        self.delivered = self.delivered or bool(value(self.dut.delivered))
        if not self.abort and value(self.dut.sup_fault_valid):
            self.fault = {name: value(getattr(self.dut, f"sup_fault_{name}")) for name in ("code", "pc", "address")}


@cocotb.test()
async def run_programs(dut: Any) -> None:
    """Run the scenario's programs; results are what was issued, the NOPs' semaphores, fault and cycles of each."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip, stall = config(inputs["config"]), inputs["stall"]
    bench = Bench(dut)
    issued: list[tuple[str, int, int, int]] = []
    synced: list[tuple[str, dict[str, int]]] = []

    def take(unit: str, bits: int) -> None:
        payload = ISSUE.unpack(bits)
        issued.append((unit, payload["pc"], payload["bits"], bench.cycle))

    def sync(kind: str, bits: int) -> None:
        synced.append((kind, PAIR.unpack(bits)))

    bus = ReadMemory(
        dut, "bus", chip, inputs["memory"], rng, latency=inputs["latency"], stall=stall, broken=inputs["broken"]
    )
    launch = Launch(dut)
    bench.models += [bus, launch]
    for unit in UNITS:
        bench.models.append(
            Sink(dut, f"issue_{unit}", Stalls(rng, stall), lambda b, u=unit: take(u, b), may_withdraw=True)
        )
    for kind in ("wait", "signal"):
        bench.models.append(
            Sink(dut, f"semaphores_{kind}", Stalls(rng, stall), lambda b, k=kind: sync(k, b), may_withdraw=True)
        )
    dut.go.value = 0
    dut.units_idle.value = 1
    dut.ranks.value = dut.released.value = dut.peers_idle.value = 1
    await bench.reset()

    results = []
    for program in inputs["programs"]:
        issued.clear()
        synced.clear()
        launch.fault, launch.done, launch.delivered = None, False, False
        first = len(bus.bursts)
        launch.inputs = {"start": 1, "entry": program["address"], "length": program["length"], "go": 0}
        await bench.step()
        arguments = program["arguments"]
        for beat in range(-(-len(arguments) // 8)):
            words = arguments[8 * beat : 8 * beat + 8]
            packed = sum(word << 64 * i for i, word in enumerate(words))
            launch.inputs = {
                "argument": ARGUMENT.pack(beat=beat, enable=(1 << len(words)) - 1, words=packed),
                "argument_valid": 1,
            }
            await bench.step()
        launch.inputs = {"go": 1}
        await bench.run(lambda: launch.delivered or launch.fault is not None, inputs["limit"])
        begin = bench.cycle
        await bench.run(lambda: launch.done or launch.fault is not None, inputs["limit"])
        results.append(
            {
                "issued": list(issued),
                "synced": list(synced),
                "fault": launch.fault,
                "cycles": bench.cycle - begin,
                "begin": begin,
                "bursts": bus.bursts[first:],
            }
        )
        if launch.fault is not None:
            launch.abort = True
            await bench.step()
            await bench.run(lambda: launch.idle, inputs["limit"])
            launch.abort = False
            await bench.step()
    outputs.update(results=results)
