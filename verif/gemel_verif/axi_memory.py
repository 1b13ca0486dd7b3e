"""AXI4 memories for block tests: they judge the protocol, stall at random and answer after a latency."""

from collections import deque
from typing import Any

import numpy as np

from gemel_golden.config import WORD, ChipConfig
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_verif.bench import Sink, Stalls, packer
from gemel_verif.packing import value

__all__ = ["ReadMemory", "WriteMemory"]

SLAVE_ERROR, DECODE_ERROR = 2, 3
BOUNDARY = 4096


def check_burst(kind: str, address: int, beats: int) -> None:
    """Fail unless a burst of 64-byte beats is aligned and stays within 4 KB."""
    assert address % WORD == 0, f"{kind} at {address:#x} isn't aligned to {WORD} bytes"
    last = address + beats * WORD - 1
    assert address // BOUNDARY == last // BOUNDARY, f"{kind} of {beats} beats at {address:#x} crosses 4 KB"


class ReadMemory:
    """The subordinate of `name`'s AR and R: `memory`'s bytes, DECERR beyond them, SLVERR at addresses in `broken`.

    Bursts of one ID are answered in order; with `interleave`, beats of different IDs mix. `bursts` lists what was
    asked: (cycle, id, address, beats). `beats` lists the cycles in which beats transferred.
    """

    def __init__(
        self,
        dut: Any,
        name: str,
        config: ChipConfig,
        memory: np.ndarray,
        rng: np.random.Generator,
        *,
        id_bits: int = 2,
        latency: int = 1,
        stall: float = 0.0,
        broken: tuple[int, ...] = (),
        interleave: bool = False,
    ):
        signature = axi_read(config, id_bits)
        self.ar_fields, self.r_fields = packer(signature, "ar"), packer(signature, "r")
        self.memory, self.rng, self.latency, self.broken, self.interleave = memory, rng, latency, broken, interleave
        self.ar = Sink(dut, f"{name}_ar", Stalls(rng, stall), self._address)
        self.r_valid, self.r_ready = getattr(dut, f"{name}_r_valid"), getattr(dut, f"{name}_r_ready")
        self.r_payload = getattr(dut, f"{name}_r_payload")
        self.stalls = Stalls(rng, stall)
        self.pending: dict[int, deque[list[int]]] = {}
        self.current: int | None = None
        self.offering = False
        self.cycle = 0
        self.bursts: list[tuple[int, int, int, int]] = []
        self.beats: list[int] = []
        self.r_valid.value = 0

    def _address(self, payload: int) -> None:
        ar = self.ar_fields.unpack(payload)
        check_burst("read", ar["addr"], ar["len"] + 1)
        self.bursts.append((self.cycle, ar["id"], ar["addr"], ar["len"] + 1))
        burst = [self.cycle + self.latency, ar["addr"], ar["len"] + 1]
        self.pending.setdefault(ar["id"], deque()).append(burst)

    def _choose(self) -> int | None:
        due = [i for i, bursts in self.pending.items() if bursts and bursts[0][0] <= self.cycle]
        if not due:
            return None
        if self.current in due and not self.interleave:
            return self.current
        return due[int(self.rng.integers(len(due)))] if self.interleave else min(due, key=lambda i: self.pending[i][0])

    def drive(self) -> None:
        self.ar.drive()
        if not self.offering and not self.stalls() and (chosen := self._choose()) is not None:
            self.current = chosen
            _, address, left = self.pending[chosen][0]
            inside = address + WORD <= len(self.memory)
            word = self.memory[address : address + WORD].tobytes() if inside else bytes(WORD)
            resp = DECODE_ERROR if not inside else SLAVE_ERROR if address in self.broken else 0
            self.r_payload.value = self.r_fields.pack(
                id=chosen, data=int.from_bytes(word, "little"), resp=resp, last=left == 1
            )
            self.offering = True
        self.r_valid.value = self.offering

    def sample(self) -> None:
        self.ar.sample()
        if self.offering and value(self.r_ready):
            self.offering = False
            self.beats.append(self.cycle)
            assert self.current is not None
            burst = self.pending[self.current][0]
            burst[1] += WORD
            burst[2] -= 1
            if burst[2] == 0:
                self.pending[self.current].popleft()
                self.current = None
        self.cycle += 1

    @property
    def quiet(self) -> bool:
        """Nothing asked that hasn't been answered."""
        return not any(self.pending.values()) and not self.offering


class WriteMemory:
    """The subordinate of `name`'s AW, W and B: writes `memory` by strobes, DECERR beyond it, SLVERR in `broken`.

    Bursts are written in the order of their addresses; each is answered `latency` cycles after its last beat. `bursts`
    lists (cycle, id, address, beats) and `beats` the cycles of beats.
    """

    def __init__(
        self,
        dut: Any,
        name: str,
        config: ChipConfig,
        memory: np.ndarray,
        rng: np.random.Generator,
        *,
        id_bits: int = 2,
        latency: int = 1,
        stall: float = 0.0,
        broken: tuple[int, ...] = (),
    ):
        signature = axi_write(config, id_bits)
        self.aw_fields, self.w_fields, self.b_fields = (packer(signature, channel) for channel in ("aw", "w", "b"))
        self.memory, self.rng, self.latency, self.broken = memory, rng, latency, broken
        self.aw = Sink(dut, f"{name}_aw", Stalls(rng, stall), self._address)
        self.w = Sink(dut, f"{name}_w", Stalls(rng, stall), self._beat)
        self.aw_valid, self.aw_payload = self.aw.valid, self.aw.payload
        self.b_valid, self.b_ready = getattr(dut, f"{name}_b_valid"), getattr(dut, f"{name}_b_ready")
        self.b_payload = getattr(dut, f"{name}_b_payload")
        self.stalls = Stalls(rng, stall)
        self.open: deque[list[int]] = deque()
        self.unmatched: deque[dict[str, int]] = deque()
        self.answers: deque[tuple[int, int, int]] = deque()
        self.offering = False
        self.cycle = 0
        self.bursts: list[tuple[int, int, int, int]] = []
        self.beats: list[int] = []
        self.b_valid.value = 0

    def _address(self, payload: int) -> None:
        aw = self.aw_fields.unpack(payload)
        check_burst("write", aw["addr"], aw["len"] + 1)
        self.bursts.append((self.cycle, aw["id"], aw["addr"], aw["len"] + 1))
        self.open.append([aw["id"], aw["addr"], aw["len"] + 1, 0])

    def _beat(self, payload: int) -> None:
        self.unmatched.append(self.w_fields.unpack(payload))
        self.beats.append(self.cycle)

    def _match(self) -> None:
        while self.open and self.unmatched:
            burst, beat = self.open[0], self.unmatched.popleft()
            address = burst[1]
            assert beat["last"] == (burst[2] == 1), f"last = {beat['last']} with {burst[2]} beats left at {address:#x}"
            if address + WORD > len(self.memory):
                burst[3] = DECODE_ERROR
            elif address in self.broken:
                burst[3] = SLAVE_ERROR
            else:
                strobes = np.unpackbits(np.frombuffer(beat["strb"].to_bytes(8, "little"), np.uint8), bitorder="little")
                word = np.frombuffer(beat["data"].to_bytes(WORD, "little"), np.uint8)
                np.copyto(self.memory[address : address + WORD], word, where=strobes.astype(bool))
            burst[1] += WORD
            burst[2] -= 1
            if burst[2] == 0:
                self.answers.append((self.cycle + self.latency, burst[0], burst[3]))
                self.open.popleft()

    def drive(self) -> None:
        self.aw.drive()
        self.w.drive()
        if not self.offering and self.answers and self.answers[0][0] <= self.cycle and not self.stalls():
            _, identity, resp = self.answers[0]
            self.b_payload.value = self.b_fields.pack(id=identity, resp=resp)
            self.offering = True
        self.b_valid.value = self.offering

    def sample(self) -> None:
        self.aw.sample()
        self.w.sample()
        owed = sum(burst[2] for burst in self.open)
        if self.aw.waiting is not None:
            owed += self.aw_fields.unpack(self.aw.waiting)["len"] + 1
        early = len(self.unmatched) + (self.w.waiting is not None)
        assert early <= owed, f"{early} beats of W without an address that has been offered"
        self._match()
        if self.offering and value(self.b_ready):
            self.offering = False
            self.answers.popleft()
        self.cycle += 1

    @property
    def quiet(self) -> bool:
        """Nothing asked that hasn't been answered."""
        return not self.open and not self.unmatched and not self.answers and not self.offering
