"""`gemel profile`: another command, or a script, with a trace and a report of what the chips did."""

from __future__ import annotations

import runpy
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from gemel.commands.output import fail


def profile(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="directory for trace and report")] = Path("build/profile"),
    interval: Annotated[int, typer.Option("--interval", help="cycles between two samples of memory traffic")] = 100,
) -> None:
    """Run a command (bench matmul ..., run digits) or a script.py, and write trace.json for ui.perfetto.dev, report.txt
    and report.html."""
    from gemel.driver.recording import recording

    command = list(context.args)
    if not command:
        raise ValueError("profile takes a command or a script: gemel profile bench softmax --rows 64 --cols 512")
    code = 0
    with recording(interval) as record:
        try:
            code = _run(command)
        finally:
            if any(device.launches for device in record.devices) or sys.exc_info()[0] is None:
                from gemel.report.files import write_profile

                text, files = write_profile(record, out, "gemel profile " + shlex.join(command))
                typer.echo(text, err=True)
                typer.echo("Wrote " + ", ".join(map(str, files)), err=True)
    if code:
        raise fail(f"{command[0]} ended with exit code {code}", code)


def _run(command: list[str]) -> int:
    """Run it in this process; its exit code."""
    if command[0].endswith(".py"):
        if not Path(command[0]).is_file():
            raise FileNotFoundError(f"no script {command[0]}")
        before, sys.argv = sys.argv, command
        try:
            runpy.run_path(command[0], run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        finally:
            sys.argv = before
        return 0
    from gemel.cli import app

    if command[0] == "profile":
        raise ValueError("profile doesn't profile itself")
    return int(app(command, standalone_mode=False) or 0)
