"""Several readers or writers behind a crossbar, with a memory that judges it on each target."""

import cocotb
import numpy as np

from gemel_golden.interleave import channel
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_verif.axi_memory import ReadMemory, WriteMemory
from gemel_verif.bench import Bench, Sink, Source, Stalls, packer
from gemel_verif.runner import scenario


@cocotb.test()
async def run_initiators(dut) -> None:
    """Each initiator sends its bursts (address, beats[, words]); results are what each got, in order."""
    inputs, outputs = scenario()
    await (read if inputs["kind"] == "read" else write)(dut, inputs, outputs)


def stalls(inputs, rng, name: str) -> Stalls:
    return Stalls(rng, inputs["stall"].get(name, 0.0))


def check_targets(chip, memories) -> None:
    """Every burst went where its address belongs, and stayed in its granule."""
    for target, memory in enumerate(memories):
        for _, _, address, beats in memory.bursts:
            home = chip.channels if address >> (chip.mem_address_bits - 1) else channel(chip, address)
            assert home == target, f"{address:#x} belongs to target {home} and came to {target}"
            assert address // 512 == (address + 64 * beats - 1) // 512, f"{beats} beats at {address:#x} leave a granule"


async def read(dut, inputs, outputs) -> None:
    rng = np.random.default_rng(inputs["seed"])
    chip, id_bits = inputs["chip"], inputs["id_bits"]
    signature = axi_read(chip, id_bits)
    ar, r = packer(signature, "ar"), packer(signature, "r")
    bench = Bench(dut)
    memories = [
        ReadMemory(
            dut,
            f"o_{target}",
            chip,
            inputs["memory"],
            rng,
            id_bits=id_bits,
            latency=inputs["latency"][target],
            stall=inputs["stall"].get("memory", 0.0),
            broken=inputs["broken"],
            interleave=inputs["interleave"],
        )
        for target in range(inputs["targets"])
    ]
    bench.models += memories
    got: list[list[tuple[int, int, int, int]]] = []
    for p, bursts in enumerate(inputs["bursts"]):
        mine: list[tuple[int, int, int, int]] = []

        def take(bits: int, mine: list = mine) -> None:
            beat = r.unpack(bits)
            mine.append((bench.cycle, beat["data"], beat["resp"], beat["last"]))

        source = Source(dut, f"i_{p}_ar", stalls(inputs, rng, "ar"))
        source.queue += [ar.pack(addr=address, len=beats - 1) for address, beats in bursts]
        bench.models += [source, Sink(dut, f"i_{p}_r", stalls(inputs, rng, "r"), take)]
        got.append(mine)
    await bench.reset()
    total = sum(beats for bursts in inputs["bursts"] for _, beats in bursts)
    await bench.run(lambda: sum(map(len, got)) == total, inputs["limit"])
    check_targets(chip, memories)
    assert all(memory.quiet for memory in memories)
    outputs.update(got=got, beats=[memory.beats for memory in memories], bursts=[memory.bursts for memory in memories])


async def write(dut, inputs, outputs) -> None:
    rng = np.random.default_rng(inputs["seed"])
    chip, id_bits = inputs["chip"], inputs["id_bits"]
    signature = axi_write(chip, id_bits)
    aw, w, b = (packer(signature, channel) for channel in ("aw", "w", "b"))
    bench = Bench(dut)
    memories = [
        WriteMemory(
            dut,
            f"o_{target}",
            chip,
            inputs["memory"],
            rng,
            id_bits=id_bits,
            latency=inputs["latency"][target],
            stall=inputs["stall"].get("memory", 0.0),
            broken=inputs["broken"],
        )
        for target in range(inputs["targets"])
    ]
    bench.models += memories
    answers: list[list[int]] = []
    for p, bursts in enumerate(inputs["bursts"]):
        mine: list[int] = []

        def take(bits: int, mine: list = mine) -> None:
            mine.append(b.unpack(bits)["resp"])

        address = Source(dut, f"i_{p}_aw", stalls(inputs, rng, "aw"))
        beats = Source(dut, f"i_{p}_w", stalls(inputs, rng, "w"))
        for start, words in bursts:
            address.queue.append(aw.pack(addr=start, len=len(words) - 1))
            beats.queue += [
                w.pack(data=data, strb=strb, last=i == len(words) - 1) for i, (data, strb) in enumerate(words)
            ]
        bench.models += [address, beats, Sink(dut, f"i_{p}_b", stalls(inputs, rng, "b"), take)]
        answers.append(mine)
    await bench.reset()
    total = sum(map(len, inputs["bursts"]))
    await bench.run(lambda: sum(map(len, answers)) == total, inputs["limit"])
    check_targets(chip, memories)
    assert all(memory.quiet for memory in memories)
    outputs.update(
        answers=answers,
        memory=inputs["memory"],
        beats=[memory.beats for memory in memories],
        bursts=[memory.bursts for memory in memories],
    )
