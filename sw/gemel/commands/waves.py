"""`gemel waves`: signals of a VCD file, printed or drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def waves(
    file: Annotated[Path, typer.Argument(help="VCD file, as gemel.open(..., waves=(path, first, last)) writes it")],
    signals: Annotated[
        list[str] | None, typer.Option("--signals", "-s", metavar="GLOB", help="may be repeated")
    ] = None,
    first: Annotated[int | None, typer.Option("--from", help="first cycle")] = None,
    last: Annotated[int | None, typer.Option("--to", help="cycle after the last")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="draw into this picture instead of printing")] = None,
) -> None:
    """Print chosen signals of a simulation, one row per cycle in which any changes, or draw them."""
    from gemel.sim.waves import show

    show(file, signals or ["*"], first, last, png)
