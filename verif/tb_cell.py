"""Drives one cell with a given value of every port in every cycle and notes its outputs."""

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from gemel_verif.bench import Bench
from gemel_verif.packing import value
from gemel_verif.runner import scenario


@cocotb.test()
async def play(dut: Any) -> None:
    """Scenario: `cycles`, a dictionary of port values each (others are 0); `outputs`, names noted per cycle."""
    inputs, results = scenario()
    names = sorted({name for ports in inputs["cycles"] for name in ports})
    ports = {name: getattr(dut, name) for name in names}
    last = dict.fromkeys(names, 0)
    for port in ports.values():
        port.value = 0
    await Bench(dut).reset()
    noted: dict[str, list[int]] = {name: [] for name in inputs["outputs"]}
    for values in inputs["cycles"]:
        for name in names:
            wanted = values.get(name, 0)
            if wanted != last[name]:
                ports[name].value = last[name] = wanted
        await ReadOnly()
        for name, list_ in noted.items():
            list_.append(value(getattr(dut, name)))
        await FallingEdge(dut.clk)
    results.update(noted)
