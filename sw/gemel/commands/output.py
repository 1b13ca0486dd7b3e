"""What commands print: tables for people, one JSON object for machines, and failures as one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["NOT_EXACT", "Backend", "ChipName", "Json", "cells", "console", "emit", "fail"]

NOT_EXACT, USAGE, DEVICE, BUILD, BUG = 1, 2, 3, 4, 70
"""Exit codes beside 0: a result isn't exact; bad arguments; the chip stopped or hangs; no simulator; our mistake."""

ChipName = Annotated[str, typer.Option("--chip", help="nano, inference, training, quad or inference-hbm3")]
Backend = Annotated[str, typer.Option("--backend", help="rtl: the simulated hardware; golden: the model")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]


def console() -> Console:
    """A console on standard output."""
    from rich.console import Console

    return Console(highlight=False)


def emit(values: Mapping[str, Any], as_json: bool, render: Callable[[Console], object]) -> None:
    """Print `values` as one JSON object, or what `render` makes of them."""
    if as_json:
        typer.echo(json.dumps(values))
    else:
        render(console())


def fail(sentence: str, code: int) -> typer.Exit:
    """Say why on standard error; raise what this returns."""
    typer.echo(f"gemel: {sentence}", err=True)
    return typer.Exit(code)


def cells(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Figures as a table's rows: thousands separated, shares in percent, yes and no."""
    return [(name.replace("_", " "), _text(name, value)) for name, value in figures.items()]


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1%}" if name.endswith(("utilisation", "accuracy")) else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
