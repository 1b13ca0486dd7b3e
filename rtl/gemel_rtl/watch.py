"""What watches a core's units from outside: errors in the data that they read from L1, and time."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gemel_golden.isa import FaultCode, Unit
from gemel_rtl.interfaces import PC_BITS, Fault
from gemel_rtl.l1.l1 import READ_PORTS, l1_error
from gemel_rtl.launch import FaultRecord

__all__ = ["READERS", "SEEN", "Watch"]

READERS: Mapping[str, Unit] = {
    "a": Unit.TENSOR,
    "b": Unit.TENSOR,
    "c": Unit.TENSOR,
    "store": Unit.STORE,
    "vector": Unit.VECTOR,
}
"""Whose read port of L1 is which."""
LISTS = "store"
"""The port that LOAD's lists of indices come through too."""
SEEN = (*dict.fromkeys(READERS.values()), Unit.LOAD)
"""Units whose faults these can be."""


class Watch(wiring.Component):
    """Makes faults that no unit sees itself, each of which holds until `clear`.

    ECC_L1: an uncorrectable error in data read from L1, at the instruction that its reader is at; the first reader in
    the order of `READ_PORTS` wins. WATCHDOG: the launch has run for `limit` cycles (0: any number), at the sequencer's
    instruction.

    Parameters: ecc (L1 has check bits).
    Members: `error` (of L1, if it has check bits) with `listing` (STORE's port reads a list of LOAD's); `<unit>_pc`;
    `start`, `running`, `limit`; `clear`; `fault`, `unit`.
    """

    def __init__(self, ecc: bool) -> None:
        self.ecc = ecc
        pcs = {f"{unit.name.lower()}_pc": In(PC_BITS) for unit in (Unit.SEQUENCER, *SEEN)}
        control = {"start": In(1), "limit": In(32), "clear": In(1), "fault": Out(Fault)}
        errors = {"error": In(l1_error(len(READ_PORTS))), "listing": In(1)} if ecc else {}
        super().__init__(control | pcs | errors | {"unit": Out(FaultRecord.members["unit"])})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        left = Signal(32)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If((left == 1) & ~self.fault.valid):
            m.d.sync += [
                self.fault.valid.eq(1),
                self.fault.code.eq(FaultCode.WATCHDOG),
                self.fault.pc.eq(self.sequencer_pc),
                self.fault.address.eq(0),
                self.unit.eq(Unit.SEQUENCER),
            ]
        if self.ecc:
            self._errors(m)
        with m.If(self.clear):
            m.d.sync += [self.fault.valid.eq(0), left.eq(0)]
        with m.If(self.start):
            m.d.sync += left.eq(self.limit)
        return m

    def _errors(self, m: Module) -> None:
        found = Signal()
        m.d.comb += found.eq(self.error.ports.any())
        with m.If(found & ~self.fault.valid):
            m.d.sync += self.fault.code.eq(FaultCode.ECC_L1)
            m.d.sync += [self.fault.valid.eq(1), self.fault.address.eq(self.error.address)]
            for p, name in reversed(list(enumerate(READ_PORTS))):
                with m.If(self.error.ports[p]):
                    m.d.sync += self._reader(READERS[name])
                    if name == LISTS:
                        with m.If(self.listing):
                            m.d.sync += self._reader(Unit.LOAD)

    def _reader(self, unit: Unit) -> list[Any]:
        """The fault is this unit's."""
        return [self.unit.eq(unit), self.fault.pc.eq(getattr(self, f"{unit.name.lower()}_pc"))]
