"""A DRAM controller between a manager of cocotbext-axi and the DRAM in Python, which know nothing of each other."""

import itertools

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import Combine, FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiMaster

from gemel_golden.memory.address_map import AddressMap
from gemel_verif.dram import Command, DramChannel, RuleBroken
from gemel_verif.packing import value
from gemel_verif.runner import scenario

NAMES = ("row_command", "row_bank", "row", "column_command", "column_bank", "column")


def pauses(rng: np.random.Generator, rate: float):
    """In which cycles a channel holds back."""
    return itertools.cycle([bool(bit) for bit in rng.random(997) < rate])


async def answer(dut, dram: DramChannel, broken: list[str]) -> None:
    """The DRAM's side of the port, from the first clock after reset on."""
    for cycle in itertools.count():
        await FallingEdge(dut.clk)
        data = dram.drive(cycle)
        dut.dfi_read_valid.value = data is not None
        if data is not None:
            dut.dfi_read_data.value, dut.dfi_read_check.value = data
        await ReadOnly()
        command = {name: value(getattr(dut, f"dfi_{name}")) for name in NAMES}
        if value(dut.dfi_write_valid):
            command |= {name: value(getattr(dut, f"dfi_{name}")) for name in ("write_data", "write_check")}
            command["write_valid"] = 1
        try:
            dram.sample(cycle, Command(**command))
        except RuleBroken as rule:
            broken.append(str(rule))
            return


@cocotb.test()
async def run_steps(dut) -> None:
    """Steps ("write", address, bytes) and ("read", address, count) at any alignment, streams beside each other."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    memory = np.array(inputs["memory"])
    dram = DramChannel(AddressMap(memory=inputs["kind"]), 0, memory)
    dram.flips |= inputs["flips"]
    dut.dfi_read_valid.value = 0
    Clock(dut.clk, 2, "step").start()
    manager = AxiMaster(AxiBus.from_prefix(dut, "s_axi"), dut.clk, dut.rst)
    sides = ((manager.write_if, ("aw", "w", "b")), (manager.read_if, ("ar", "r")))
    for side, names in sides:
        for name in names:
            getattr(side, f"{name}_channel").set_pause_generator(pauses(rng, inputs["stall"]))
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
    broken: list[str] = []
    cocotb.start_soon(answer(dut, dram, broken))
    got: list[list[tuple[bytes, int]]] = [[] for _ in inputs["streams"]]
    answers: list[list[int]] = [[] for _ in inputs["streams"]]

    async def work(number: int) -> None:
        for what, address, argument in inputs["streams"][number]:
            if what == "write":
                answers[number].append(int((await manager.write(address, argument)).resp))
            else:
                response = await manager.read(address, argument)
                got[number].append((bytes(response.data), int(response.resp)))

    await Combine(*(cocotb.start_soon(work(number)) for number in range(len(got))))
    while value(dut.dirty) and not broken:
        await RisingEdge(dut.clk)
    outputs.update(got=got, answers=answers, memory=memory, flips=dram.flips, broken=broken)
