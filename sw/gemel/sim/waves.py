"""Chosen signals of a simulator's VCD file, one value per clock cycle: as a table, or drawn."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from vcdvcd import VCDVCD

PERIOD = 10
"""VCD time units in a cycle: cycle c's values have settled at c * PERIOD + PERIOD - 1."""
ROOT = "TOP."


@dataclass(frozen=True, kw_only=True)
class Waves:
    """Values by signal name, one for each cycle `first` .. `last` - 1."""

    first: int
    last: int
    values: dict[str, list[int]]
    widths: dict[str, int]

    def changes(self) -> list[int]:
        """The first cycle and those in which any signal has another value than in the cycle before."""
        span = self.last - self.first
        rows = [i for i in range(1, span) if any(v[i] != v[i - 1] for v in self.values.values())]
        return [self.first + i for i in [0, *rows]] if span else []


def names(path: str | Path) -> list[str]:
    """All signals of the file, hierarchy joined by dots, as VCD spells them with their bit ranges."""
    return list(VCDVCD(str(path), only_sigs=True).signals)


def read(path: str | Path, signals: Sequence[str], first: int | None = None, last: int | None = None) -> Waves:
    """The signals that match any of the patterns `signals` in cycles `first` .. `last` - 1 (default: all of the file).

    A pattern such as ``m_axi0_ar*`` or ``*.load_unit.*valid`` is matched against a whole name below the chip's module.
    Raises FileNotFoundError, and ValueError when nothing matches or the file holds none of the cycles.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no waves at {path}")
    chosen = _choose(names(path), signals)
    vcd = VCDVCD(str(path), signals=list(chosen.values()))
    low, high = _span(vcd)
    first = low if first is None else max(first, low)
    last = high if last is None else min(last, high)
    if first >= last:
        raise ValueError(f"{path} holds cycles {low} to {high - 1}, none of those asked for")
    values, widths = {}, {}
    for name, reference in chosen.items():
        signal: Any = vcd[reference]
        times = [time for time, _ in signal.tv]
        sampled = [bisect_right(times, cycle * PERIOD + PERIOD - 1) - 1 for cycle in range(first, last)]
        values[name] = [_number(signal.tv[index][1]) if index >= 0 else 0 for index in sampled]
        widths[name] = int(signal.size)
    return Waves(first=first, last=last, values=values, widths=widths)


def _choose(present: Sequence[str], patterns: Sequence[str]) -> dict[str, str]:
    """Short name to the file's name, each signal once, in the order of the patterns."""
    chosen: dict[str, str] = {}
    for pattern in patterns:
        matches = {_short(name): name for name in present if fnmatchcase(_short(name), pattern)}
        matches.pop("", None)
        if not matches:
            raise ValueError(f"no signal matches {pattern!r}; '*' shows all {len(present)}")
        for short, name in matches.items():
            chosen.setdefault(short, name)
    return chosen


def _short(name: str) -> str:
    """The name below the chip's module, without its bit range; empty for the copies of the ports outside it."""
    return name.partition("[")[0].removeprefix(ROOT).partition(".")[2]


def _span(vcd: VCDVCD) -> tuple[int, int]:
    begin, end = int(vcd.begintime or 0), int(vcd.endtime or 0)
    return begin // PERIOD, end // PERIOD + (end % PERIOD != 0)


def _number(text: str) -> int:
    return int(text.lower().replace("x", "0").replace("z", "0"), 2)


def table(waves: Waves) -> Table:
    """A row for every cycle in which something changes, numbers in hexadecimal."""
    result = Table(box=None, header_style="bold")
    result.add_column("cycle", justify="right")
    for name in waves.values:
        result.add_column(name, justify="right", no_wrap=True)
    for cycle in waves.changes():
        row = [_text(v[cycle - waves.first], waves.widths[name]) for name, v in waves.values.items()]
        result.add_row(str(cycle), *row)
    return result


def _text(value: int, width: int) -> Text:
    if width == 1:
        return Text("1", style="green") if value else Text("0", style="dim")
    return Text(f"{value:x}", style="" if value else "dim")


def draw(waves: Waves, path: str | Path) -> None:
    """Write a picture of the signals, a row each, to `path` (its ending chooses the kind: png, svg, pdf)."""
    from matplotlib.figure import Figure  # only here: drawing is optional

    count = len(waves.values)
    figure = Figure(figsize=(min(40, 4 + (waves.last - waves.first) / 8), 0.8 + 0.42 * count), layout="constrained")
    axes = figure.subplots()
    for row, (name, values) in enumerate(waves.values.items()):
        _draw_signal(axes, count - 1 - row, values, waves.first, waves.widths[name])
    axes.set_yticks([count - 1 - row + 0.35 for row in range(count)], list(waves.values), fontsize=8)
    axes.set_xlim(waves.first, waves.last)
    axes.set_ylim(-0.2, count)
    axes.set_xlabel("cycle")
    axes.grid(axis="x", linewidth=0.3)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=120)


def _draw_signal(axes: Any, base: float, values: list[int], first: int, width: int) -> None:
    if width == 1:
        heights = [base + 0.7 * value for value in values]
        axes.stairs(heights, range(first, first + len(values) + 1), baseline=None, color="tab:green")
        return
    begin = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[begin]:
            axes.broken_barh([(first + begin, i - begin)], (base, 0.7), facecolor="none", edgecolor="tab:blue")
            if i - begin >= len(f"{values[begin]:x}") / 2:
                axes.text(first + begin + 0.2, base + 0.2, f"{values[begin]:x}", fontsize=6, clip_on=True)
            begin = i


def show(
    path: str | Path,
    signals: Sequence[str],
    first: int | None = None,
    last: int | None = None,
    picture: str | Path | None = None,
) -> None:
    """What `gemel waves` does: print the chosen signals, lines as long as they need, or draw them into `picture`."""
    waves = read(path, signals, first, last)
    if picture is not None:
        draw(waves, picture)
    else:
        rows = table(waves)
        console = Console()
        needed = console.measure(rows, options=console.options.update(max_width=1 << 16)).maximum
        Console(width=max(needed, console.width), soft_wrap=True).print(rows)
