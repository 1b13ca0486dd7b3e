"""How far a ring's windows allow an access that goes on from its address."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.windows import PAGE, WINDOWS
from gemel_rtl.dma.move_rows import MOVE
from gemel_rtl.windows import WINDOW_BITS, Windows

__all__ = ["Reach"]

SHIFT = PAGE.bit_length() - 1


class Reach(wiring.Component):
    """`gemel_golden.windows.Windows.limit`: from the address on, window by window, one a cycle.

    While `enable` is high the inputs hold. `done` comes after at most as many cycles as there are windows, and then
    `allowed`: whether all bytes are, or the number of the first `page` that isn't.

    Parameters: right ("read" or "write").
    Members: `enable`, `windows`, `address`, `bytes` (at least one), `done`, `allowed`, `page`.
    """

    def __init__(self, right: str):
        self.right = right
        super().__init__(
            {
                "enable": In(1),
                "windows": In(Windows),
                "address": In(64),
                "bytes": In(MOVE["bytes"].shape),
                "done": Out(1),
                "allowed": Out(1),
                "page": Out(65 - SHIFT),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        begun, reached = Signal(), Signal(WINDOW_BITS, reset_less=True)
        last, further = Signal(65 - SHIFT), Signal(WINDOW_BITS)
        found, beyond = Signal(), Signal()
        with m.If(self.enable):
            m.d.comb += [
                last.eq((self.address + self.bytes - 1)[SHIFT:65]),
                self.page.eq(Mux(begun, reached, self.address[SHIFT:])),
                beyond.eq(self.page > last),
            ]
            for i in range(WINDOWS):
                window = self.windows.windows[i]
                with m.If(window[self.right] & (self.page >= window.base) & (self.page < window.limit)):
                    m.d.comb += [found.eq(1), further.eq(window.limit)]
            m.d.comb += [
                self.allowed.eq(~self.windows.enforced | beyond),
                self.done.eq(self.allowed | ~found),
            ]
        with m.If(~self.enable):
            m.d.sync += begun.eq(0)
        with m.Elif(~self.done):
            m.d.sync += [begun.eq(1), reached.eq(further)]
        return m
