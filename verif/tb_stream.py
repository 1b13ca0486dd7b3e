"""Drives a pipeline with one vector of inputs per cycle and gathers what comes out, checking its latency."""

from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, ReadOnly

from gemel_verif.bench import Bench
from gemel_verif.packing import value
from gemel_verif.runner import scenario


@cocotb.test()
async def stream(dut: Any) -> None:
    """Scenario: `ports` (name -> one integer a vector), `outputs` (names), `latency`; optional `idle` (per vector, idle
    cycles before it), `clock_enable` (a port that is cleared in the cycles of `stalls`, numbers of cycles).
    """
    inputs, results = scenario()
    columns = [(getattr(dut, name), values) for name, values in inputs["ports"].items()]
    outputs = [(name, getattr(dut, name), []) for name in inputs["outputs"]]
    count = len(next(iter(inputs["ports"].values())))
    idle = inputs.get("idle") or [0] * count
    stalls = set(inputs.get("stalls", ()))
    enable = getattr(dut, inputs["clock_enable"]) if "clock_enable" in inputs else None
    dut.valid.value = 0
    if enable is not None:
        enable.value = 1
    bench = Bench(dut)
    await bench.reset()

    due: list[int] = []  # cycles, counted without stalls, in which results must come
    now = sent = got = 0
    wait = idle[0]
    while got < count:
        moving = bench.cycle not in stalls
        if enable is not None:
            enable.value = moving
        issue = moving and sent < count and wait == 0
        dut.valid.value = int(issue)
        if issue:
            for port, values in columns:
                port.value = values[sent]
            due.append(now + inputs["latency"])
            sent += 1
            wait = idle[sent] if sent < count else 0
        elif moving and wait:
            wait -= 1
        await ReadOnly()
        if moving:
            expected = bool(due) and due[0] == now
            assert value(dut.o_valid) == expected, f"cycle {now}: o_valid is {value(dut.o_valid)}, expected {expected}"
            if expected:
                due.pop(0)
                got += 1
                for _, port, values in outputs:
                    values.append(value(port))
            now += 1
        bench.cycle += 1
        await FallingEdge(dut.clk)
    results.update({name: values for name, _, values in outputs})
