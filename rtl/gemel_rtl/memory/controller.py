"""The DRAM controller of one channel: AXI4 in, DFI-like port out."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.config import ChipConfig
from gemel_golden.memory.address_map import AddressMap
from gemel_rtl.interfaces import axi_read, axi_write
from gemel_rtl.memory.conflicts import Conflicts
from gemel_rtl.memory.layouts import dfi
from gemel_rtl.memory.requests import Walk
from gemel_rtl.memory.returns import Returns
from gemel_rtl.memory.schedule import Scheduler
from gemel_rtl.memory.scrub import Scrub
from gemel_rtl.memory.writes import Writes
from gemel_rtl.noc.slice import Slice
from gemel_rtl.numeric.secded import check_bits

__all__ = ["COUNTS", "SCRUB_INTERVAL", "SLOTS", "Controller"]

SLOTS = 64
"""Granules of 128 bytes that the read window holds, and the write window."""
SCRUB_INTERVAL = 65536
"""Clocks between two granules of the background scrub."""
COUNTS = {
    "row_hits": 32,
    "row_misses": 32,
    "row_conflicts": 32,
    "refreshes": 32,
    "corrected": 32,
    "uncorrectable": 32,
    "activates": 32,
    "column_reads": 32,
    "column_writes": 32,
}
"""The counters and their widths."""


class Controller(wiring.Component):
    """Reads and writes of one channel of DRAM, with its refresh and its error correction.

    Reads are answered in the order of their addresses, writes in that of theirs. A read whose address was taken after
    a write's B sees that write. Neither side depends combinationally on its own ready or valid.

    Parameters: config, mapping, id_bits, slots, scrub_interval.
    Members: `read`, `write`: AXI4 subordinate; `dfi`: towards the DRAM (`layouts.dfi`); `dirty`: writes were answered
    that the DRAM doesn't have yet; `taken`, `stored`: a granule of writes came into the window, left it for the DRAM,
    in their order, so that a write whose B was given is in the DRAM once as many are stored as were taken by then; the
    counters of `COUNTS`: column commands that found their row open and those that waited for its ACTIVATE, PRECHARGEs
    of a row in favour of another, refreshes, 64-bit words corrected and found uncorrectable, ACTIVATEs, column commands
    that read and that wrote.
    """

    def __init__(
        self,
        config: ChipConfig,
        mapping: AddressMap,
        *,
        id_bits: int,
        slots: int = SLOTS,
        scrub_interval: int = SCRUB_INTERVAL,
    ):
        self.config, self.mapping, self.id_bits, self.slots = config, mapping, id_bits, slots
        self.scrub_interval = scrub_interval
        super().__init__(
            {
                "read": In(axi_read(config, id_bits)),
                "write": In(axi_write(config, id_bits)),
                "dfi": Out(dfi(mapping.dram)),
                "dirty": Out(1),
                "taken": Out(1),
                "stored": Out(1),
                **{name: Out(width) for name, width in COUNTS.items()},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dram, slots, id_bits = self.mapping.dram, self.slots, self.id_bits
        m.submodules.schedule = schedule = Scheduler(dram, slots)
        m.submodules.returns = returns = Returns(self.config, dram, slots, id_bits=id_bits)
        m.submodules.writes = writes = Writes(self.config, self.mapping, slots, id_bits=id_bits)
        m.submodules.conflicts = conflicts = Conflicts(dram, slots)
        m.submodules.scrub = scrub = Scrub(dram, interval=self.scrub_interval)
        m.submodules.read_walk = asked = Walk(self.config, self.mapping, id_bits=id_bits)
        m.submodules.write_walk = written = Walk(self.config, self.mapping, id_bits=id_bits)
        self._axi(m, asked, written, returns, writes)
        wiring.connect(m, scrub.o, writes.scrub)

        # Reads: a merge's before AXI's; one that a write is under way for waits for it.
        request = asked.o.payload
        wait = conflicts.found0
        takes = Signal()
        m.d.comb += [
            conflicts.ask0.eq(request.place),
            conflicts.asks0.eq(asked.o.valid & ~request.outside),
            writes.fetch_ready.eq(~schedule.reads_full),
            takes.eq(asked.o.valid & ~wait & ~schedule.reads_full & ~writes.fetch_valid),
            asked.o.ready.eq(takes),
            writes.complete.eq(wait),
        ]
        fetch = writes.fetch_valid & writes.fetch_ready
        half = len(returns.todo) // 2
        todo = Mux(request.outside, 0, Cat(beat.replicate(half) for beat in request.beats))
        m.d.comb += [
            schedule.reads_push.eq(takes | fetch),
            schedule.reads_place.eq(Mux(fetch, writes.fetch_place.as_value(), request.place.as_value())),
            schedule.reads_todo.eq(Mux(fetch, writes.fetch_todo, todo)),
            returns.push.eq(schedule.reads_push),
            returns.slot.eq(schedule.reads_tail),
            returns.todo.eq(schedule.reads_todo),
            returns.beats.eq(request.beats),
            returns.last.eq(request.last),
            returns.id.eq(request.id),
            returns.outside.eq(request.outside & ~fetch),
            returns.merge.eq(fetch),
            returns.target.eq(writes.fetch_target),
            returns.issue.eq(schedule.reading),
            returns.issue_slot.eq(schedule.slot),
            returns.issue_access.eq(schedule.access),
            returns.issue_ends.eq(schedule.ends),
            returns.head.eq(schedule.reads_head),
            returns.occupied.eq(schedule.reads_occupied),
            schedule.reads_retire.eq(returns.retire),
            schedule.reads_look_slot.eq(returns.repaired_slot),
            scrub.place.eq(schedule.reads_look_place),
            scrub.repaired.eq(returns.repaired),
        ]

        # Writes.
        for name in ("push", "place", "arm", "arm_slot", "arm_todo", "retire"):
            m.d.comb += getattr(schedule, f"writes_{name}").eq(getattr(writes, name))
        for name in ("tail", "full", "head", "occupied"):
            m.d.comb += getattr(writes, name).eq(getattr(schedule, f"writes_{name}"))
        for name in ("valid", "target", "beat", "data", "done", "bad", "fixed"):
            m.d.comb += getattr(writes, f"merge_{name}").eq(getattr(returns, f"merge_{name}"))
        m.d.comb += [
            conflicts.push.eq(writes.push),
            conflicts.slot.eq(schedule.writes_tail),
            conflicts.place.eq(writes.place),
            conflicts.retire.eq(writes.retire),
            conflicts.head.eq(schedule.writes_head),
            conflicts.ask1.eq(writes.place),
            conflicts.asks1.eq(writes.asks),
            writes.conflict.eq(conflicts.found1),
            writes.issue.eq(schedule.writing),
            writes.issue_slot.eq(schedule.slot),
            writes.issue_access.eq(schedule.access),
            writes.issue_final.eq(schedule.final),
            schedule.urgent.eq(conflicts.found0 | conflicts.found1 | schedule.writes_full),
        ]
        self._dfi(m, schedule, returns, writes)

        kinds = ("row_hits", "row_misses", "row_conflicts", "refreshes", "activates")
        events = {name: getattr(schedule, name) for name in kinds}
        events |= {"column_reads": schedule.reading, "column_writes": schedule.writing}
        events |= {"corrected": returns.corrected, "uncorrectable": returns.uncorrectable}
        for name, event in events.items():
            with m.If(event != 0):
                m.d.sync += getattr(self, name).eq(getattr(self, name) + event)
        m.d.sync += [self.dirty.eq(writes.dirty), self.taken.eq(writes.push), self.stored.eq(writes.retire)]
        return m

    def _axi(self, m: Module, asked: Walk, written: Walk, returns: Returns, writes: Writes) -> None:
        """Register slices between AXI4 and the rest."""
        for name, source, sink in (
            ("ar", self.read.ar, asked.i),
            ("aw", self.write.aw, written.i),
            ("w", self.write.w, writes.w),
        ):
            m.submodules[name] = cut = Slice(source.payload.shape())
            wiring.connect(m, wiring.flipped(source), cut.i)
            wiring.connect(m, cut.o, sink)
        for name, source, sink in (("r", returns.r, self.read.r), ("b", writes.b, self.write.b)):
            m.submodules[name] = cut = Slice(source.payload.shape())
            wiring.connect(m, source, cut.i)
            wiring.connect(m, cut.o, wiring.flipped(sink))
        wiring.connect(m, written.o, writes.granules)

    def _dfi(self, m: Module, schedule: Scheduler, returns: Returns, writes: Writes) -> None:
        """The port towards the DRAM: commands from the scheduler's registers, data through registers here."""
        for name in ("row_command", "row_bank", "row", "column_command", "column_bank", "column"):
            m.d.comb += getattr(self.dfi, name).eq(getattr(schedule, name))
        m.d.comb += [
            returns.read_valid.eq(self.dfi.read_valid),
            returns.read_data.eq(self.dfi.read_data),
            returns.read_check.eq(self.dfi.read_check),
        ]
        m.d.sync += self.dfi.write_valid.eq(writes.write_valid)
        with m.If(writes.write_valid):
            m.d.sync += [
                self.dfi.write_data.eq(writes.write_data),
                self.dfi.write_check.eq(check_bits(writes.write_data)),
            ]
