"""Recordings: what the chips that are opened meanwhile did, launch by launch, for profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gemel.driver.work import Work, work_of
from gemel_golden.config import ChipConfig
from gemel_golden.isa import Unit

if TYPE_CHECKING:
    from gemel.driver.counters import Channels, Copies, Counters
    from gemel.driver.device import TraceEvent
    from gemel.driver.program import Program
    from gemel.sim.backend import Backend

__all__ = ["DeviceRecord", "LaunchRecord", "Rates", "Recording", "Sample", "begin", "recording"]


@dataclass(frozen=True, kw_only=True)
class LaunchRecord:
    """One launch: its name and program, its ring and cores, the cycles from doorbell to interrupt, what its units did.

    `counters` by core are empty where another launch had been queued behind it, which took the counters over. `memory`:
    what each channel of DRAM did since the end of the launch before; where the host saw several end at once, all is the
    first one's. `copies`: the same of the copy engine, since the end of the copy before; empty but of a copy.
    """

    name: str
    program: Program = field(repr=False)
    begun: int
    ended: int
    events: Sequence[TraceEvent] = field(repr=False)
    counters: Mapping[int, Counters] = field(repr=False)
    work: Work
    ring: int = 0
    memory: Channels = field(default=(), repr=False)
    copies: Copies = field(default_factory=dict, repr=False)

    @property
    def cycles(self) -> int:
        """Cycles from doorbell, or the end of the ring's launch before, to interrupt."""
        return self.ended - self.begun


@dataclass(frozen=True)
class Rates:
    """What a memory channel does in a cycle."""

    read_bytes: float
    written_bytes: float
    activates: float
    refreshes: float


@dataclass(frozen=True)
class Sample:
    """Bytes that a memory channel had moved by a cycle; of DRAM, rows opened and refreshes."""

    cycle: int
    channel: int
    read_bytes: int
    written_bytes: int
    activates: int = 0
    refreshes: int = 0

    def since(self, before: Sample) -> Rates | None:
        """What happened in a cycle since an earlier sample; ``None`` when there was a reset."""
        span = self.cycle - before.cycle
        changes = [getattr(self, name) - getattr(before, name) for name in Rates.__annotations__]
        return None if span <= 0 or min(changes) < 0 else Rates(*(change / span for change in changes))


@dataclass(kw_only=True)
class DeviceRecord:
    """All launches of one device, in the order of their ends."""

    chip: ChipConfig
    timed: bool
    """Whether the chip has a clock."""
    bandwidth: float
    """Bytes a cycle that a channel of its memory moves: each way, or, of DRAM, in all."""
    launches: list[LaunchRecord] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    packets: list[TraceEvent] = field(default_factory=list)
    """Packets of all rings: `core` is the ring, `pc` the packet's index modulo 2^16 and, from bit 16 on, its type."""
    _events: list[TraceEvent] = field(default_factory=list, repr=False)
    """Those of launches under way."""

    @property
    def channels(self) -> dict[str, list[Sample]]:
        """Samples by channel."""
        numbers = sorted({sample.channel for sample in self.samples})
        return {f"channel {n}": [sample for sample in self.samples if sample.channel == n] for n in numbers}

    @property
    def together(self) -> list[Sample]:
        """Samples of all channels added up."""
        totals: dict[int, list[int]] = {}
        for sample in self.samples:
            own = [getattr(sample, name) for name in Rates.__annotations__]
            totals[sample.cycle] = [a + b for a, b in zip(totals.get(sample.cycle, [0] * len(own)), own, strict=True)]
        return [Sample(cycle, 0, *counts) for cycle, counts in totals.items()]

    def note(
        self,
        *,
        name: str,
        program: Program,
        begun: int,
        ended: int,
        events: Sequence[TraceEvent],
        counters: Mapping[int, Counters],
        samples: Sequence[tuple[int, int, int, int, int, int]],
        memory: Channels = (),
        ring: int = 0,
        cores: Sequence[int] = (0,),
        copied: int = 0,
        copies: Copies | None = None,
    ) -> None:
        """Add a launch, or a copy of `copied` bytes, that has ended; `events`: those that are new, of any launch."""
        self.samples += [Sample(*sample) for sample in samples]
        self.packets += [event for event in events if event.unit == Unit.COMMAND]
        self._events += [event for event in events if event.unit != Unit.COMMAND]
        mine = [event for event in self._events if event.core in cores]
        self._events = [event for event in self._events if event.core not in cores]
        copied_work = Work(bytes_read=copied, bytes_written=copied)
        before = max((launch.ended for launch in self.launches if launch.ring == ring), default=0)
        self.launches.append(
            LaunchRecord(
                name=name,
                program=program,
                begun=max(begun, before),
                ended=ended,
                events=mine,
                counters=counters,
                work=work_of(program.bytes, self.chip).times(len(cores)) if cores else copied_work,
                ring=ring,
                memory=memory,
                copies=copies or {},
            )
        )


@dataclass(kw_only=True)
class Recording:
    """What was recorded; `interval`: cycles between two samples of memory traffic."""

    interval: int
    devices: list[DeviceRecord] = field(default_factory=list)


_RECORDING: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recording(interval: int = 100) -> Iterator[Recording]:
    """Record the devices that are opened inside. Raises ValueError for an interval below 1."""
    if interval < 1:
        raise ValueError(f"the interval between samples is at least 1 cycle, not {interval}")
    state = Recording(interval=interval)
    token = _RECORDING.set(state)
    try:
        yield state
    finally:
        _RECORDING.reset(token)


def begin(chip: ChipConfig, backend: Backend) -> DeviceRecord | None:
    """The record of a device that is being opened; ``None`` when nobody records."""
    state = _RECORDING.get()
    if state is None:
        return None
    record = DeviceRecord(chip=chip, timed=backend.timed, bandwidth=backend.bandwidth)
    state.devices.append(record)
    backend.sample_every(state.interval)
    return record
