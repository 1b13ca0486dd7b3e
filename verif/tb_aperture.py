"""The aperture between a reader, a writer and the L1s of several cores."""

import cocotb
import numpy as np

from gemel_rtl.interfaces import axi_read, axi_write
from gemel_verif.bench import Bench, Sink, Source, Stalls, packer
from gemel_verif.l1_model import L1Read, L1Write
from gemel_verif.runner import scenario

ID_BITS = 3


@cocotb.test()
async def run_bursts(dut) -> None:
    """Writes (id, address, words) then reads (id, address, beats); results: answers, beats and the L1s' bytes."""
    inputs, outputs = scenario()
    rng = np.random.default_rng(inputs["seed"])
    chip, stall = inputs["chip"], inputs["stall"]
    reading, writing = axi_read(chip, ID_BITS), axi_write(chip, ID_BITS)
    ar, r = packer(reading, "ar"), packer(reading, "r")
    aw, w, b = (packer(writing, channel) for channel in ("aw", "w", "b"))
    bench = Bench(dut)
    answers: list[tuple[int, int]] = []
    beats: list[tuple[int, int, int, int, int]] = []

    def answer(bits: int) -> None:
        fields = b.unpack(bits)
        answers.append((fields["id"], fields["resp"]))

    def beat(bits: int) -> None:
        fields = r.unpack(bits)
        beats.append((bench.cycle, fields["id"], fields["data"], fields["resp"], fields["last"]))

    addresses = Source(dut, "write_aw", Stalls(rng, stall))
    data = Source(dut, "write_w", Stalls(rng, stall))
    for identity, address, words in inputs["writes"]:
        addresses.queue.append(aw.pack(id=identity, addr=address, len=len(words) - 1))
        last = len(words) - 1
        data.queue += [w.pack(data=value, strb=strobes, last=i == last) for i, (value, strobes) in enumerate(words)]
    reads = Source(dut, "read_ar", Stalls(rng, stall))
    bench.models += [addresses, data, reads]
    bench.models += [Sink(dut, "write_b", Stalls(rng, stall), answer), Sink(dut, "read_r", Stalls(rng, stall), beat)]
    for core, l1 in enumerate(inputs["l1"]):
        bench.models.append(L1Write(dut, f"l1_write_{core}", chip, l1, rng, stall))
        bench.models.append(L1Read(dut, f"l1_read_{core}", chip, l1, rng, stall))
    await bench.reset()
    await bench.run(lambda: len(answers) == len(inputs["writes"]), inputs["limit"])
    reads.queue += [ar.pack(id=identity, addr=address, len=n - 1) for identity, address, n in inputs["reads"]]
    total = sum(n for *_, n in inputs["reads"])
    await bench.run(lambda: len(beats) == total, inputs["limit"])
    outputs.update(answers=answers, beats=beats, l1=inputs["l1"])
