"""Timing and geometry of DRAM: the one table that controller, device models and documents derive from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Decimal

__all__ = ["MEMORIES", "Clocks", "Dram", "Nanoseconds", "dram"]

POSTPONED = 8
"""Refreshes that a bank may be behind, as JEDEC's standards for HBM allow."""


@dataclass(frozen=True, kw_only=True)
class Nanoseconds:
    """Least times between commands, in nanoseconds, as decimal strings so that clocks are exact."""

    burst: str
    """Time that one access takes of the data bus."""
    cl: str
    """From READ to its first data."""
    cwl: str
    """From WRITE to its first data."""
    rcd_read: str
    """From ACTIVATE to a READ of the bank."""
    rcd_write: str
    """From ACTIVATE to a WRITE of the bank."""
    rp: str
    """From PRECHARGE to ACTIVATE or refresh of the bank."""
    ras: str
    """From ACTIVATE to PRECHARGE of the bank."""
    rc: str
    """From ACTIVATE to ACTIVATE of the bank."""
    ccd_s: str
    """From a column command to the next of its kind, bank groups different."""
    ccd_l: str
    """The same, in one bank group."""
    rrd_s: str
    """From ACTIVATE to ACTIVATE, bank groups different."""
    rrd_l: str
    """The same, in one bank group."""
    faw: str
    """At most four ACTIVATEs within this time."""
    wtr_s: str
    """From the end of written data to READ, bank groups different."""
    wtr_l: str
    """The same, in one bank group."""
    rtw: str
    """From READ to WRITE."""
    wr: str
    """From the end of written data to PRECHARGE of the bank."""
    rtp: str
    """From READ to PRECHARGE of the bank."""
    rfc: str
    """From an all-bank refresh to any row command."""
    rfc_pb: str
    """From a per-bank refresh to any row command of that bank, and to the next per-bank refresh."""
    refi: str
    """Each bank is refreshed once in this time on average, and never more than `POSTPONED` refreshes behind."""


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """The times of `Nanoseconds` in clocks, rounded up (`refi` down)."""

    burst: int
    cl: int
    cwl: int
    rcd_read: int
    rcd_write: int
    rp: int
    ras: int
    rc: int
    ccd_s: int
    ccd_l: int
    rrd_s: int
    rrd_l: int
    faw: int
    wtr_s: int
    wtr_l: int
    rtw: int
    wr: int
    rtp: int
    rfc: int
    rfc_pb: int
    refi: int


@dataclass(frozen=True, kw_only=True)
class Dram:
    """One kind of DRAM channel: its geometry, its clock and its times. Derived values are properties."""

    name: str
    tck: str
    """The command clock's period in nanoseconds; the chip runs on this clock."""
    access_bytes: int
    """Bytes of one column access."""
    page_bytes: int
    """Bytes of one row of one bank."""
    group_bits: int
    """log2 of the bank groups."""
    bank_bits: int
    """log2 of the banks of a group."""
    row_bits: int
    """log2 of the rows of a bank."""
    ns: Nanoseconds

    @property
    def clocks(self) -> Clocks:
        """All times in clocks."""
        return Clocks(**{f.name: self._clocks(f.name) for f in fields(Nanoseconds)})

    def _clocks(self, name: str) -> int:
        periods = Decimal(getattr(self.ns, name)) / Decimal(self.tck)
        return int(periods) if name == "refi" else int(periods.to_integral_value(ROUND_CEILING))

    @property
    def groups(self) -> int:
        """Bank groups of a channel."""
        return 1 << self.group_bits

    @property
    def banks(self) -> int:
        """Banks of a channel, all groups together."""
        return 1 << self.group_bits + self.bank_bits

    @property
    def columns(self) -> int:
        """Column accesses in a row."""
        return self.page_bytes // self.access_bytes

    @property
    def channel_bytes(self) -> int:
        """Capacity of a channel."""
        return self.page_bytes * self.banks << self.row_bits

    @property
    def bytes_per_clock(self) -> int:
        """Peak rate of a channel."""
        return self.access_bytes // self.clocks.burst


MEMORIES: dict[str, Dram] = {
    d.name: d
    for d in (
        Dram(
            name="hbm2",
            tck="1.0",
            access_bytes=64,
            page_bytes=2048,
            group_bits=2,
            bank_bits=2,
            row_bits=15,
            ns=Nanoseconds(
                burst="2.0",
                cl="14",
                cwl="4",
                rcd_read="14",
                rcd_write="14",
                rp="14",
                ras="34",
                rc="48",
                ccd_s="2",
                ccd_l="2",
                rrd_s="4",
                rrd_l="6",
                faw="30",
                wtr_s="6",
                wtr_l="8",
                rtw="14",  # cl + burst - cwl, and two clocks in which the bus turns round
                wr="16",
                rtp="6",
                rfc="260",
                rfc_pb="128",
                refi="3900",
            ),
        ),
        Dram(
            name="hbm3",
            tck="0.625",
            access_bytes=32,
            page_bytes=1024,
            group_bits=2,
            bank_bits=2,
            row_bits=15,
            ns=Nanoseconds(
                burst="1.25",
                cl="12.5",
                cwl="6.25",
                rcd_read="19.4",
                rcd_write="9.4",
                rp="16.25",
                ras="28.1",
                rc="45",
                ccd_s="1.25",
                ccd_l="2.5",
                rrd_s="2.5",
                rrd_l="3.1",
                faw="15",
                wtr_s="4.4",
                wtr_l="6.25",
                rtw="12.5",
                wr="20.6",
                rtp="5.6",
                rfc="350",
                rfc_pb="200",
                refi="3900",
            ),
        ),
    )
}
"""One 128-bit channel of HBM2; one pseudo-channel of HBM3 at 6.4 Gb/s a pin."""


def dram(name: str | Dram) -> Dram:
    """Look a kind of DRAM up; a ``Dram`` passes through. Raises ``ValueError`` with the known names."""
    if isinstance(name, Dram):
        return name
    if name not in MEMORIES:
        raise ValueError(f"no memory {name!r}; there are {', '.join(MEMORIES)}")
    return MEMORIES[name]
