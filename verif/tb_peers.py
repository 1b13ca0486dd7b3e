"""Cores behind their network: each sends messages to sets of cores, and takes what comes."""

import cocotb
import numpy as np

from gemel_rtl.noc.peers import message_layout, peer_layout
from gemel_verif.bench import Bench, Sink, Source, Stalls
from gemel_verif.packing import Packer, value
from gemel_verif.runner import scenario


@cocotb.test()
async def run_cores(dut) -> None:
    """`sent[s]`: (targets, number) of core s's messages. Results: (cycle, sender, number) that each core got."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip, cores = inputs["chip"], inputs["chip"].cores
    peer, message = Packer(peer_layout(chip)), Packer(message_layout(chip))
    bench = Bench(dut)
    got: list[list[tuple[int, int, int]]] = [[] for _ in range(cores)]
    sources = []
    for core in range(cores):

        def take(bits: int, mine: list = got[core]) -> None:
            fields = message.unpack(bits)
            mine.append((bench.cycle, fields["give"], fields["pc"]))

        source = Source(dut, f"i_{core}", Stalls(rng, inputs["stall"]))
        for targets, number in inputs["sent"][core]:
            source.queue.append(peer.pack(targets=targets, message=message.pack(give=core, pc=number)))
        sources.append(source)
        bench.models += [source, Sink(dut, f"o_{core}", Stalls(rng, inputs["stall"]), take)]
    await bench.reset()
    every = (1 << cores) - 1
    total = sum(targets.bit_count() for mine in inputs["sent"] for targets, _ in mine)

    def done() -> bool:
        arrived = sum(map(len, got)) == total
        if not arrived and not any(source.queue for source in sources):
            busy = set(range(cores)) - {s for s in range(cores) if value(dut.idle) >> s & 1}
            missing = {s for s in range(cores) if sum(m[1] == s for mine in got for m in mine) < owed(s)}
            assert missing <= busy, f"cores {missing} are owed messages, and only {busy} say so"
        return arrived

    def owed(sender: int) -> int:
        return sum(targets.bit_count() for targets, _ in inputs["sent"][sender])

    await bench.run(done, inputs["limit"])
    await bench.step()
    assert value(dut.idle) == every, f"idle is {value(dut.idle):#b} with nothing under way"
    outputs.update(got=got)
