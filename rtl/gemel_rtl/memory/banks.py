"""Bank machines: the state of each bank's row, and when each command is next allowed."""

from typing import Any

from amaranth.hdl import Array, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.memory.timing import Dram
from gemel_rtl.memory.layouts import ColumnCommand, RowCommand, places

__all__ = ["Banks"]


class Banks(wiring.Component):
    """Follows the commands given to a channel and says which may be given in this clock.

    Parameters: dram.
    Members: `row_command`, `row_bank`, `row`, `column_command`, `column_bank`: the commands of this clock, which must
    be allowed; per bank: `open`, `activate`, `precharge`, `refresh` (per-bank refresh of a closed bank), `read`,
    `write` (row open): allowed now; `look<i>` (a place) and `look<i>_hit`: whether its row is open after this clock's
    command, for two askers.
    """

    def __init__(self, dram: Dram):
        self.dram = dram
        place, banks = places(dram), dram.banks
        super().__init__(
            {
                "row_command": In(3),
                "row_bank": In(place["bank"].shape),
                "row": In(dram.row_bits),
                "column_command": In(2),
                "column_bank": In(place["bank"].shape),
                **{name: Out(banks) for name in ("open", "activate", "precharge", "refresh", "read", "write")},
                **{f"look{i}": In(place) for i in range(2)},
                **{f"look{i}_hit": Out(1) for i in range(2)},
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        t, groups = self.dram.clocks, self.dram.groups
        activating = self.row_command == RowCommand.ACTIVATE
        precharging = self.row_command == RowCommand.PRECHARGE
        refreshing = self.row_command == RowCommand.REFRESH_BANK
        reading, writing = (self.column_command == c for c in (ColumnCommand.READ, ColumnCommand.WRITE))
        written = t.cwl + t.burst
        rows = [Signal(self.dram.row_bits, name=f"row{b}", reset_less=True) for b in range(self.dram.banks)]

        anywhere = _timer(m, "activate", (activating, t.rrd_s))
        turn = Signal(2)
        m.d.sync += turn.eq(turn + activating)
        last_four = [_timer(m, f"faw{i}", (activating & (turn == i), t.faw)) for i in range(4)]
        other = _timer(m, "refresh", (refreshing, t.rfc_pb))
        reads = _timer(m, "read", (reading, t.ccd_s), (writing, written + t.wtr_s))
        writes = _timer(m, "write", (writing, t.ccd_s), (reading, t.rtw))
        may_activate = anywhere & Array(last_four)[turn]
        of_group = []
        for g in range(groups):
            row_here = self.row_bank[: self.dram.group_bits] == g
            here = self.column_bank[: self.dram.group_bits] == g
            of_group.append(
                (
                    _timer(m, f"activate_group{g}", (activating & row_here, t.rrd_l)),
                    _timer(m, f"read_group{g}", (reading & here, t.ccd_l), (writing & here, written + t.wtr_l)),
                    _timer(m, f"write_group{g}", (writing & here, t.ccd_l)),
                )
            )
        for b, row in enumerate(rows):
            row_here, here = self.row_bank == b, self.column_bank == b
            opens, closes, refreshes = (c & row_here for c in (activating, precharging, refreshing))
            group_activate, group_read, group_write = of_group[b % groups]
            closed_for = _timer(m, f"closed{b}", (opens, t.rc), (closes, t.rp), (refreshes, t.rfc_pb))
            open_for = _timer(m, f"open{b}", (opens, t.ras), (reading & here, t.rtp), (writing & here, written + t.wr))
            to_read = _timer(m, f"to_read{b}", (opens, t.rcd_read))
            to_write = _timer(m, f"to_write{b}", (opens, t.rcd_write))
            is_open = self.open[b]
            m.d.comb += [
                self.activate[b].eq(~is_open & closed_for & may_activate & group_activate),
                self.refresh[b].eq(~is_open & closed_for & other),
                self.precharge[b].eq(is_open & open_for),
                self.read[b].eq(is_open & to_read & reads & group_read),
                self.write[b].eq(is_open & to_write & writes & group_write),
            ]
            with m.If(opens):
                m.d.sync += [is_open.eq(1), row.eq(self.row)]
            with m.If(closes):
                m.d.sync += is_open.eq(0)
        self._look(m, rows, activating, precharging)
        return m

    def _look(self, m: Module, rows: list[Signal], activating: Value, precharging: Value) -> None:
        for i in range(2):
            place, hit = getattr(self, f"look{i}"), getattr(self, f"look{i}_hit")
            same = self.row_bank == place.bank
            with m.If(activating & same):
                m.d.comb += hit.eq(place.row == self.row)
            with m.Elif(~(precharging & same)):
                m.d.comb += hit.eq(self.open.bit_select(place.bank, 1) & (Array(rows)[place.bank] == place.row))


def _timer(m: Module, name: str, *events: tuple[Value, int]) -> Value:
    """High once the longest of the times set by `events` is over.

    An event is a pair: it happens in this clock; clocks from it to the first in which the timer is high again.
    """
    count = Signal(range(max(clocks for _, clocks in events)), name=name)
    with m.If(count != 0):
        m.d.sync += count.eq(count - 1)
    for event, clocks in sorted(events, key=lambda pair: pair[1]):  # of events in one clock the longest stays
        with m.If(event & (count < clocks)):
            m.d.sync += count.eq(clocks - 1)
    return count == 0
