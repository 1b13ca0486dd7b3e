"""The command `gemel`; `main` turns exceptions into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from gemel.commands import bench, info, profile, run, waves
from gemel.commands.output import BUG, BUILD, DEVICE, USAGE

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run models and measure matrix products on Gemel's chips.",
    epilog="Exit codes: 0 fine, 1 a result isn't exact, 2 bad arguments, 3 the chip stopped or hangs, 4 no simulator.",
)
app.command()(info.info)
app.command()(waves.waves)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
)(profile.profile)
app.add_typer(run.app, name="run")
app.add_typer(bench.app, name="bench")


@app.callback()
def options(
    traceback: Annotated[bool, typer.Option("--traceback", help="show where an error comes from")] = False,
) -> None:
    """Run models and measure matrix products on Gemel's chips."""


def main() -> None:
    """Run the command line. Each exception is one sentence on standard error; `--traceback`, anywhere, shows it all."""
    # One thread of BLAS: the figures are those of one core, and its threads wait for each other on a busy machine.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    reveal = "--traceback" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--traceback"]
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        code = exit_code(error)
        if reveal or code == BUG:
            traceback.print_exc()
        print(f"gemel: {error}", file=sys.stderr)
        sys.exit(code)


def exit_code(error: Exception) -> int:
    """The exit code that an exception means."""
    from gemel.driver.faults import DeviceError
    from gemel.sim.build import BuildError
    from gemel.sim.library import SimulationError

    for kinds, code in (
        ((DeviceError, SimulationError), DEVICE),
        ((BuildError,), BUILD),
        ((ValueError, OSError, MemoryError, ModuleNotFoundError), USAGE),
    ):
        if isinstance(error, kinds):
            return code
    return BUG
