"""Several managers behind an arbiter, with a memory on the bus that judges it."""

from collections import deque

import cocotb
import numpy as np

from gemel_golden.config import config
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_verif.axi_memory import ReadMemory, WriteMemory
from gemel_verif.bench import Bench, Sink, Source, Stalls, packer
from gemel_verif.runner import scenario

ID_BITS = 2


@cocotb.test()
async def run_managers(dut) -> None:
    """Each manager sends its bursts (address, beats[, words]); results are what each got, in order."""
    inputs, outputs = scenario()
    await (read if inputs["kind"] == "read" else write)(dut, inputs, outputs)


async def read(dut, inputs, outputs) -> None:
    rng = np.random.default_rng(inputs["seed"])
    chip = config("nano")
    signature = axi_read(chip, ID_BITS)
    ar, r = packer(signature, "ar"), packer(signature, "r")
    bench = Bench(dut)
    memory = ReadMemory(
        dut,
        inputs.get("port", "o"),
        chip,
        inputs["memory"],
        rng,
        latency=inputs["latency"],
        stall=inputs["stall"],
        interleave=inputs["interleave"],
    )
    got: list[list[tuple[int, int, int, int]]] = []
    bench.models.append(memory)
    sources = []
    for p, bursts in enumerate(inputs["bursts"]):
        mine: list[tuple[int, int, int, int]] = []

        def take(bits: int, mine: list = mine) -> None:
            beat = r.unpack(bits)
            mine.append((bench.cycle, beat["data"], beat["resp"], beat["last"]))

        source = Source(dut, f"i_{p}_ar", Stalls(rng, inputs["stall"]))
        source.queue += [ar.pack(addr=address, len=beats - 1) for address, beats in bursts]
        sources.append(source)
        bench.models += [source, Sink(dut, f"i_{p}_r", Stalls(rng, inputs["stall"]), take)]
        got.append(mine)
    await bench.reset()
    total = sum(beats for bursts in inputs["bursts"] for _, beats in bursts)
    await bench.run(lambda: sum(map(len, got)) == total, inputs["limit"])
    outputs.update(got=got, beats=memory.beats, bursts=memory.bursts)


async def write(dut, inputs, outputs) -> None:
    rng = np.random.default_rng(inputs["seed"])
    chip = config("nano")
    signature = axi_write(chip, ID_BITS)
    aw, w, b = (packer(signature, channel) for channel in ("aw", "w", "b"))
    bench = Bench(dut)
    memory = WriteMemory(
        dut,
        inputs.get("port", "o"),
        chip,
        inputs["memory"],
        rng,
        latency=inputs["latency"],
        stall=inputs["stall"],
        broken=inputs["broken"],
    )
    bench.models.append(memory)
    answers: list[list[int]] = []
    for p, bursts in enumerate(inputs["bursts"]):
        mine: list[int] = []

        def take(bits: int, mine: list = mine) -> None:
            mine.append(b.unpack(bits)["resp"])

        address = Source(dut, f"i_{p}_aw", Stalls(rng, inputs["stall"]))
        beats = Source(dut, f"i_{p}_w", Stalls(rng, inputs["stall"]))
        later: deque[list[int]] = deque()
        for start, words in bursts:
            address.queue.append(aw.pack(addr=start, len=len(words) - 1))
            later.append(
                [w.pack(data=data, strb=strb, last=i == len(words) - 1) for i, (data, strb) in enumerate(words)]
            )
        beats.queue += [word for words in later for word in words]
        bench.models += [address, beats, Sink(dut, f"i_{p}_b", Stalls(rng, inputs["stall"]), take)]
        answers.append(mine)
    await bench.reset()
    total = sum(map(len, inputs["bursts"]))
    await bench.run(lambda: sum(map(len, answers)) == total, inputs["limit"])
    outputs.update(answers=answers, memory=memory.memory, beats=memory.beats, bursts=memory.bursts)
