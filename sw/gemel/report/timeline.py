"""What the units did when: a picture of their instructions over cycles, and a trace for Perfetto or chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gemel.driver.device import TraceEvent
from gemel.report.style import INK, QUIET, UNIT_COLOURS, figure
from gemel_golden.isa import Unit

__all__ = ["Section", "draw_timeline", "write_trace"]

UNITS = (Unit.LOAD, Unit.TENSOR, Unit.STORE)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Events of one launch, with a name and a short remark for the picture."""

    name: str
    remark: str
    events: Sequence[TraceEvent]

    @property
    def start(self) -> int:
        """First cycle of the first event."""
        return min(event.start for event in self.events)

    @property
    def stop(self) -> int:
        """Cycle after the last event."""
        return max(event.stop for event in self.events)


def draw_timeline(path: Path, rows: Sequence[tuple[str, Sequence[Section]]]) -> None:
    """Draw one row per (title, sections), its units as lanes over cycles from the row's first event."""
    picture = figure(12, 0.7 + 2.1 * len(rows))
    picture.subplots_adjust(left=0.07, right=0.985, top=1 - 0.55 / picture.get_figheight(), hspace=0.62)
    picture.subplots_adjust(bottom=0.52 / picture.get_figheight())
    for axes, (title, sections) in zip(picture.subplots(len(rows), squeeze=False)[:, 0], rows, strict=True):
        sections = [section for section in sections if section.events]
        if not sections:
            raise ValueError(f"{title}: no events to draw; a chip without a clock has none")
        first = sections[0].start
        for section in sections:
            for lane, unit in enumerate(UNITS):
                bars = [(e.start - first, e.stop - e.start) for e in section.events if e.unit == unit]
                axes.broken_barh(
                    bars, (lane - 0.36, 0.72), color=UNIT_COLOURS[unit.name], edgecolor="white", linewidth=0.4
                )
            axes.axvspan(section.start - first, section.stop - first, color=QUIET, alpha=0.08, linewidth=0)
            middle = (section.start + section.stop) / 2 - first
            axes.text(middle, -0.62, f"{section.name}  {section.remark}", ha="center", fontsize=8, color=INK)
        axes.set_yticks(range(len(UNITS)), [unit.name for unit in UNITS], fontsize=9, color=INK)
        axes.set_ylim(len(UNITS) - 0.45, -0.98)
        axes.set_xlim(0, (sections[-1].stop - first) * 1.005)
        axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
        axes.tick_params(colors=INK, labelsize=8, length=3)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=QUIET, alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(lambda cycle, _: f"{cycle:,.0f}")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
    picture.axes[-1].set_xlabel("cycles", fontsize=9, color=INK)
    picture.savefig(path)


def write_trace(path: Path, rows: Sequence[tuple[str, Sequence[Section]]], *, clock_hz: float) -> None:
    """Write the same as a Chrome trace: one process per row, one thread per unit, times at this clock."""
    microsecond = 1e6 / clock_hz
    events: list[dict[str, Any]] = []
    for process, (title, sections) in enumerate(rows, start=1):
        events.append({"ph": "M", "pid": process, "name": "process_name", "args": {"name": title}})
        for unit in UNITS:
            thread = {"ph": "M", "pid": process, "tid": int(unit), "name": "thread_name", "args": {"name": unit.name}}
            events.append(thread)
        for section in sections:
            for event in section.events:
                events.append(
                    {
                        "ph": "X",
                        "pid": process,
                        "tid": int(event.unit),
                        "name": f"{section.name} #{event.pc}",
                        "ts": event.start * microsecond,
                        "dur": (event.stop - event.start) * microsecond,
                        "args": {"instruction": event.pc, "start": event.start, "stop": event.stop},
                    }
                )
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))
