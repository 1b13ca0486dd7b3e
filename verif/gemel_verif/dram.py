"""A channel of DRAM for cocotb: the rules of harness/dram.h in Python, over the same table, with the same sentences."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemel_golden.memory.address_map import AddressMap, Place
from gemel_golden.memory.secded import encode
from gemel_golden.memory.timing import POSTPONED

__all__ = ["Command", "DramChannel", "RuleBroken"]

NEVER = -(1 << 40)
NONE, ACTIVATE, PRECHARGE, REFRESH_BANK, REFRESH_ALL = range(5)
READ, WRITE = 1, 2


class RuleBroken(AssertionError):
    """A command broke a rule of the DRAM; the sentence names it."""


@dataclass
class _Bank:
    open: bool = False
    row: int = 0
    activate: int = NEVER
    precharge: int = NEVER
    read: int = NEVER
    write: int = NEVER
    refresh: int = NEVER
    refreshes: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a controller drives in one clock; data are little-endian integers."""

    row_command: int = NONE
    row_bank: int = 0
    row: int = 0
    column_command: int = NONE
    column_bank: int = 0
    column: int = 0
    write_valid: int = 0
    write_data: int = 0
    write_check: int = 0


class DramChannel:
    """Channel `channel` of `mapping`, with its bytes in `memory` (system addresses); see harness/dram.h.

    `flips`: by address of a 64-bit word, the bits (data, check) in which what is stored differs from what was written.
    """

    def __init__(self, mapping: AddressMap, channel: int, memory: NDArray[np.uint8]):
        self.mapping, self.channel, self.memory = mapping, channel, memory
        self.t, self.dram = mapping.dram.clocks, mapping.dram
        self.banks = [_Bank() for _ in range(self.dram.banks)]
        self.flips: dict[int, tuple[int, int]] = {}
        self.refresh_all = NEVER
        self.activates: deque[int] = deque([NEVER] * 4, 4)
        self.bus: deque[int] = deque()
        self.reads: deque[tuple[int, int, int]] = deque()  # due, data, check
        self.writes: deque[tuple[int, int]] = deque()  # due, address
        self.cycle = 0
        self._refreshed()

    def drive(self, cycle: int) -> tuple[int, int] | None:
        """Data and check bits that stand on the port in `cycle`, if any do."""
        if not self.reads or self.reads[0][0] != cycle:
            return None
        return self.reads.popleft()[1:]

    def sample(self, cycle: int, command: Command) -> None:
        """The controller's side in `cycle`; raises RuleBroken."""
        self.cycle = cycle
        if command.row_command:
            self._row(command)
        if command.column_command:
            self._column(command)
        self._write_data(command)
        if cycle > self.deadline:
            self._broke(f"tREFI broken: bank {self.latest} is {POSTPONED + 1} refreshes behind")

    def _broke(self, what: str) -> None:
        raise RuleBroken(f"channel {self.channel}, clock {self.cycle}: {what}")

    def _need(self, name: str, command: str, bank: int, since: int, clocks: int) -> None:
        if self.cycle - since < clocks:
            self._broke(f"{name} broken by {command} of bank {bank}: {self.cycle - since} clocks of {clocks}")

    def _wrong(self, name: str, command: str, bank: int) -> None:
        self._broke(f"{name} broken by {command} of bank {bank}")

    def _row(self, c: Command) -> None:
        t, b, bank = self.t, c.row_bank, self.banks[c.row_bank]
        if c.row_command == ACTIVATE:
            name = "ACTIVATE"
            if bank.open:
                self._wrong("row open", name, b)
            self._need("tRFC", name, b, self.refresh_all, t.rfc)
            self._need("tRFC_pb", name, b, bank.refresh, t.rfc_pb)
            self._need("tRP", name, b, bank.precharge, t.rp)
            self._need("tRC", name, b, bank.activate, t.rc)
            for o, other in enumerate(self.banks):
                if (o - b) % self.dram.groups == 0:
                    self._need("tRRD_L", name, b, other.activate, t.rrd_l)
                else:
                    self._need("tRRD_S", name, b, other.activate, t.rrd_s)
            self._need("tFAW", name, b, self.activates[0], t.faw)
            self.activates.append(self.cycle)
            bank.open, bank.row, bank.activate = True, c.row, self.cycle
        elif c.row_command == PRECHARGE and bank.open:
            self._need("tRAS", "PRECHARGE", b, bank.activate, t.ras)
            self._need("tRTP", "PRECHARGE", b, bank.read, t.rtp)
            self._need("tWR", "PRECHARGE", b, bank.write, t.cwl + t.burst + t.wr)
            bank.open, bank.precharge = False, self.cycle
        elif c.row_command == REFRESH_BANK:
            if bank.open:
                self._wrong("row open", "REFRESH", b)
            self._need("tRFC", "REFRESH", b, self.refresh_all, t.rfc)
            for other in self.banks:
                self._need("tRFC_pb", "REFRESH", b, other.refresh, t.rfc_pb)
            self._need("tRP", "REFRESH", b, bank.precharge, t.rp)
            self._need("tRC", "REFRESH", b, bank.activate, t.rc)
            bank.refresh = self.cycle
            bank.refreshes += 1
            self._refreshed()
        elif c.row_command == REFRESH_ALL:
            for o, other in enumerate(self.banks):
                if other.open:
                    self._wrong("row open", "REFRESH_ALL", o)
                self._need("tRFC_pb", "REFRESH_ALL", o, other.refresh, t.rfc_pb)
                self._need("tRP", "REFRESH_ALL", o, other.precharge, t.rp)
                self._need("tRC", "REFRESH_ALL", o, other.activate, t.rc)
                other.refreshes += 1
            self._need("tRFC", "REFRESH_ALL", b, self.refresh_all, t.rfc)
            self.refresh_all = self.cycle
            self._refreshed()

    def _refreshed(self) -> None:
        deadlines = [(bank.refreshes + 1 + POSTPONED) * self.t.refi for bank in self.banks]
        self.deadline = min(deadlines)
        self.latest = deadlines.index(self.deadline)

    def _column(self, c: Command) -> None:
        t, b, bank = self.t, c.column_bank, self.banks[c.column_bank]
        reads = c.column_command == READ
        name = "READ" if reads else "WRITE"
        if not bank.open:
            self._wrong("row closed", name, b)
        if reads:
            self._need("tRCD_read", name, b, bank.activate, t.rcd_read)
        else:
            self._need("tRCD_write", name, b, bank.activate, t.rcd_write)
        for o, other in enumerate(self.banks):
            near = (o - b) % self.dram.groups == 0
            last = other.read if reads else other.write
            self._need("tCCD_L" if near else "tCCD_S", name, b, last, t.ccd_l if near else t.ccd_s)
            if reads:
                wtr = t.cwl + t.burst + (t.wtr_l if near else t.wtr_s)
                self._need("tWTR_L" if near else "tWTR_S", name, b, other.write, wtr)
            else:
                self._need("tRTW", name, b, other.read, t.rtw)
        begins = self.cycle + (t.cl if reads else t.cwl)
        while self.bus and self.bus[0] + t.burst <= self.cycle:
            self.bus.popleft()
        if any(abs(begins - other) < t.burst for other in self.bus):
            self._wrong("data bus", name, b)
        self.bus.append(begins)
        where = (self.channel, b % self.dram.groups, b // self.dram.groups, bank.row, c.column)
        place = Place(*(np.asarray(value, np.uint64) for value in where))
        address = int(self.mapping.inverse(place))
        if not reads:
            bank.write = self.cycle
            self.writes.append((begins, address))
            return
        bank.read = self.cycle
        words = self.memory[address : address + self.dram.access_bytes].view(np.uint64)
        check = encode(words)
        data_flips = np.zeros_like(words)
        for i in range(len(words)):
            data, flip = self.flips.get(address + 8 * i, (0, 0))
            data_flips[i] = data
            check[i] ^= np.uint8(flip)
        data = int.from_bytes((words ^ data_flips).tobytes(), "little")
        self.reads.append((begins + t.burst - 1, data, int.from_bytes(check.tobytes(), "little")))

    def _write_data(self, c: Command) -> None:
        due = bool(self.writes) and self.writes[0][0] == self.cycle
        if due != bool(c.write_valid):
            self._wrong("tCWL", "no data" if due else "data", 0)
        if not due:
            return
        _, address = self.writes.popleft()
        size = self.dram.access_bytes
        words = np.frombuffer(c.write_data.to_bytes(size, "little"), np.uint64)
        self.memory[address : address + size] = words.view(np.uint8)
        wrong = encode(words) ^ np.frombuffer(c.write_check.to_bytes(size // 8, "little"), np.uint8)
        for i, flip in enumerate(wrong.tolist()):
            self.flips.pop(address + 8 * i, None)
            if flip:
                self.flips[address + 8 * i] = (0, flip)
