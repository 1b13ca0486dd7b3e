"""Colours and fonts of all pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ACTIVITY_COLOURS", "INK", "PAPER", "QUIET", "UNIT_COLOURS", "WRONG", "figure"]

PAPER, INK, QUIET, WRONG = "#ffffff", "#1f2933", "#7b8794", "#c2255c"
UNIT_COLOURS = {"LOAD": "#4c8bc0", "TENSOR": "#e8a33d", "STORE": "#5aa469", "VECTOR": "#8e6bbf"}
ACTIVITY_COLOURS = {
    "INSTRUCTION": "#e4e7eb",
    "BUSY": "#3f9142",
    "SEMAPHORE": "#f0b429",
    "L1": "#8e6bbf",
    "MEMORY": "#4c8bc0",
    "DEPENDENCE": "#c2255c",
}


def figure(width: float, height: float) -> Figure:
    """An empty figure of inches, without the state of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, facecolor=PAPER)
