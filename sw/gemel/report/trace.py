"""A recording as a trace for Perfetto: units, queues, launches and memory over time, one cycle a nanosecond."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from gemel.driver.device import TraceEvent
from gemel.driver.recording import DeviceRecord, Recording
from gemel.driver.work import mnemonics
from gemel_golden.isa import Unit
from gemel_golden.packets import PacketType

__all__ = ["lanes", "trace_events", "write_trace"]

CYCLE = 1e-3
"""Microseconds of a cycle, at 1 GHz."""
TRACKS = 16
"""Track numbers that a unit has for instructions that overlap."""
RINGS, MEMORY, CORES = 1, 2, 3
"""Process numbers of a device, counted from its first; those of its cores follow."""
PACKETS = 2
"""Track numbers of a ring: launches, packets."""
PROCESSES = 40
"""Process numbers that a device has."""

_names = lru_cache(maxsize=256)(mnemonics)


def lanes(events: Sequence[TraceEvent]) -> Iterator[tuple[int, TraceEvent]]:
    """Events in the order of their starts, each with the first lane where the one before it has ended."""
    ends: list[int] = []
    for event in sorted(events, key=lambda event: (event.start, event.stop)):
        lane = next((i for i, end in enumerate(ends) if end <= event.start), len(ends))
        ends[lane : lane + 1] = [event.stop]
        yield lane, event


def _named(process: int, name: str, track: int | None = None) -> dict[str, Any]:
    kind = "process_name" if track is None else "thread_name"
    place = {} if track is None else {"tid": track}
    return {"ph": "M", "pid": process, "name": kind, "args": {"name": name}} | place


def _slice(process: int, track: int, name: str, start: int, stop: int, **arguments: Any) -> dict[str, Any]:
    times = {"ts": start * CYCLE, "dur": (stop - start) * CYCLE}
    return {"ph": "X", "pid": process, "tid": track, "name": name, "args": arguments} | times


def _counter(process: int, name: str, cycle: int, **values: float) -> dict[str, Any]:
    return {"ph": "C", "pid": process, "name": name, "ts": cycle * CYCLE, "args": values}


def _launches(device: DeviceRecord, first: int) -> Iterator[dict[str, Any]]:
    yield _named(first + RINGS, f"{device.chip.name}: rings")
    for ring in sorted({launch.ring for launch in device.launches} | {packet.core for packet in device.packets}):
        yield _named(first + RINGS, f"ring {ring}: launches", PACKETS * ring)
        yield _named(first + RINGS, f"ring {ring}: packets", PACKETS * ring + 1)
    for packet in device.packets:
        kind, index = packet.pc >> 16, packet.pc & 0xFFFF
        name = PacketType(kind).name if kind in set(PacketType) else "?"
        yield _slice(first + RINGS, PACKETS * packet.core + 1, f"{name} #{index}", packet.start, packet.stop)
    for number, launch in enumerate(device.launches, start=1):
        facts: dict[str, Any] = {"launch": number, "cycles": launch.cycles, "macs": launch.work.macs}
        for core, counters in launch.counters.items():
            facts[f"core {core}"] = {"cycles": counters.cycles, **counters.work}
        yield _slice(first + RINGS, PACKETS * launch.ring, launch.name, launch.begun, launch.ended, **facts)


def _units(device: DeviceRecord, first: int) -> Iterator[dict[str, Any]]:
    named: set[tuple[int, int]] = set()
    placed = [(launch, event) for launch in device.launches for event in launch.events]
    launches = {id(event): launch for launch, event in placed}
    for core in sorted({event.core for _, event in placed}):
        process = first + CORES + core
        yield _named(process, f"{device.chip.name}: core {core}")
        for unit in Unit:
            events = [event for _, event in placed if (event.core, event.unit) == (core, unit)]
            for lane, event in lanes(events):
                track = TRACKS * unit + lane
                if (process, track) not in named:
                    named.add((process, track))
                    yield _named(process, unit.name + (f" +{lane}" if lane else ""), track)
                launch = launches[id(event)]
                mnemonic = _names(launch.program.bytes)[event.pc]
                facts = {"launch": launch.name, "instruction": event.pc, "first": event.start, "last": event.stop - 1}
                yield _slice(process, track, f"{mnemonic} #{event.pc}", event.start, event.stop, **facts)
            yield from _queue(process, unit, events)


def _queue(process: int, unit: Unit, events: Iterable[TraceEvent]) -> Iterator[dict[str, Any]]:
    """How many instructions stand in a unit's queue."""
    changes: dict[int, int] = {}
    for event in events:
        changes[event.queued] = changes.get(event.queued, 0) + 1
        changes[event.start] = changes.get(event.start, 0) - 1
    level = 0
    for cycle in sorted(changes):
        level += changes[cycle]
        yield _counter(process, f"{unit.name} queue", cycle, instructions=level)


def _memory(device: DeviceRecord, first: int) -> Iterator[dict[str, Any]]:
    """Between two samples: bytes a cycle of each channel and of all; of DRAM, rows opened and refreshes."""
    yield _named(first + MEMORY, f"{device.chip.name}: memory")
    channels = device.channels
    if len(channels) > 1:
        channels = {"all channels": device.together} | channels
    for channel, samples in channels.items():
        for one, two in pairwise(samples):
            rates = two.since(one)
            if rates is not None:  # a reset begins anew
                moved = {"read": rates.read_bytes, "written": rates.written_bytes}
                yield _counter(first + MEMORY, f"{channel}, bytes a cycle", one.cycle, **moved)
                if device.chip.drams:
                    rows = {"opened": 1e3 * rates.activates, "refreshed": 1e3 * rates.refreshes}
                    yield _counter(first + MEMORY, f"{channel}, rows in 1,000 cycles", one.cycle, **rows)
        if samples:
            last = samples[-1].cycle
            yield _counter(first + MEMORY, f"{channel}, bytes a cycle", last, read=0.0, written=0.0)
            if device.chip.drams:
                yield _counter(first + MEMORY, f"{channel}, rows in 1,000 cycles", last, opened=0.0, refreshed=0.0)


def trace_events(recording: Recording) -> list[dict[str, Any]]:
    """The events of all devices that have a clock, in Chrome's trace format."""
    events: list[dict[str, Any]] = []
    for number, device in enumerate(device for device in recording.devices if device.timed and device.launches):
        first = PROCESSES * number
        for part in (_launches, _units, _memory):
            events += part(device, first)
    return events


def write_trace(path: Path, recording: Recording) -> None:
    """Write what ui.perfetto.dev and chrome://tracing show."""
    path.write_text(json.dumps({"traceEvents": trace_events(recording), "displayTimeUnit": "ns"}))
