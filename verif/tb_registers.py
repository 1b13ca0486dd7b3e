"""Drives the register file: accesses one after the other, address and data of a write in any order."""

from typing import Any

import cocotb
import numpy as np

from gemel_golden.registers import BLOCKS
from gemel_rtl.command.registers import AxiLite
from gemel_verif.bench import Bench, Sink, Source, Stalls, packer
from gemel_verif.packing import value
from gemel_verif.runner import scenario


class Inside:
    """The chip's side of the registers: values of "ro", set bits of "w1c", pulses of "wo".

    `members`: access by the register's member, such as ring_1_status.
    """

    def __init__(self, dut: Any, members: dict[str, str], inputs: dict[str, int]):
        self.dut, self.members, self.inputs = dut, members, inputs
        self.sets: dict[str, int] = {}
        self.pulses: list[tuple[str, int]] = []

    def drive(self) -> None:
        for name, word in self.inputs.items():
            getattr(self.dut, name).value = word
        for name, access in self.members.items():
            if access == "w1c":
                getattr(self.dut, f"{name}_set").value = self.sets.pop(name, 0)

    def sample(self) -> None:
        for name, access in self.members.items():
            if access == "wo" and value(getattr(self.dut, name)):
                self.pulses.append((name, value(getattr(self.dut, name))))


@cocotb.test()
async def access(dut: Any) -> None:
    """Do the scenario's accesses; results are what was read, the outputs after each write, and the pulses."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    bench = Bench(dut)
    members = {
        f"{block.name}_{index}_{register.name}": register.access
        for block in BLOCKS.values()
        for index in range(inputs["counts"][block.name])
        for register in block.table
    }
    inside = Inside(dut, members, dict(inputs["values"]))
    answers: list[int] = []
    channels = {name: Source(dut, f"bus_{name}", Stalls(rng, inputs["stall"])) for name in ("aw", "w", "ar")}
    write_data, read_data = packer(AxiLite, "w"), packer(AxiLite, "r")
    taken = [Sink(dut, f"bus_{name}", Stalls(rng, inputs["stall"]), answers.append) for name in ("b", "r")]
    bench.models += [*channels.values(), *taken, inside]
    await bench.reset()

    async def answered() -> int:
        await bench.run(lambda: bool(answers), 200)
        return answers.pop()

    results: list[Any] = []
    for kind, *what in inputs["accesses"]:
        match kind:
            case "read":
                channels["ar"].queue.append(what[0])
                answer = read_data.unpack(await answered())
                assert answer["resp"] == 0
                results.append(answer["data"])
            case "write" | "clash":
                if kind == "clash":
                    inside.sets["chip_0_irq_status"] = what[3]
                channels["aw"].queue.append(what[0])
                channels["w"].queue.append(write_data.pack(data=what[1], strb=what[2]))
                assert await answered() == 0
                results.append(list(inside.pulses))
                inside.pulses.clear()
            case "set":
                inside.sets[what[0]] = what[1]
                await bench.step()
                results.append(None)
            case "change":
                inside.inputs[what[0]] = what[1]
                await bench.step()
                results.append(None)
    shown = {name: value(getattr(dut, name)) for name, access in members.items() if access in ("rw", "w1c")}
    outputs.update(results=results, shown=shown)
