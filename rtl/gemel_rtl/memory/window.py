"""The window of granules that wait for the DRAM: which column access and which row come next, row hits first."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from gemel_golden.memory.timing import Dram
from gemel_rtl.memory.layouts import accesses, oldest, places

__all__ = ["Window", "window_members"]


def window_members(dram: Dram, slots: int) -> dict[str, wiring.Member]:
    """The members of `Window`."""
    slot, place, count = ceil_log2(slots), places(dram), accesses(dram)
    bank, row = place["bank"].shape, place["row"].shape
    return {
        "push": In(1),
        "place": In(place),
        "todo": In(count),
        "hit": In(1),
        "tail": Out(slot),
        "full": Out(1),
        "arm": In(1),
        "arm_slot": In(slot),
        "arm_todo": In(count),
        "column_ready": In(dram.banks),
        "column_valid": Out(1),
        "column_slot": Out(slot),
        "column_place": Out(place),
        "column_access": Out(ceil_log2(count)),
        "column_ends": Out(1),
        "column_final": Out(1),
        "issue": In(1),
        "row_ready": In(dram.banks),
        "row_valid": Out(1),
        "row_place": Out(place),
        "opened": In(1),
        "closed": In(1),
        "event_bank": In(bank),
        "event_row": In(row),
        "hits": Out(dram.banks),
        "misses": Out(dram.banks),
        "waiting": Out(slot + 1),
        "head": Out(slot),
        "retire": In(1),
        "occupied": Out(slot + 1),
        "look_slot": In(slot),
        "look_place": Out(place),
    }


class Window(wiring.Component):
    """A ring of granules, in the order in which they came; a slot number says who one is until it is retired.

    Column accesses of granules whose row is open come before all others, and among those the oldest's (FR-FCFS).
    A granule can be overtaken by no more than the slots behind it: starvation is bounded by the ring. Slots whose
    accesses are all issued stay until `retire`, which frees the oldest slot.

    Parameters: dram, slots (a power of two).
    Members, a granule's way:
    - `push`, `place`, `todo` (accesses to do), `hit` (its row is open after this clock's row command): goes to slot
      `tail` unless `full`. `arm`, `arm_slot`, `arm_todo`: accesses of a granule pushed with none.
    - `column_ready` (per bank): which banks take a column command now. `column_valid`, `column_slot`, `column_place`,
      `column_access`, `column_ends` (no access of this beat is left), `column_final` (nor of this granule): the choice;
      `issue` takes it.
    - `row_ready` (per bank): which banks take ACTIVATE or PRECHARGE now. `row_valid`, `row_place`: the oldest granule
      that misses its row in one of them.
    - `head`, `retire`, `occupied` (slots in use). `look_slot`, `look_place`: where a slot's granule lies.
    Members, of banks: `opened` (with `event_bank`, `event_row`), `closed` (with `event_bank`): the row command of this
    clock. `hits`, `misses` (per bank): granules wait whose row is open, whose row is not; `waiting`: how many.
    """

    def __init__(self, dram: Dram, slots: int):
        self.dram, self.slots = dram, slots
        self.count = accesses(dram)
        super().__init__(window_members(dram, slots))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        slots, banks = self.slots, self.dram.banks
        m.submodules.places = cells = memory.Memory(shape=len(self.place.as_value()), depth=slots, init=[])
        write = cells.write_port()
        rows = [Signal(self.dram.row_bits, name=f"row{i}", reset_less=True) for i in range(slots)]
        in_bank = [Signal(slots, name=f"bank{b}", reset_less=True) for b in range(banks)]
        todo = [Signal(slots, name=f"todo{k}") for k in range(self.count)]
        hit = Signal(slots)
        pending = Signal(slots)
        m.d.comb += pending.eq(_any(todo))

        pushed, armed, issued = (Signal(slots, name=name) for name in ("pushed", "armed", "issued"))
        m.d.comb += [
            self.full.eq(self.occupied == slots),
            write.addr.eq(self.tail),
            write.data.eq(self.place),
            write.en.eq(self.push),
        ]
        m.d.sync += [
            self.tail.eq(self.tail + self.push),
            self.head.eq(self.head + self.retire),
            self.occupied.eq(self.occupied + self.push - self.retire),
        ]
        with m.If(self.push):
            m.d.comb += pushed.eq(1 << self.tail)
            m.d.sync += [
                bank.eq(bank & ~pushed | Mux(self.place.bank == b, pushed, 0)) for b, bank in enumerate(in_bank)
            ]
            for i, row in enumerate(rows):
                with m.If(pushed[i]):
                    m.d.sync += row.eq(self.place.row)
        with m.If(self.arm):
            m.d.comb += armed.eq(1 << self.arm_slot)

        opened_hits, of_event = Signal(slots), Signal(slots)
        with m.If(self.opened | self.closed):
            m.d.comb += of_event.eq(Array(in_bank)[self.event_bank])
        with m.If(self.opened):
            m.d.comb += opened_hits.eq(of_event & Cat(row == self.event_row for row in rows))
        m.d.sync += hit.eq(((hit & ~of_event | opened_hits) & ~pushed) | Mux(self.hit, pushed, 0))

        hits, misses = Signal(slots), Signal(slots)
        column_ready, row_ready = Signal(slots), Signal(slots)
        m.d.comb += [hits.eq(pending & hit), misses.eq(pending & ~hit)]
        with m.If(hits.any()):
            m.d.comb += column_ready.eq(hits & self._of(in_bank, self.column_ready))
        with m.If(misses.any()):
            m.d.comb += row_ready.eq(misses & self._of(in_bank, self.row_ready))
        column = oldest(m, column_ready, self.head, "column")
        row = oldest(m, row_ready, self.head, "row")
        left, access, rest = (Signal(self.count, name=name) for name in ("left", "access", "rest"))
        half = self.count // 2
        row_slot = Signal.like(self.head)
        m.d.comb += [
            *(left[k].eq((todo[k] & column).any()) for k in range(self.count)),
            access.eq(left & (~left + 1)),
            rest.eq(left & ~access),
            self.column_valid.eq(column.any()),
            self.column_slot.eq(_index(column)),
            self.column_access.eq(_index(access)),
            self.column_ends.eq(
                ~Cat(access[at : at + half].any() & rest[at : at + half].any() for at in (0, half)).any()
            ),
            self.column_final.eq(rest == 0),
            self.row_valid.eq(row.any()),
            row_slot.eq(_index(row)),
        ]
        with m.If(self.issue):
            m.d.comb += issued.eq(column)
        for slot, place in (
            (self.column_slot, self.column_place),
            (row_slot, self.row_place),
            (self.look_slot, self.look_place),
        ):
            read = cells.read_port(domain="comb")
            m.d.comb += [read.addr.eq(slot), place.eq(read.data)]
        for b in range(banks):
            m.d.comb += [
                self.hits[b].eq((hits & in_bank[b]).any()),
                self.misses[b].eq((misses & in_bank[b]).any()),
            ]
        finished = self.issue & self.column_final
        more = (self.push & self.todo.any()) + (self.arm & self.arm_todo.any())
        m.d.sync += self.waiting.eq(self.waiting + more - finished)
        for k in range(self.count):
            taken = Mux(access[k], issued, 0)
            given = Mux(self.todo[k], pushed, 0) | Mux(self.arm_todo[k], armed, 0)
            m.d.sync += todo[k].eq(todo[k] & ~taken & ~pushed | given)
        return m

    def _of(self, in_bank: list[Signal], banks: Value) -> Value:
        """The slots whose bank is in `banks`."""
        return _any([Mux(banks[b], bank, 0) for b, bank in enumerate(in_bank)])


def _any(values: list[Any]) -> Value:
    whole = values[0]
    for value in values[1:]:
        whole = whole | value
    return whole


def _index(onehot: Value) -> Value:
    """The number of the bit that is set; zero without one."""
    size = len(onehot)
    return Cat((onehot & sum(1 << i for i in range(size) if i >> k & 1)).any() for k in range(ceil_log2(size)))
