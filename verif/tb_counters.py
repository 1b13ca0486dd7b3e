"""Drives the counters: launches with random classes, work and bursts; reads what each counter shows."""

from typing import Any

import cocotb

from gemel_verif.bench import Bench
from gemel_verif.packing import value
from gemel_verif.runner import scenario


class Inputs:
    """Drives a dictionary of values for one cycle; what isn't in it is zero."""

    def __init__(self, dut: Any, names: list[str]):
        self.dut, self.names = dut, names
        self.now: dict[str, int] = {}

    def drive(self) -> None:
        for name in self.names:
            getattr(self.dut, name).value = self.now.get(name, 0)

    def sample(self) -> None:
        pass


@cocotb.test()
async def count(dut: Any) -> None:
    """Each of the scenario's launches is a list of cycles; after each all counters are read."""
    inputs, outputs = scenario()
    bench = Bench(dut)
    pins = Inputs(dut, inputs["names"])
    bench.models.append(pins)
    await bench.reset()
    shown = []
    for launch in inputs["launches"]:
        for cycle in launch:
            pins.now = cycle
            await bench.step()
        values = []
        for select in inputs["selects"]:
            pins.now = {"select": select}
            for _ in range(3):
                await bench.step()
            values.append(value(dut.value))
        shown.append({"values": values, "launch_cycles": value(dut.launch_cycles)})
    outputs.update(shown=shown)
