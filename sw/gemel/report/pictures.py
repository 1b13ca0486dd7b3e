"""The picture of the digits demo: test images with what the chip read, mistakes marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gemel.report.style import INK, QUIET, WRONG, figure

__all__ = ["draw_digits"]

ROWS, COLUMNS = 5, 12


def draw_digits(
    path: Path, images: NDArray[np.float32], labels: NDArray[np.int64], predictions: NDArray[np.int64], title: str
) -> None:
    """Draw 60 digits, all mistakes (up to a row) last. images (count, 64) of 0..16; labels, predictions (count,)."""
    wrong = np.flatnonzero(predictions != labels)[:COLUMNS]
    right = np.flatnonzero(predictions == labels)[: ROWS * COLUMNS - len(wrong)]
    shown = np.concatenate([right, wrong])
    picture = figure(9.6, 5.0)
    picture.subplots_adjust(left=0.02, right=0.98, top=0.86, bottom=0.06, wspace=0.18, hspace=0.55)
    picture.text(0.02, 0.94, title, fontsize=12, fontweight="bold", color=INK, va="center")
    grid = picture.subplots(ROWS, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, i in zip(grid.flat, shown, strict=False):
        mistaken = predictions[i] != labels[i]
        axes.set_axis_on()
        axes.imshow(images[i].reshape(8, 8), cmap="Greys", vmin=0, vmax=16, interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set(color=WRONG if mistaken else QUIET, linewidth=1.8 if mistaken else 0.5)
        caption = f"{predictions[i]}, not {labels[i]}" if mistaken else f"{predictions[i]}"
        axes.set_xlabel(caption, fontsize=9, labelpad=2, color=WRONG if mistaken else INK)
        if mistaken:
            axes.xaxis.label.set_fontweight("bold")
    picture.savefig(path)
