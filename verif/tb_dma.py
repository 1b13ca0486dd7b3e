"""Drives LOAD or STORE: programs, semaphores, memory and L1 with random stalls; aborts after faults."""

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.interfaces import SEMAPHORE_PAIR, issue_payload
from gemel_verif.axi_memory import ReadMemory, WriteMemory
from gemel_verif.bench import Bench, Sink, Source, Stalls
from gemel_verif.l1_model import L1Read, L1Write
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

ISSUE = Packer(issue_payload())
PAIR = Packer(SEMAPHORE_PAIR)


class Supervisor:
    """Sees start and stop pulses, faults, idleness, and when the queue before the unit was empty as well."""

    def __init__(self, dut, issue: Source, log):
        self.dut, self.issue, self.log = dut, issue, log
        self.idle = self.done = self.empty = False
        self.fault: dict[str, int] | None = None
        self.abort = False

    def drive(self) -> None:
        self.dut.sup_abort.value = self.abort
        self.empty = not self.issue.queue

    def sample(self) -> None:
        for pulse in ("start", "stop"):
            if value(getattr(self.dut, f"sup_{pulse}")):
                self.log(pulse)
        self.idle = bool(value(self.dut.sup_idle))
        self.done = self.idle and self.empty
        if not self.abort and value(self.dut.sup_fault_valid):
            self.fault = {name: value(getattr(self.dut, f"sup_fault_{name}")) for name in ("code", "pc", "address")}


@cocotb.test()
async def run_programs(dut) -> None:
    """Run the scenario's programs one after the other; results are events, faults, bytes and cycles."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip, stall, latency = config(inputs["config"]), inputs["stall"], inputs["latency"]
    memory, l1 = inputs["memory"].copy(), inputs["l1"].copy()
    bench = Bench(dut)
    events: list[tuple[int, str, int]] = []

    def log(kind: str, what: int = 0) -> None:
        events.append((bench.cycle, kind, what))

    if inputs["unit"] == "load":
        bus = ReadMemory(dut, "bus", chip, memory, rng, latency=latency, stall=stall, broken=inputs["broken"])
        port = L1Write(dut, "l1", chip, l1, rng, stall)
    else:
        bus = WriteMemory(dut, "bus", chip, memory, rng, latency=latency, stall=stall, broken=inputs["broken"])
        port = L1Read(dut, "l1", chip, l1, rng, stall)
        reads = ReadMemory(dut, "read_bus", chip, memory, rng, latency=latency, stall=stall, broken=inputs["broken"])
        bench.models.append(reads)
    indices = L1Read(dut, "indices", chip, l1, rng, stall)
    issue = Source(dut, "issue", Stalls(rng, stall))
    wait = Sink(dut, "semaphores_wait", Stalls(rng, stall), lambda bits: log("wait", bits), may_withdraw=True)
    signal = Sink(dut, "semaphores_signal", Stalls(rng, stall), lambda bits: log("signal", bits), may_withdraw=True)
    supervisor = Supervisor(dut, issue, log)
    dut.sup_abort.value = 0
    bench.models += [bus, port, indices, issue, wait, signal, supervisor]
    await bench.reset()

    results = []
    for program in inputs["programs"]:
        begin = bench.cycle
        issue.queue += [ISSUE.pack(bits=int.from_bytes(raw, "little"), pc=pc) for pc, raw in program["instructions"]]
        abort_at = program.get("abort_after")

        def ended(begin: int = begin, abort_at: int | None = abort_at) -> bool:
            aborted = abort_at is not None and bench.cycle - begin >= abort_at
            return supervisor.fault is not None or aborted or (supervisor.done and bench.cycle > begin)

        await bench.run(ended, inputs["limit"])
        assert not (abort_at is None and supervisor.fault is None) or bus.quiet, "idle with bursts under way"
        results.append({"fault": supervisor.fault, "cycles": bench.cycle - begin, "begin": begin})
        if supervisor.fault is not None or abort_at is not None:
            supervisor.abort = True
            issue.clear()
            await bench.step()
            await bench.run(lambda: supervisor.idle, inputs["limit"])
            assert bus.quiet, "idle with bursts under way"
            supervisor.abort, supervisor.fault = False, None
            for _ in range(2):
                await bench.step()
            assert supervisor.fault is None, "a fault outlives abort"
    outputs.update(
        results=results,
        events=events,
        memory=memory,
        l1=l1,
        bursts=bus.bursts,
        beats=bus.beats,
        accesses=port.writes if isinstance(port, L1Write) else port.reads,
    )
