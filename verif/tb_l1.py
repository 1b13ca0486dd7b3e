"""Puts requests on all ports of L1 and notes what was granted, how long it waited and what came back."""

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.interfaces import l1_request, l1_write
from gemel_rtl.l1.l1 import READ_PORTS, WRITE_PORTS
from gemel_verif.bench import Bench, Source, Stalls
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario


class Watch:
    """Notes grants (cycle, port, request, cycles waited) and answers (cycle, port, data)."""

    def __init__(self, dut, bench: Bench, sources: dict[str, Source]):
        self.dut, self.bench, self.sources = dut, bench, sources
        self.grants: list[tuple[int, str, int, int]] = []
        self.answers: list[tuple[int, str, int]] = []
        self.since: dict[str, int] = {}

    def granted(self, port: str, bits: int) -> None:
        self.grants.append((self.bench.cycle, port, bits, self.bench.cycle - self.since.pop(port)))

    def drive(self) -> None:
        for port, source in self.sources.items():
            if source.offering:
                self.since.setdefault(port, self.bench.cycle)

    def sample(self) -> None:
        for port in READ_PORTS:
            if value(getattr(self.dut, f"{port}_valid")):
                self.answers.append((self.bench.cycle, port, value(getattr(self.dut, f"{port}_data"))))


@cocotb.test()
async def run_ports(dut) -> None:
    """Send each port's requests (lists of field values); results are grants and answers, fields unpacked."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip = config("nano")
    packers = {port: Packer(l1_request(chip)) for port in READ_PORTS} | {p: Packer(l1_write(chip)) for p in WRITE_PORTS}
    bench = Bench(dut)
    sources: dict[str, Source] = {}
    watch = Watch(dut, bench, sources)
    for port, fields in packers.items():
        sources[port] = Source(
            dut, f"{port}_req", Stalls(rng, inputs["pause"]), lambda bits, port=port: watch.granted(port, bits)
        )
        sources[port].queue += [fields.pack(**request) for request in inputs["requests"].get(port, [])]
    bench.models += [*sources.values()]
    bench.models.insert(len(sources), watch)
    await bench.reset()
    await bench.run(lambda: not any(source.queue for source in sources.values()), inputs["limit"])
    for _ in range(4):
        await bench.step()
    grants = [(cycle, port, packers[port].unpack(bits), waited) for cycle, port, bits, waited in watch.grants]
    outputs.update(grants=grants, answers=watch.answers)
