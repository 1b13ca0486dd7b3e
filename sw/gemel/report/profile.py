"""A profile as text and as one self-contained HTML page."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gemel.report.summary import Kernel, Profile, class_name
from gemel_golden.activity import UNITS, Activity
from gemel_golden.isa import Unit
from gemel_golden.memory.timing import dram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["html_report", "text_report"]

NO_CLOCK = "The golden model has no clock: this report has launches and their work, but no time."
HEAD = ("kernel", "launches", "cycles", "share", "of peak", "memory", "MMAC", "KB read", "KB written")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1060px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; font-size: 14px; }
th, td { padding: 0.25em 0.8em; text-align: right; border-bottom: 1px solid #d9e2ec; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
svg { max-width: 100%; height: auto; }
h2 { margin-top: 2em; font-size: 18px; }
p.note { color: #52606d; }
"""


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _rows(profile: Profile) -> list[tuple[str, ...]]:
    """One row for each kernel under `HEAD`."""
    rows = []
    for kernel in profile.kernels:
        share = kernel.cycles / profile.cycles if profile.cycles else None
        rows.append(
            (
                kernel.name,
                f"{kernel.launches:,}",
                f"{kernel.cycles:,}" if profile.timed else "-",
                _share(share),
                _share(kernel.utilisation if kernel.macs else None),
                _share(kernel.bandwidth_utilisation(profile.bandwidth)),
                f"{kernel.macs / 1e6:,.3f}",
                f"{kernel.bytes_read / 1e3:,.1f}",
                f"{kernel.bytes_written / 1e3:,.1f}",
            )
        )
    return rows


def _class_rows(kernel: Kernel) -> list[tuple[str, ...]]:
    rows = []
    for unit in UNITS:
        shares = (_share(kernel.share(unit, kind)) for kind in Activity)
        rows.append((unit.name, *shares, f"{sum(kernel.units[unit].values()):,}", _work_done(kernel, unit)))
    return rows


def _work_done(kernel: Kernel, unit: Unit) -> str:
    """What a unit did in its busy cycles, in words."""
    busy = kernel.units[unit][Activity.BUSY]
    match unit:
        case Unit.LOAD | Unit.STORE:
            name = unit.name.lower()
            return f"{kernel.work[f'{name}_bytes']:,} B, {kernel.work[f'{name}_bursts']:,} bursts"
        case Unit.TENSOR:
            return f"{kernel.macs:,} MAC"
        case Unit.VECTOR:
            return f"{busy:,} bundles"
    return f"{busy:,} instructions"


def _classes_head() -> tuple[str, ...]:
    return ("unit", *(class_name(kind) for kind in Activity), "cycles", "work")


MEMORY_HEAD = (
    *("channel", "KB read", "KB written", "of peak", "row hits", "misses", "conflicts", "activates", "refreshes"),
    *("corrected", "uncorrectable"),
)


def _memory_rows(kernel: Kernel) -> list[tuple[str, ...]]:
    """One row for each channel of DRAM under `MEMORY_HEAD`; none of an ideal memory."""
    if not kernel.chip.drams:
        return []
    memory = dram(kernel.chip.memory)
    rows = []
    for channel, counts in sorted(kernel.memory.items()):
        read, written = (counts[name] * memory.access_bytes for name in ("column_reads", "column_writes"))
        peak = (read + written) / (kernel.cycles * memory.bytes_per_clock) if kernel.cycles else None
        names = ("row_misses", "row_conflicts", "activates", "refreshes", "corrected", "uncorrectable")
        moved = (f"{read / 1e3:,.1f}", f"{written / 1e3:,.1f}", _share(peak))
        hits = counts["row_hits"] / max(1, counts["row_hits"] + counts["row_misses"])
        rows.append((str(channel), *moved, _share(hits), *(f"{counts[name]:,}" for name in names)))
    return rows


COPY_HEAD = ("unit", "no copy", "writes", "waits", "cycles", "work")


def _copy_rows(kernel: Kernel) -> list[tuple[str, ...]]:
    """What the copy engine did in the cycles of copies, under `COPY_HEAD`: a beat is written in a cycle, and waits are
    what else a copy takes. No row of another kernel."""
    if not kernel.copies or not kernel.cycles:
        return []
    busy, writes, copied = (kernel.copies[name] for name in ("copy_busy", "copy_beats", "copy_bytes"))
    shares = (_share(cycles / kernel.cycles) for cycles in (kernel.cycles - busy, writes, busy - writes))
    return [("COPY", *shares, f"{kernel.cycles:,}", f"{copied:,} B in {writes:,} beats")]


def _notes(kernel: Kernel) -> list[str]:
    """What else its counters say, sentence by sentence."""
    notes = []
    bursts = [(least, count) for least, count in sorted(kernel.latencies.items()) if count]
    if bursts:
        spans = ", ".join(f"{least}-{2 * least - 1}: {count:,}" for least, count in bursts)
        notes.append(f"bursts of LOAD by cycles from address to first beat: {spans}")
    for name, words in (("saturated", "outputs clamped"), ("ecc_corrected", "words corrected in the core")):
        if kernel.work[name]:
            notes.append(f"{words}: {kernel.work[name]:,}")
    return notes


def _cycles(kernel: Kernel) -> str:
    """Where the cycles of a kernel's launches are counted."""
    several = " together" if kernel.chip.cores > 1 else ""
    return f"{kernel.core_cycles:,} cycles of its cores{several}, {kernel.ring_cycles:,} of its ring"


def _aligned(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = [tuple(head), *map(tuple, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _title(profile: Profile) -> str:
    launches = sum(kernel.launches for kernel in profile.kernels)
    chips = ", ".join(dict.fromkeys(device.chip.name for device in profile.devices))
    cycles = f", {profile.cycles:,} cycles" if profile.timed else ""
    return f"{launches:,} launch{'es' * (launches != 1)} on {chips}{cycles}"


def text_report(profile: Profile) -> str:
    """Tables of kernels and of what each unit did in them."""
    parts = [_title(profile), "", _aligned(HEAD, _rows(profile))]
    if not profile.timed:
        return "\n".join([*parts, "", NO_CLOCK, ""])
    for kernel in profile.kernels:
        if kernel.core_cycles:
            parts += ["", f"{kernel.name}: {_cycles(kernel)}"]
            parts.append(_aligned(_classes_head(), _class_rows(kernel)))
            parts += _notes(kernel)
        elif rows := _copy_rows(kernel):
            parts += ["", f"{kernel.name}: {kernel.cycles:,} cycles of its ring", _aligned(COPY_HEAD, rows)]
        if rows := _memory_rows(kernel):
            parts.append(_aligned(MEMORY_HEAD, rows))
    return "\n".join([*parts, ""])


def _svg(picture: Figure) -> str:
    target = io.StringIO()
    picture.savefig(target, format="svg", metadata={"Date": None})
    text = target.getvalue()
    return text[text.index("<svg") :]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", head) + "".join(line("td", row) for row in rows) + "</table>"


def html_report(profile: Profile, command: str) -> str:
    """One page with all tables and pictures in it. Needs Matplotlib for a chip with a clock."""
    title = html.escape(_title(profile))
    parts = [
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{title}</title>",
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>",
        f"<p><code>{html.escape(command)}</code></p>",
        _table(HEAD, _rows(profile)),
    ]
    parts += _pictures(profile) if profile.timed else [f"<p class='note'>{NO_CLOCK}</p>"]
    return "\n".join([*parts, "</body></html>\n"])


def _pictures(profile: Profile) -> list[str]:
    from gemel.report import profile_pictures as pictures

    note = (
        "Of peak: multiply-accumulates against the dot units' peak for the operands' formats. Memory: bytes read or "
        f"written, whichever is more (of DRAM: both), against {profile.bandwidth:g} bytes a cycle."
    )
    parts = [
        f"<p class='note'>{note}</p>",
        "<h2>Time by kernel</h2>",
        _svg(pictures.draw_kernels(profile)),
        "<h2>What the units did</h2>",
        "<p class='note'>Every cycle of a launch belongs to one class of each unit.</p>",
        _svg(pictures.draw_classes(profile)),
    ]
    for kernel in profile.kernels:
        if kernel.core_cycles:
            parts.append(f"<h3>{html.escape(kernel.name)}</h3><p class='note'>{_cycles(kernel)}</p>")
            parts.append(_table(_classes_head(), _class_rows(kernel)))
            parts += [f"<p class='note'>{html.escape(note)}</p>" for note in _notes(kernel)]
        elif rows := _copy_rows(kernel):
            parts += [f"<h3>{html.escape(kernel.name)}</h3>", _table(COPY_HEAD, rows)]
        if rows := _memory_rows(kernel):
            parts.append(_table(MEMORY_HEAD, rows))
    parts += ["<h2>Roofline</h2>", _svg(pictures.draw_roofline(profile)), "<h2>Memory over time</h2>"]
    parts += [_svg(pictures.draw_bandwidth(device)) for device in profile.devices]
    return [*parts, "<h2>Latency of reads</h2>", _svg(pictures.draw_latencies(profile))]
