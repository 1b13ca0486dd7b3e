"""A core's counters: what its units did in the cycles of the last launch, or of all launches since reset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gemel.driver.registers import Page
from gemel_golden.activity import UNITS, Activity
from gemel_golden.counters import BUCKETS, COUNTERS, SINCE_RESET, WORK
from gemel_golden.isa import Unit
from gemel_golden.registers import CHANNEL, COPY_COUNTS

__all__ = ["Channels", "Copies", "Counters", "read_channels", "read_copies", "read_counters"]

Channels = Sequence[Mapping[str, int]]
"""Counts of each channel of DRAM by the names of its registers."""


Copies = Mapping[str, int]
"""Counts of the copy engine by the names of its registers."""


@dataclass(frozen=True, kw_only=True)
class Counters:
    """Counts of one core.

    `units`: cycles by unit and class (`gemel_golden.activity`): those of each unit add up to `cycles`. `work`: bytes,
    beats, bursts, clamped outputs and corrected words by the names of `gemel_golden.counters.WORK`. `latencies`: bursts
    that LOAD read by the least number of cycles from address to first beat, powers of two. `memory`: what each channel
    of DRAM did meanwhile, for whomever; none with an ideal memory. `copies`: the copy engine's, for whatever stream. A
    chip without a clock counts nothing.
    """

    units: Mapping[Unit, Mapping[Activity, int]]
    work: Mapping[str, int]
    latencies: Mapping[int, int]
    memory: Channels = ()
    copies: Copies = field(default_factory=dict)

    @property
    def cycles(self) -> int:
        """Cycles of the launch or launches."""
        return sum(self.units[Unit.SEQUENCER].values())

    def share(self, unit: Unit, activity: Activity) -> float:
        """The part of the cycles in which `unit` was of this class; 0 without cycles."""
        return self.units[unit][activity] / self.cycles if self.cycles else 0.0

    def as_dict(self) -> dict[str, object]:
        """The same with names for keys, for JSON."""
        return {
            "cycles": self.cycles,
            "units": {
                unit.name.lower(): {activity.name.lower(): count for activity, count in classes.items()}
                for unit, classes in self.units.items()
            },
            "work": dict(self.work),
            "latencies": dict(self.latencies),
            "memory": [dict(channel) for channel in self.memory],
            "copies": dict(self.copies),
        }


def read_channels(channels: Sequence[Page]) -> Channels:
    """The counters of channels of DRAM since reset, by their pages."""
    return [{register.name: page.read(register.name) for register in CHANNEL.table} for page in channels]


def read_copies(chip: Page) -> Copies:
    """The counters of the copy engine since reset, by the chip's page."""
    return {name: chip.read_pair(name) for name in COPY_COUNTS}


def read_counters(core: Page, memory: Channels, copies: Copies, *, since_reset: bool = False) -> Counters:
    """The counters of the core whose page this is, beside those of what cores share."""

    def count(name: str) -> int:
        core.write("counter_select", COUNTERS[name].number | (SINCE_RESET if since_reset else 0))
        low = core.read("counter_lo")
        return low | core.read("counter_hi") << 32 if since_reset else low

    return Counters(
        units={
            unit: {activity: count(f"{unit.name}_{activity.name}".lower()) for activity in Activity} for unit in UNITS
        },
        work={name: count(name) for name in WORK},
        latencies={1 << bucket: count(f"latency_{1 << bucket}") for bucket in range(BUCKETS)},
        memory=memory,
        copies=copies,
    )
