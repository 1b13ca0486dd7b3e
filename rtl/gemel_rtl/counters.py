"""What a launch is measured by: cycles, busy units, flags."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["COUNTS", "Counters"]

COUNTS = {
    "launch_cycles": 32,
    "flags": 3,
    "tensor_busy": 32,
    "load_busy": 32,
    "store_busy": 32,
    "vector_busy": 32,
    "saturated": 32,
}
"""The results and their widths."""


class Counters(wiring.Component):
    """Counts from `start` to `done`, cycles from the first `delivered` on; the values stay until the next `start`.

    Members: `start`, `delivered`, `done`; `tensor`, `load`, `store`, `vector`: busy in this cycle; `raised`: flags
    raised in this cycle; `clamped`: outputs clamped in this cycle; and those of `COUNTS`: as the registers of these
    names.
    """

    def __init__(self) -> None:
        units = {"tensor": 1, "load": 1, "store": 1, "vector": 1}
        inputs = {"start": 1, "delivered": 1, "done": 1, **units, "raised": 3, "clamped": 6}
        super().__init__(
            {name: In(width) for name, width in inputs.items()} | {name: Out(width) for name, width in COUNTS.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running = Signal()
        counting = Signal()
        with m.If(running):
            for busy, count in (
                (self.tensor, self.tensor_busy),
                (self.load, self.load_busy),
                (self.store, self.store_busy),
                (self.vector, self.vector_busy),
                (counting | self.delivered, self.launch_cycles),
            ):
                with m.If(busy):
                    m.d.sync += count.eq(count + 1)
            m.d.sync += [
                counting.eq(counting | self.delivered),
                self.flags.eq(self.flags | self.raised),
                self.saturated.eq(self.saturated + self.clamped),
            ]
        with m.If(self.done):
            m.d.sync += [running.eq(0), counting.eq(0)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), counting.eq(0)]
            m.d.sync += [getattr(self, name).eq(0) for name in COUNTS]
        return m
