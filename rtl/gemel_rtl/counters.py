"""What a launch is measured by: cycles, what each unit did in them, work, latencies, flags."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.activity import CLASSES, UNITS
from gemel_golden.config import ChipConfig
from gemel_golden.counters import BUCKETS, LATENCIES, LAUNCH_BITS, SINCE_RESET, TOTAL_BITS, WORK, WORKS
from gemel_rtl.interfaces import ACTIVITY_BITS, MOVED_BITS
from gemel_rtl.latency import Latency
from gemel_rtl.shared import Shared
from gemel_rtl.tally import Tally

__all__ = ["COUNTS", "Counters"]

COUNTS = {
    "launch_cycles": 32,
    "flags": 3,
    "tensor_busy": 32,
    "load_busy": 32,
    "store_busy": 32,
    "vector_busy": 32,
    "saturated": 32,
    "ecc_corrected": 32,
}
"""The results that have registers of their own, and their widths."""

WORK_BITS = {"load_bytes": MOVED_BITS, "store_bytes": MOVED_BITS, "saturated": 6, "ecc_corrected": 10}
"""Widths of what a cycle adds to a counter of work, where it isn't one bit."""


class Counters(wiring.Component):
    """Counts from `start` to `done`, cycles from the first `delivered` on; the values stay until the next `start`.

    Parameters: config.
    Members: `start`, `delivered`, `done`; `tensor`, `load`, `store`, `vector`: busy in this cycle; `raised`: flags
    raised in this cycle; `<unit>_activity`: its class in this cycle; `<work>_now`: what this cycle adds to a counter of
    work (of `gemel_golden.counters.WORK`); `asked`, `beat`, `last_beat`: LOAD's addresses and beats; `select`, `value`:
    a counter by its number, two cycles later; and those of `COUNTS`: as the registers of these names.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        units = {"tensor": 1, "load": 1, "store": 1, "vector": 1}
        inputs = {
            "start": 1,
            "delivered": 1,
            "done": 1,
            **units,
            "raised": 3,
            "asked": 1,
            "beat": 1,
            "last_beat": 1,
        }
        inputs |= {f"{unit.name.lower()}_activity": ACTIVITY_BITS for unit in UNITS}
        inputs |= {f"{name}_now": WORK_BITS.get(name, 1) for name in WORK}
        super().__init__(
            {name: In(width) for name, width in inputs.items()}
            | {"select": In(range(2 * SINCE_RESET)), "value": Out(TOTAL_BITS)}
            | {name: Out(width) for name, width in COUNTS.items()}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        running = Signal()
        counting = Signal()
        counted = Signal()
        m.d.comb += counted.eq(running & (counting | self.delivered))
        with m.If(running):
            for busy, count in (
                (self.tensor, self.tensor_busy),
                (self.load, self.load_busy),
                (self.store, self.store_busy),
                (self.vector, self.vector_busy),
                (counted, self.launch_cycles),
            ):
                with m.If(busy):
                    m.d.sync += count.eq(count + 1)
            m.d.sync += [counting.eq(counted), self.flags.eq(self.flags | self.raised)]
        with m.If(self.done):
            m.d.sync += [running.eq(0), counting.eq(0)]
        with m.If(self.start):
            m.d.sync += [running.eq(1), counting.eq(0)]
            m.d.sync += [getattr(self, name).eq(0) for name in COUNTS if name not in WORK]

        choice = Signal.like(self.select)
        m.d.sync += choice.eq(self.select)
        shown = [(CLASSES * unit, CLASSES, self._classes(m, unit.name.lower(), counted)) for unit in UNITS]
        shown += [(WORKS + i, 1, self._work(m, name, running)) for i, name in enumerate(WORK)]
        shown.append((LATENCIES, BUCKETS, self._latencies(m, running)))
        for number, size, (launch, total) in shown:
            with m.If((choice & (SINCE_RESET - size)) == number):
                m.d.comb += self.value.eq(Mux(choice & SINCE_RESET, total, launch))
        return m

    def _tallies(self, m: Module, name: str, size: int, which: Signal, en: Signal) -> tuple[Signal, Signal]:
        """A counter for each value of `which`, of the launch and since reset; the selected ones."""
        values = []
        for kind, width in (("launch", LAUNCH_BITS), ("total", TOTAL_BITS)):
            m.submodules[f"{name}_{kind}"] = tally = Shared(Tally(size, width), name=f"gemel_tally_{size}_{width}")
            m.d.comb += [tally.en.eq(en), tally.which.eq(which), tally.select.eq(self.select)]
            if kind == "launch":
                m.d.comb += tally.clear.eq(self.start)
            values.append(tally.value)
        return values[0], values[1]

    def _classes(self, m: Module, name: str, counted: Signal) -> tuple[Signal, Signal]:
        return self._tallies(m, name, CLASSES, getattr(self, f"{name}_activity"), counted)

    def _latencies(self, m: Module, running: Signal) -> tuple[Signal, Signal]:
        m.submodules.latency = latency = Latency(self.config)
        m.d.comb += [latency.asked.eq(self.asked), latency.beat.eq(self.beat), latency.last.eq(self.last_beat)]
        en = Signal()
        m.d.comb += en.eq(running & latency.first)
        return self._tallies(m, "latencies", BUCKETS, latency.bucket, en)

    def _work(self, m: Module, name: str, running: Signal) -> tuple[Signal, Signal]:
        now = getattr(self, f"{name}_now")
        launch = getattr(self, name) if name in COUNTS else Signal(LAUNCH_BITS, name=f"{name}_launch")
        total = Signal(TOTAL_BITS, name=f"{name}_total")
        with m.If(running & now.any()):
            m.d.sync += [launch.eq(launch + now), total.eq(total + now)]
        with m.If(self.start):
            m.d.sync += launch.eq(0)
        return launch, total
