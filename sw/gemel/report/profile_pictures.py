"""The pictures of a profile: time by kernel, what units did, roofline, memory over time, latencies."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import log10
from typing import TYPE_CHECKING, Any

from gemel.driver.recording import DeviceRecord
from gemel.report.style import ACTIVITY_COLOURS, INK, QUIET, UNIT_COLOURS, figure
from gemel.report.summary import Kernel, Profile, class_name
from gemel_golden.activity import UNITS, Activity
from gemel_golden.vector_isa import LANES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_bandwidth", "draw_classes", "draw_kernels", "draw_latencies", "draw_roofline"]

MOST = 10
"""Kernels that a picture has room for."""
NAME = 34
"""Letters of a kernel's name that a picture has room for."""
NEAR = 1 / 16
"""Part of a decade within which points of the roofline share a label."""


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.set_axisbelow(True)
    axes.grid(color=QUIET, alpha=0.25, linewidth=0.6)


def _short(name: str) -> str:
    return name if len(name) <= NAME else name[: NAME - 1] + "…"


def draw_kernels(profile: Profile) -> Figure:
    """Cycles by kernel, longest first."""
    kernels = profile.kernels[:MOST]
    picture = figure(9, 0.8 + 0.34 * len(kernels))
    axes = picture.subplots()
    rows = range(len(kernels))
    axes.barh(rows, [kernel.cycles for kernel in kernels], color=UNIT_COLOURS["TENSOR"], height=0.66)
    for row, kernel in zip(rows, kernels, strict=True):
        share = kernel.cycles / profile.cycles if profile.cycles else 0
        axes.text(kernel.cycles, row, f"  {kernel.cycles:,} ({share:.0%})", va="center", fontsize=8, color=INK)
    axes.set_yticks(rows, [_short(kernel.name) for kernel in kernels])
    axes.set_ylim(len(kernels) - 0.4, -0.6)
    axes.set_xlim(0, 1.22 * max(kernel.cycles for kernel in kernels))
    axes.xaxis.set_major_formatter(lambda cycle, _: f"{cycle:,.0f}")
    axes.set_xlabel("cycles from doorbell to interrupt", fontsize=9, color=INK)
    _plain(axes)
    axes.grid(axis="y", visible=False)
    picture.set_layout_engine("tight")
    return picture


def draw_classes(profile: Profile) -> Figure:
    """What each unit did, as stacked bars of the launch's cycles, kernel by kernel."""
    kernels = [kernel for kernel in profile.kernels if kernel.core_cycles][:MOST]
    columns = min(2, len(kernels)) or 1
    lines = -(-len(kernels) // columns) or 1
    picture = figure(11, 0.9 + 1.75 * lines)
    grid = picture.subplots(lines, columns, squeeze=False, sharex=True)
    for axes in grid.flat[len(kernels) :]:
        axes.set_axis_off()
    for axes, kernel in zip(grid.flat, kernels, strict=False):
        left = [0.0] * len(UNITS)
        for kind in (*Activity.order(), Activity.INSTRUCTION):
            widths = [kernel.share(unit, kind) for unit in UNITS]
            colour = ACTIVITY_COLOURS[kind.name]
            axes.barh(range(len(UNITS)), widths, left=left, color=colour, height=0.72, label=class_name(kind))
            left = [a + b for a, b in zip(left, widths, strict=True)]
        axes.set_yticks(range(len(UNITS)), [unit.name for unit in UNITS])
        axes.set_ylim(len(UNITS) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_title(f"{_short(kernel.name)}, {kernel.core_cycles:,} cycles", loc="left", fontsize=9, color=INK)
        _plain(axes)
        axes.grid(axis="y", visible=False)
    if kernels:
        handles, labels = grid.flat[0].get_legend_handles_labels()
        picture.legend(handles, labels, ncols=len(Activity), loc="lower center", fontsize=8, frameon=False)
    picture.set_layout_engine("tight", rect=(0, 0.32 / picture.get_figheight(), 1, 1))
    return picture


def draw_roofline(profile: Profile) -> Figure:
    """Operations a cycle over operations a byte, below the chip's peaks and the memory's bandwidth."""
    chip, bandwidth = profile.kernels[0].chip, profile.bandwidth
    picture = figure(9, 5)
    axes = picture.subplots()
    points = _points(profile.kernels)
    span = [x for _, x, _, _ in points] or [1.0]
    low, high = min(0.1, min(span) / 2), max(1000.0, 2 * max(span))
    wide, narrow, lanes = (chip.cores * each for each in (chip.macs_8bit, chip.macs_16bit, LANES))
    roofs = [
        (wide, UNIT_COLOURS["TENSOR"], f"dot units, 8 bits: {wide:,} MAC a cycle"),
        (narrow, UNIT_COLOURS["TENSOR"], f"dot units, 16 bits: {narrow:,} MAC a cycle"),
        (lanes, UNIT_COLOURS["VECTOR"], f"vector cores: {lanes} operations a cycle"),
    ]
    for peak, colour, words in roofs:
        knee = peak / bandwidth
        axes.plot([low, knee, high], [low * bandwidth, peak, peak], color=colour, linewidth=1.2, alpha=0.8)
        axes.text(high, peak * 1.06, words, ha="right", va="bottom", fontsize=8, color=INK)
    axes.text(low * 2.5, low * bandwidth, f"memory: {bandwidth:g} B a cycle", fontsize=8, color=INK)
    labels: dict[tuple[float, float], list[str]] = {}
    for kernel, x, y, colour in points:
        axes.plot([x], [y], "o", color=colour, markeredgecolor="white", markersize=8)
        near = ((a, b) for a, b in labels if max(abs(log10(x / a)), abs(log10(y / b))) < NEAR)
        labels.setdefault(next(near, (x, y)), []).append(_short(kernel.name))
    for (x, y), names in labels.items():
        place = {"xytext": (7, -5), "textcoords": "offset points", "va": "top"}
        axes.annotate("\n".join(names), (x, y), fontsize=7.5, color=INK, **place)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    floor = min([y for _, _, y, _ in points] + [low * bandwidth])
    axes.set_ylim(floor / 2, wide * 2.2)
    axes.set_xlabel("multiply-accumulates, or lanes' operations, for a byte of memory read or written", fontsize=9)
    axes.set_ylabel("of these in a cycle", fontsize=9)
    _plain(axes)
    picture.set_layout_engine("tight")
    return picture


def _points(kernels: Sequence[Kernel]) -> list[tuple[Kernel, float, float, str]]:
    """Kernels with work and bytes: operations a byte, operations a cycle, colour."""
    points = []
    for kernel in kernels[:MOST]:
        work = kernel.macs or kernel.vector_operations
        if work and kernel.bytes_moved and kernel.cycles:
            colour = UNIT_COLOURS["TENSOR" if kernel.macs else "VECTOR"]
            points.append((kernel, work / kernel.bytes_moved, work / kernel.cycles, colour))
    return points


def draw_bandwidth(device: DeviceRecord) -> Figure:
    """Bytes a cycle of each memory channel over time, launches shaded."""
    channels = device.channels or {"channel 0": []}
    picture = figure(11, 0.7 + 1.7 * len(channels))
    first, last = device.launches[0].begun, device.launches[-1].ended
    rows = picture.subplots(len(channels), squeeze=False, sharex=True)[:, 0]
    for axes, (channel, samples) in zip(rows, channels.items(), strict=True):
        for number, launch in enumerate(device.launches):
            shade = 0.10 if number % 2 else 0.05
            axes.axvspan(launch.begun - first, launch.ended - first, color=QUIET, alpha=shade, linewidth=0)
        edges = [sample.cycle - first for sample in samples]
        changes = [two.since(one) for one, two in pairwise(samples)]
        for kind, colour in (("read", UNIT_COLOURS["LOAD"]), ("written", UNIT_COLOURS["STORE"])):
            rates = [getattr(change, f"{kind}_bytes") if change else 0.0 for change in changes]
            if rates:
                axes.stairs(rates, edges, color=colour, label=kind, linewidth=1.1)
        axes.axhline(device.bandwidth, color=INK, linewidth=0.8, linestyle="--")
        axes.set_ylim(0, 1.15 * device.bandwidth)
        axes.set_xlim(0, max(1, last - first))
        axes.set_ylabel(f"{channel}, B a cycle", fontsize=8, color=INK)
        axes.xaxis.set_major_formatter(lambda cycle, _: f"{cycle:,.0f}")
        axes.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
        _plain(axes)
    picture.axes[-1].set_xlabel("cycles from the first launch's doorbell", fontsize=9, color=INK)
    picture.set_layout_engine("tight")
    return picture


def draw_latencies(profile: Profile) -> Figure:
    """How long LOAD's bursts took from address to first beat."""
    counts: dict[int, int] = {}
    for kernel in profile.kernels:
        for least, count in kernel.latencies.items():
            counts[least] = counts.get(least, 0) + count
    present = [least for least, count in sorted(counts.items()) if count]
    shown = [least for least in sorted(counts) if present and present[0] / 2 <= least <= present[-1] * 2]
    picture = figure(7, 2.4)
    axes = picture.subplots()
    bars = axes.bar(range(len(shown)), [counts[least] for least in shown], color=UNIT_COLOURS["LOAD"], width=0.8)
    axes.bar_label(bars, [f"{counts[least]:,}" for least in shown], fontsize=8, color=INK)
    axes.set_xticks(range(len(shown)), [f"{least}-{2 * least - 1}" for least in shown])
    axes.set_xlabel("cycles from a burst's address to its first beat", fontsize=9, color=INK)
    axes.set_ylabel("bursts", fontsize=9, color=INK)
    _plain(axes)
    axes.grid(axis="x", visible=False)
    picture.set_layout_engine("tight")
    return picture
