"""The crossbar between managers and memories of cocotbext-axi, which know nothing of ours."""

import itertools
import logging
from mmap import mmap

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, gather
from cocotbext.axi import AxiBus, AxiMaster, AxiRam

from gemel_verif.runner import scenario


def pauses(rng: np.random.Generator, rate: float):
    """In which cycles a channel holds back."""
    return itertools.cycle([bool(bit) for bit in rng.random(997) < rate])


@cocotb.test()
async def run_managers(dut) -> None:
    """Each manager does its steps ("write", address, bytes) and ("read", address, count) at any alignment, in order.

    All with ID 0, which is what our managers' answers have.
    """
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    logging.getLogger("cocotb").setLevel(logging.WARNING)
    Clock(dut.clk, 2, "step").start()
    memory = mmap(-1, inputs["bytes"])
    memories = [
        AxiRam(AxiBus.from_prefix(dut, f"m{i}_axi"), dut.clk, dut.rst, size=inputs["bytes"], mem=memory)
        for i in range(inputs["channels"])
    ]
    managers = [AxiMaster(AxiBus.from_prefix(dut, f"s{i}_axi"), dut.clk, dut.rst) for i in range(len(inputs["steps"]))]
    for port in [*memories, *managers]:
        for channel in (port.write_if.aw_channel, port.write_if.w_channel, port.write_if.b_channel):
            channel.set_pause_generator(pauses(rng, inputs["stall"]))
        for channel in (port.read_if.ar_channel, port.read_if.r_channel):
            channel.set_pause_generator(pauses(rng, inputs["stall"]))
    dut.rst.value = 1
    for _ in range(4):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    got: list[list[bytes]] = [[] for _ in managers]

    async def work(number: int) -> None:
        for what, address, argument in inputs["steps"][number]:
            if what == "write":
                await managers[number].write(address, argument, awid=0)
            else:
                got[number].append(bytes((await managers[number].read(address, argument, arid=0)).data))

    await gather(*(work(number) for number in range(len(managers))))
    outputs.update(got=got, memory=bytes(memory[:]))
