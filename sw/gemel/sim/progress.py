"""Progress on a terminal: of a build by its steps, of a run by simulated cycles, of many runs by their number. Silent
where nobody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PATIENCE = 2.0
"""Seconds that a run takes before it shows itself."""


class BuildProgress:
    """The bar of one build; nothing is shown until a step takes a while, and without a terminal one line per step."""

    def __init__(self, chip: str) -> None:
        self._chip = chip
        self._terminal = sys.stderr.isatty()
        self._console = Console(stderr=True)
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(chip, total=None)

    def __enter__(self) -> BuildProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._progress.live.is_started:
            self._progress.stop()

    def step(self, what: str, total: int | None = None) -> None:
        """Begin the step `what` of `total` parts."""
        text = f"simulator of the {self._chip} chip: {what}"
        if self._terminal:
            self._progress.start()
            self._progress.reset(self._task, total=total, description=text)
        elif what != "elaborating":
            print(text, file=sys.stderr, flush=True)

    def advance(self) -> None:
        """One part is done."""
        self._progress.advance(self._task)


class RunProgress:
    """Shows simulated cycles and their rate on a terminal once a run has lasted `PATIENCE` seconds."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._first: int | None = None
        self._progress: Progress | None = None
        self._terminal = sys.stderr.isatty()

    def update(self, cycles: int) -> None:
        """The clock is at `cycles` now."""
        if self._first is None:
            self._first = cycles
        seconds = time.monotonic() - self._begun
        if not self._terminal or seconds < PATIENCE:
            return
        if self._progress is None:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.add_task(self._what, total=None)
            self._progress.start()
        done = cycles - self._first
        text = f"{self._what}: {done:,} cycles, {done / seconds / 1000:,.1f} thousand a second"
        self._progress.update(self._progress.task_ids[0], description=text)

    def stop(self) -> None:
        """The run has ended."""
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps while the context lasts; what it gives is called after each."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)
