"""Starts a Philox unit at given cycles and notes when words come and what they are."""

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from gemel_verif.bench import Bench
from gemel_verif.packing import value
from gemel_verif.runner import scenario


@cocotb.test()
async def blocks(dut: Any) -> None:
    """Scenario: `starts` (cycles, rising), `counters` (four words each), `keys` (two words each), `cycles`.

    Results: `valid`, the cycles with `valid`, and `words`, per cycle the four words of `o`.
    """
    inputs, results = scenario()
    at = {cycle: i for i, cycle in enumerate(inputs["starts"])}
    counter, key, o = (
        [getattr(dut, f"{name}_{i}") for i in range(n)] for name, n in (("counter", 4), ("key", 2), ("o", 4))
    )
    dut.start.value = 0
    await Bench(dut).reset()
    valid, words = [], []
    for cycle in range(inputs["cycles"]):
        dut.start.value = int(cycle in at)
        # What the unit doesn't use in this cycle is something else.
        number = at.get(cycle, cycle % len(at))
        flip = 0 if cycle in at else 0xFFFF_FFFF
        for ports, values in ((counter, inputs["counters"][number]), (key, inputs["keys"][number])):
            for port, word in zip(ports, values, strict=True):
                port.value = word ^ flip
        await ReadOnly()
        if value(dut.valid):
            valid.append(cycle)
        words.append([value(port) for port in o])
        await FallingEdge(dut.clk)
    results.update(valid=valid, words=words)
