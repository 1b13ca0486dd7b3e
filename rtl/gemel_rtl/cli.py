"""The command `gemel-rtl`: Verilog of the chips, and what Verilator's linter says of it."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gemel_golden.config import CONFIGS, ChipConfig
from gemel_golden.config import config as named_config
from gemel_rtl.generate import generate, lint, write

__all__ = ["main"]

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Verilog of the Gemel chips.")

Chip = Annotated[str, typer.Argument(help=f"one of {', '.join(CONFIGS)}")]
Change = Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="change a number of the chip")]
Out = Annotated[Path, typer.Option("-o", "--output", help="directory for the files")]


def _chip(name: str, changes: list[str] | None) -> ChipConfig:
    """The configuration that the arguments mean; a bad one ends the command with its sentence."""
    try:
        values = {}
        for change in changes or []:
            key, _, number = change.partition("=")
            try:
                values[key] = int(number, 0)
            except ValueError:
                raise ValueError(f"--set takes NAME=VALUE with a whole number, not {change!r}") from None
        return named_config(name).override(**values)
    except ValueError as error:
        typer.echo(f"gemel-rtl: {error}", err=True)
        raise typer.Exit(2) from None


@app.command("generate")
def generate_command(chip: Chip, output: Out, changes: Change = None) -> None:
    """Write the chip's Verilog, a file list, its configuration as JSON and the lint waivers."""
    config = _chip(chip, changes)
    started = time.monotonic()
    texts = generate(config)
    write(texts, output)
    modules = sum(name.endswith(".v") for name in texts)
    lines = sum(text.count("\n") for name, text in texts.items() if name.endswith(".v"))
    typer.echo(f"{config.name}: {modules} modules, {lines} lines in {output} ({time.monotonic() - started:.1f} s)")


@app.command("lint")
def lint_command(chip: Chip, changes: Change = None) -> None:
    """Run `verilator --lint-only -Wall` on the chip's Verilog; the exit code is 1 when it says anything."""
    config = _chip(chip, changes)
    with tempfile.TemporaryDirectory() as directory:
        write(generate(config), Path(directory))
        said = lint(Path(directory))
    if said:
        typer.echo(said, err=True)
        raise typer.Exit(1)
    typer.echo(f"{config.name}: clean")


@app.command()
def info() -> None:
    """Show the named chips and their numbers."""
    chips = [config.as_dict() for config in CONFIGS.values()]
    table = Table("", *(str(chip["name"]) for chip in chips))
    for name in chips[0]:
        if name != "name":
            table.add_row(name, *(str(chip[name]) for chip in chips))
    Console().print(table)


def main() -> None:
    """Entry of the console script."""
    sys.exit(app())
