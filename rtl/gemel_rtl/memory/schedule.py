"""The scheduler: one row command and one column command a clock, for reads or for a batch of writes."""

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.timing import Dram
from gemel_rtl.memory.banks import Banks
from gemel_rtl.memory.layouts import ColumnCommand, RowCommand, dfi
from gemel_rtl.memory.refresh import Refresh
from gemel_rtl.memory.window import Window, window_members

__all__ = ["Scheduler"]

QUIET = 16
"""Clocks without a read after which writes may go before their batch is full."""
STUCK = 96
"""Clocks without a write after which a batch that can't go on (its banks are being refreshed) lets reads go as long."""
PATIENCE = 2048
"""Clocks after which a batch of writes goes, however few there are."""


class Scheduler(wiring.Component):
    """Windows of reads and of writes, bank machines and refresh: chooses the commands.

    Reads go until a batch of writes has gathered, a write is needed (`urgent`), or nothing is left to read for a while;
    then writes go until few are left. The bus turns round twice a batch. Banks for which the side in turn has nothing
    to do open rows for the other side.

    Parameters: dram, slots (of each window).
    Members: `reads`, `writes`: the windows' sides of requests (`push`, `place`, `todo`, `tail`, `full`, `arm*`, `head`,
    `retire`, `occupied`), `urgent`; `reading`, `writing`: a column command is given in this clock, with `slot`,
    `access`, `ends`, `final`; `dfi`'s commands, a clock later; `row_hits`, `row_misses`, `row_conflicts`,
    `refreshes`, `activates`: happen in this clock.
    """

    def __init__(self, dram: Dram, slots: int):
        self.dram, self.slots = dram, slots
        members = window_members(dram, slots)
        side = (
            "push",
            "place",
            "todo",
            "tail",
            "full",
            "arm",
            "arm_slot",
            "arm_todo",
            "head",
            "retire",
            "occupied",
            "look_slot",
            "look_place",
        )
        port = dfi(dram).members
        commands = ("row_command", "row_bank", "row", "column_command", "column_bank", "column")
        super().__init__(
            {
                **{f"{kind}_{name}": members[name] for kind in ("reads", "writes") for name in side},
                "urgent": In(1),
                "reading": Out(1),
                "writing": Out(1),
                "slot": Out(members["column_slot"].shape),
                "access": Out(members["column_access"].shape),
                "ends": Out(1),
                "final": Out(1),
                **{name: port[name] for name in commands},
                **{name: Out(1) for name in ("row_hits", "row_misses", "row_conflicts", "refreshes", "activates")},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        dram = self.dram
        m.submodules.banks = banks = Banks(dram)
        m.submodules.refresher = refresh = Refresh(dram)
        m.submodules.reads = reads = Window(dram, self.slots)
        m.submodules.writes = writes = Window(dram, self.slots)
        for i, (kind, window) in enumerate((("reads", reads), ("writes", writes))):
            for name in ("push", "place", "todo", "arm", "arm_slot", "arm_todo", "retire", "look_slot"):
                m.d.comb += getattr(window, name).eq(getattr(self, f"{kind}_{name}"))
            for name in ("tail", "full", "head", "occupied", "look_place"):
                m.d.comb += getattr(self, f"{kind}_{name}").eq(getattr(window, name))
            m.d.comb += [
                getattr(banks, f"look{i}").eq(window.place),
                window.hit.eq(getattr(banks, f"look{i}_hit")),
                window.opened.eq(banks.row_command == RowCommand.ACTIVATE),
                window.closed.eq(banks.row_command == RowCommand.PRECHARGE),
                window.event_bank.eq(banks.row_bank),
                window.event_row.eq(banks.row),
            ]
        turn = self._turn(m, reads, writes)
        fresh = Signal(dram.banks)  # opened, and not used since

        free = ~refresh.claimed
        m.d.comb += [
            reads.column_ready.eq(banks.read & free),
            writes.column_ready.eq(banks.write & free),
            reads.issue.eq(~turn & reads.column_valid),
            writes.issue.eq(turn & writes.column_valid),
            self.reading.eq(reads.issue),
            self.writing.eq(writes.issue),
        ]
        column = Signal.like(reads.column_place)
        for mine, window in ((~turn, reads), (turn, writes)):
            with m.If(mine):
                m.d.comb += [
                    self.slot.eq(window.column_slot),
                    self.access.eq(window.column_access),
                    self.ends.eq(window.column_ends),
                    self.final.eq(window.column_final),
                    column.eq(window.column_place),
                ]
        m.d.comb += banks.column_bank.eq(column.bank)
        with m.If(self.reading | self.writing):
            m.d.comb += banks.column_command.eq(Mux(turn, ColumnCommand.WRITE, ColumnCommand.READ))

        self._rows(m, turn, banks, refresh, reads, writes)
        m.d.sync += [
            self.row_command.eq(banks.row_command),
            self.row_bank.eq(banks.row_bank),
            self.row.eq(banks.row),
            self.column_command.eq(banks.column_command),
            self.column_bank.eq(column.bank),
        ]
        with m.If(self.reading | self.writing):
            m.d.comb += refresh.used.eq(1 << column.bank)
        within = self.access.shape().width
        m.d.sync += self.column.eq(self.access | column.granule << within)

        used, was_fresh = self.reading | self.writing, fresh.bit_select(column.bank, 1)
        m.d.comb += [
            self.row_hits.eq(used & ~was_fresh),
            self.row_misses.eq(used & was_fresh),
            self.row_conflicts.eq((banks.row_command == RowCommand.PRECHARGE) & ~refresh.do_precharge),
            self.refreshes.eq(banks.row_command == RowCommand.REFRESH_BANK),
            self.activates.eq(banks.row_command == RowCommand.ACTIVATE),
        ]
        with m.If(banks.row_command == RowCommand.ACTIVATE):
            m.d.sync += fresh.bit_select(banks.row_bank, 1).eq(1)
        with m.If(used):
            m.d.sync += fresh.bit_select(column.bank, 1).eq(0)
        return m

    def _turn(self, m: Module, reads: Window, writes: Window) -> Signal:
        """High while writes go."""
        turn, quiet, waited = Signal(), Signal(range(QUIET + 1)), Signal(range(PATIENCE + 1))
        stuck, hold = Signal(range(STUCK + 1)), Signal(range(STUCK + 1))
        full, few = self.slots * 5 // 8, self.slots // 8
        with m.If(reads.waiting):
            m.d.sync += quiet.eq(0)
        with m.Elif(quiet != QUIET):
            m.d.sync += quiet.eq(quiet + 1)
        with m.If(turn | (writes.waiting == 0)):
            m.d.sync += waited.eq(0)
        with m.Elif(waited != PATIENCE):
            m.d.sync += waited.eq(waited + 1)
        with m.If(hold != 0):
            m.d.sync += hold.eq(hold - 1)
        enough = (writes.waiting >= full) | self.urgent | (waited == PATIENCE)
        with m.If(~turn):
            m.d.sync += stuck.eq(0)
            with m.If((writes.waiting != 0) & (enough & (hold == 0) | (quiet == QUIET))):
                m.d.sync += turn.eq(1)
        with m.Else():
            m.d.sync += stuck.eq(Mux(writes.issue, 0, stuck + 1))
            with m.If((writes.waiting == 0) | (reads.waiting != 0) & ~self.urgent & (writes.waiting < few)):
                m.d.sync += turn.eq(0)
            with m.Elif(stuck == STUCK):
                m.d.sync += [stuck.eq(0), turn.eq(reads.waiting == 0), hold.eq(STUCK)]
        return turn

    def _rows(self, m: Module, turn: Signal, banks: Banks, refresh: Refresh, reads: Window, writes: Window) -> None:
        """The row command: refresh first, then the side in turn, then the other where the first has nothing to do."""
        free = ~refresh.claimed
        minded = turn | (writes.waiting >= self.slots // 8)  # fewer writes wait for their banks' refresh
        m.d.comb += [
            refresh.idle.eq(~(reads.hits | reads.misses | Mux(minded, writes.hits | writes.misses, 0))),
            refresh.precharge.eq(banks.precharge),
            refresh.refresh.eq(banks.refresh),
        ]
        for mine, window, other in ((~turn, reads, writes), (turn, writes, reads)):
            leave = Signal(self.dram.banks, name=f"leave{mine is turn:d}")
            with m.If(~mine):
                m.d.comb += leave.eq(other.hits | other.misses)
            m.d.comb += window.row_ready.eq((banks.activate | banks.precharge & ~window.hits) & free & ~leave)
        place = Signal.like(reads.row_place)
        first = Mux(turn, writes.row_valid, reads.row_valid)
        m.d.comb += place.eq(Mux(turn ^ first, reads.row_place, writes.row_place))
        m.d.comb += [banks.row_bank.eq(place.bank), banks.row.eq(place.row)]
        with m.If(refresh.do_refresh | refresh.do_precharge):
            m.d.comb += [
                banks.row_bank.eq(refresh.bank),
                banks.row_command.eq(Mux(refresh.do_refresh, RowCommand.REFRESH_BANK, RowCommand.PRECHARGE)),
            ]
        with m.Elif(reads.row_valid | writes.row_valid):
            is_open = banks.open.bit_select(place.bank, 1)
            m.d.comb += banks.row_command.eq(Mux(is_open, RowCommand.PRECHARGE, RowCommand.ACTIVATE))
