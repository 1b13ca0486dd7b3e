"""Drives the tensor core: programs of MATMULs on an L1 with random stalls, semaphores, aborts after faults."""

from typing import Any

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_golden.isa import SEMAPHORES
from gemel_rtl.interfaces import SEMAPHORE_PAIR, issue_payload
from gemel_verif.bench import Bench, Sink, Source, Stalls
from gemel_verif.l1_model import L1Read, L1Write
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario

ISSUE = Packer(issue_payload())


class Semaphores:
    """Counting semaphores behind the unit's two streams."""

    def __init__(self, dut: Any, rng: np.random.Generator, stall: float):
        self.pair = Packer(SEMAPHORE_PAIR)
        self.counts = [0] * SEMAPHORES
        self.wait = Sink(dut, "semaphores_wait", Stalls(rng, stall), self._take, may_withdraw=True)
        self.wait.can_take = self._granted
        self.give = Sink(dut, "semaphores_signal", Stalls(rng, stall), self._add, may_withdraw=True)

    def _granted(self) -> bool:
        if not value(self.wait.valid):
            return False
        pair = self.pair.unpack(value(self.wait.payload))
        return all(self.counts[pair[f"sem{i}"]] >= pair[f"count{i}"] for i in range(2))

    def _take(self, payload: int) -> None:
        pair = self.pair.unpack(payload)
        for i in range(2):
            self.counts[pair[f"sem{i}"]] -= pair[f"count{i}"]

    def _add(self, payload: int) -> None:
        pair = self.pair.unpack(payload)
        for i in range(2):
            self.counts[pair[f"sem{i}"]] += pair[f"count{i}"]

    def drive(self) -> None:
        self.wait.drive()
        self.give.drive()

    def sample(self) -> None:
        self.wait.sample()
        self.give.sample()


class Watch:
    """Notes the cycles of the unit's pulses, its flags and its fault."""

    def __init__(self, dut: Any):
        self.dut = dut
        self.cycle = 0
        self.starts: list[int] = []
        self.stops: list[int] = []
        self.busy: list[int] = []
        self.flags = 0
        self.saturated = 0
        self.fault: tuple[int, int, int] | None = None
        dut.sup_abort.value = 0

    def drive(self) -> None:
        pass

    def sample(self) -> None:
        for name, cycles in (("sup_start", self.starts), ("sup_stop", self.stops), ("busy", self.busy)):
            if value(getattr(self.dut, name)):
                cycles.append(self.cycle)
        self.flags |= value(self.dut.flags)
        self.saturated += value(self.dut.saturated)
        if self.fault is None and value(self.dut.sup_fault_valid):
            fault = (value(getattr(self.dut, f"sup_fault_{name}")) for name in ("code", "pc", "address"))
            code, pc, address = fault
            self.fault = (code, pc, address)
        self.cycle += 1


@cocotb.test()
async def run_programs(dut: Any) -> None:
    """Run the scenario's programs one after the other, each to its last stop, its fault or its `abort_after` cycles."""
    inputs, outputs = scenario()
    l1 = inputs["l1"].copy()
    chip = config(inputs["config"]).override(l1_bytes=len(l1))
    rng = np.random.default_rng(inputs["seed"])
    stall = inputs["stall"]

    issue = Source(dut, "issue", Stalls(rng, stall))
    ports = [L1Read(dut, f"l1_{name}", chip, l1, rng, stall) for name in "abc"]
    writes = L1Write(dut, "l1_d", chip, l1, rng, stall)
    semaphores, watch = Semaphores(dut, rng, stall), Watch(dut)
    # Reads are sampled before writes: a read sees the writes of earlier cycles only.
    bench = Bench(dut, [issue, *ports, writes, semaphores, watch])
    await bench.reset()

    results = []
    for program in inputs["programs"]:
        begin = bench.cycle
        issue.queue = [ISSUE.pack(bits=int.from_bytes(raw, "little"), pc=pc) for pc, raw in program["instructions"]]
        goal = len(watch.stops) + len(issue.queue)
        abort_at = begin + program.get("abort_after", inputs["limit"])

        def ended(goal: int = goal, abort_at: int = abort_at) -> bool:
            return watch.fault is not None or len(watch.stops) == goal or bench.cycle == abort_at

        await bench.run(ended, inputs["limit"])
        results.append({"begin": begin, "end": bench.cycle, "fault": watch.fault, "l1": l1.copy()})
        for _ in range(4):
            await bench.step()
        if len(watch.stops) < goal:
            issue.clear()
            dut.sup_abort.value = 1
            await bench.step()
            await bench.run(lambda: bool(value(dut.sup_idle)), inputs["limit"])
            dut.sup_abort.value = 0
            watch.fault = None
            await bench.step()
            semaphores.counts = [0] * SEMAPHORES
            l1[:] = inputs["l1"]
        assert value(dut.sup_idle), "not idle after the last instruction"
    outputs.update(
        programs=results,
        starts=watch.starts,
        stops=watch.stops,
        busy=watch.busy,
        writes=writes.writes,
        flags=watch.flags,
        saturated=watch.saturated,
        semaphores=semaphores.counts,
    )
