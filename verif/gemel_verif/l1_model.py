"""L1 ports for block tests: an array of bytes behind a read port or a write port, with random conflicts."""

from collections import deque
from typing import Any

import numpy as np

from gemel_golden.config import CHUNK, ChipConfig
from gemel_rtl.interfaces import l1_request, l1_write
from gemel_rtl.l1.l1 import READ_LATENCY
from gemel_verif.bench import Sink, Stalls
from gemel_verif.packing import Packer

__all__ = ["L1Read", "L1Write"]


class L1Write:
    """Serves the block's write port `name`: writes `l1` (bytes); `writes` lists the cycles of transfers."""

    def __init__(
        self, dut: Any, name: str, config: ChipConfig, l1: np.ndarray, rng: np.random.Generator, stall: float = 0.0
    ):
        self.fields = Packer(l1_write(config))
        self.l1 = l1.reshape(-1, 2, CHUNK)
        self.sink = Sink(dut, f"{name}_req", Stalls(rng, stall), self._write, may_withdraw=True)
        self.writes: list[int] = []
        self.cycle = 0

    def _write(self, payload: int) -> None:
        request = self.fields.unpack(payload)
        data = np.frombuffer(request["data"].to_bytes(2 * CHUNK, "little"), np.uint8).reshape(2, CHUNK)
        mask = np.unpackbits(np.frombuffer(request["mask"].to_bytes(8, "little"), np.uint8), bitorder="little")
        for h in range(2):
            if request[f"en{h}"]:
                where = mask[CHUNK * h : CHUNK * (h + 1)].astype(bool)
                np.copyto(self.l1[request[f"addr{h}"], h], data[h], where=where)
        self.writes.append(self.cycle)

    def drive(self) -> None:
        self.sink.drive()

    def sample(self) -> None:
        self.sink.sample()
        self.cycle += 1


class L1Read:
    """Serves the block's read port `name` from `l1` (bytes), with L1's latency; halves not enabled hold noise."""

    def __init__(
        self, dut: Any, name: str, config: ChipConfig, l1: np.ndarray, rng: np.random.Generator, stall: float = 0.0
    ):
        self.fields = Packer(l1_request(config))
        self.l1, self.rng = l1.reshape(-1, 2, CHUNK), rng
        self.sink = Sink(dut, f"{name}_req", Stalls(rng, stall), self._read, may_withdraw=True)
        self.valid, self.data = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_data")
        self.pipeline: deque[int | None] = deque([None] * READ_LATENCY, maxlen=READ_LATENCY)
        self.fetched: int | None = None
        self.reads: list[int] = []
        self.cycle = 0
        self.valid.value = 0

    def _read(self, payload: int) -> None:
        request = self.fields.unpack(payload)
        halves = [
            self.l1[request[f"addr{h}"], h].tobytes() if request[f"en{h}"] else self.rng.bytes(CHUNK) for h in range(2)
        ]
        self.fetched = int.from_bytes(b"".join(halves), "little")
        self.reads.append(self.cycle)

    def drive(self) -> None:
        self.sink.drive()
        arriving = self.pipeline[0]
        self.valid.value = arriving is not None
        if arriving is not None:
            self.data.value = arriving

    def sample(self) -> None:
        self.fetched = None
        self.sink.sample()
        self.pipeline.append(self.fetched)
        self.cycle += 1
