"""Draws docs/images/chip.svg: the blocks of the inference chip, with numbers from its configuration."""

import argparse
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from gemel_golden.config import CHUNK, WORD, ChipConfig, config
from gemel_golden.isa import LOOP_DEPTH, REGISTERS, SEMAPHORES

TARGET = Path(__file__).parents[1] / "docs" / "images" / "chip.svg"
INK, QUIET, PAPER = "#1f2933", "#7b8794", "#ffffff"
CONTROL, MOVE, COMPUTE, STORAGE = "#e4e7eb", "#cfe2f3", "#fbe3bd", "#d6ead9"


def box(axes: Axes, x: float, y: float, width: float, height: float, colour: str, title: str, *lines: str) -> None:
    """A rounded box with a bold title and lines below it, all centred."""
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.09", facecolor=colour)
    shape.set(edgecolor=INK, linewidth=0.9)
    axes.add_patch(shape)
    top = y + height / 2 + 0.125 * len(lines)
    axes.text(x + width / 2, top, title, ha="center", va="center", fontsize=11, fontweight="bold", color=INK)
    for i, line in enumerate(lines, start=1):
        axes.text(x + width / 2, top - 0.26 * i, line, ha="center", va="center", fontsize=8.5, color=INK)


def frame(axes: Axes, x: float, y: float, width: float, height: float, title: str) -> None:
    """A dashed outline with its name in the upper left corner."""
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", facecolor="none")
    shape.set(edgecolor=QUIET, linewidth=1.1, linestyle=(0, (5, 3)))
    axes.add_patch(shape)
    axes.text(x + 0.14, y + height - 0.2, title, fontsize=9.5, color=QUIET, va="center", fontweight="bold")


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    label: str = "",
    *,
    data: bool = True,
    at: float = 0.5,
) -> None:
    """A line with a head: thick and dark for data, thin and grey for control; its label right of it, `at` a share."""
    style = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 12 if data else 9}
    style |= {"color": INK if data else QUIET, "linewidth": 1.9 if data else 1.0}
    axes.annotate("", end, start, arrowprops=style)
    if label:
        x, y = start[0] + at * (end[0] - start[0]), start[1] + at * (end[1] - start[1])
        axes.text(x + 0.1, y, label, fontsize=8, color=INK if data else QUIET, va="center")


def draw(chip: ChipConfig) -> Figure:
    """The picture of one chip."""
    figure = Figure(figsize=(10.4, 6.3), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, 10.4)
    axes.set_ylim(0, 6.3)
    axes.set_axis_off()

    frame(axes, 0.2, 1.25, 10.0, 4.85, f"chip: {chip.name}")
    frame(axes, 3.0, 1.5, 7.0, 4.25, "core")
    box(
        *(axes, 0.45, 3.55, 2.2, 1.6, CONTROL, "Command processor"),
        *("ring of packets:", "LAUNCH, WAIT, SIGNAL", "registers, interrupt"),
    )
    box(
        *(axes, 3.25, 4.6, 6.5, 0.75, CONTROL, "Sequencer"),
        f"{REGISTERS} address registers, {LOOP_DEPTH} nested loops, {SEMAPHORES} counting semaphores, a queue per unit",
    )
    mover = ("4-D strides,", "any alignment,", f"{chip.outstanding} bursts", "under way")
    box(axes, 3.25, 1.75, 1.45, 2.15, MOVE, "LOAD", *mover)
    box(axes, 8.3, 1.75, 1.45, 2.15, MOVE, "STORE", *mover)
    box(
        *(axes, 5.3, 3.15, 2.4, 1.05, COMPUTE, "TENSOR"),
        f"{chip.rows} x {chip.cols} dot units of {CHUNK} bytes",
        f"{chip.macs_8bit} INT8/FP8 MAC per cycle",
    )
    box(
        *(axes, 5.3, 1.75, 2.4, 0.8, STORAGE, "L1"),
        f"{chip.l1_bytes // 1024} KB, {chip.l1_banks} banks of {WORD}-byte words",
    )
    box(axes, 0.2, 0.15, 10.0, 0.6, STORAGE, "Memory", "programs, rings, tensors")

    arrow(axes, (2.65, 4.95), (3.25, 4.95), data=False)
    for x, y in ((3.97, 3.9), (6.5, 4.2), (9.02, 3.9)):
        arrow(axes, (x, 4.6), (x, y), data=False)
    arrow(axes, (3.97, 0.75), (3.97, 1.75), f"AXI4, {WORD} B per cycle", at=0.25)
    arrow(axes, (9.02, 1.75), (9.02, 0.75), f"{WORD} B per cycle", at=0.75)
    arrow(axes, (4.7, 2.15), (5.3, 2.15))
    arrow(axes, (7.7, 2.15), (8.3, 2.15))
    arrow(axes, (5.75, 2.55), (5.75, 3.15), "A")
    arrow(axes, (6.4, 2.55), (6.4, 3.15), "B")
    arrow(axes, (7.15, 3.15), (7.15, 2.55), "D")
    arrow(axes, (1.55, 0.75), (1.55, 3.55), "packets", data=False)
    axes.text(0.45, 5.32, "AXI4-Lite from the host", fontsize=8, color=QUIET, va="center")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=TARGET, help="svg or png file")
    output = parser.parse_args().output
    matplotlib.rcParams["svg.hashsalt"] = "gemel"
    output.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if output.suffix == ".svg" else None
    draw(config("inference")).savefig(output, dpi=130, metadata=metadata)


if __name__ == "__main__":
    main()
