"""The clocked loop of a block test: models drive a block's inputs and see its outputs once a cycle."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from gemel_verif.packing import Packer, value

__all__ = ["Bench", "Model", "Sink", "Source", "Stalls", "packer"]


class Model(Protocol):
    """`drive` writes the block's inputs for a cycle; `sample` then reads what the clock edge will see."""

    def drive(self) -> None: ...

    def sample(self) -> None: ...


class Stalls:
    """Says in which cycles a channel holds back: a share `rate` of them, in bursts as well as single."""

    def __init__(self, rng: np.random.Generator, rate: float):
        self.rng, self.rate = rng, rate
        self.run, self.held = 0, False

    def __call__(self) -> bool:
        """True when the channel holds back in this cycle."""
        if self.rate <= 0:
            return False
        if self.run == 0:
            self.run = int(self.rng.geometric(0.5 if self.rng.random() < 0.8 else 0.05))
            self.held = bool(self.rng.random() < self.rate)
        self.run -= 1
        return self.held


class Source:
    """Drives a stream into the block: puts `queue`'s payloads; `accepted` is called with each that transfers."""

    def __init__(self, dut: Any, name: str, stalls: Stalls, accepted: Callable[[int], None] | None = None):
        self.valid, self.ready = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_ready")
        self.payload = getattr(dut, f"{name}_payload")
        self.stalls, self.accepted = stalls, accepted
        self.queue: list[int] = []
        self.offering = False
        self.valid.value = 0

    def drive(self) -> None:
        if not self.offering and self.queue and not self.stalls():
            self.offering = True
            self.payload.value = self.queue[0]
        self.valid.value = self.offering

    def sample(self) -> None:
        if self.offering and value(self.ready):
            self.offering = False
            payload = self.queue.pop(0)
            if self.accepted:
                self.accepted(payload)

    def clear(self) -> None:
        """Take back what hasn't transferred."""
        self.queue.clear()
        self.offering = False


class Sink:
    """Takes a stream from the block: calls `taken` with each payload; checks that a waiting payload holds."""

    def __init__(
        self, dut: Any, name: str, stalls: Stalls, taken: Callable[[int], None], *, may_withdraw: bool = False
    ):
        self.valid, self.ready = getattr(dut, f"{name}_valid"), getattr(dut, f"{name}_ready")
        self.payload = getattr(dut, f"{name}_payload")
        self.stalls, self.taken, self.name, self.may_withdraw = stalls, taken, name, may_withdraw
        self.open = False
        self.waiting: int | None = None
        self.ready.value = 0

    def drive(self) -> None:
        self.open = self.can_take() and not self.stalls()
        self.ready.value = self.open

    def can_take(self) -> bool:
        """Whether the model has room; overridden or replaced by those that may not."""
        return True

    def sample(self) -> None:
        if not value(self.valid):
            assert self.waiting is None or self.may_withdraw, f"{self.name}: valid fell before its transfer"
            self.waiting = None
            return
        payload = value(self.payload)
        if not self.may_withdraw:
            waiting = self.waiting
            assert waiting in (None, payload), f"{self.name}: payload changed from {waiting:#x} to {payload:#x}"
        self.waiting = None if self.open else payload
        if self.open:
            self.taken(payload)


class Bench:
    """Clock, reset and the loop. `cycle` counts cycles since reset."""

    def __init__(self, dut: Any, models: Sequence[Model] = ()):
        self.dut = dut
        self.models = list(models)
        self.cycle = 0

    async def reset(self) -> None:
        """Start the clock and hold reset for two cycles."""
        self.dut.rst.value = 1
        Clock(self.dut.clk, 2, "step").start()
        for _ in range(3):
            await FallingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def step(self) -> None:
        """One cycle: every model drives, the block settles, every model samples."""
        for model in self.models:
            model.drive()
        await ReadOnly()
        for model in self.models:
            model.sample()
        self.cycle += 1
        await FallingEdge(self.dut.clk)

    async def run(self, until: Callable[[], bool], limit: int) -> None:
        """Step until `until()`; fail after `limit` cycles."""
        for _ in range(limit):
            if until():
                return
            await self.step()
        raise AssertionError(f"not done after {limit} cycles")


def packer(signature: Any, *path: str) -> Packer:
    """The packer of a stream's payload inside a port's signature, by the stream's name."""
    for name in path:
        signature = signature.members[name].signature
    return Packer(signature.members["payload"].shape)
