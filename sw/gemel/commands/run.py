"""`gemel run`: models on a chip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gemel.commands.output import NOT_EXACT, Backend, ChipName, Json, emit, fail

if TYPE_CHECKING:
    from rich.console import Console

    from gemel.models.digits_demo import DigitsReport, NetworkReport
    from gemel.report.timeline import Section

app = typer.Typer(no_args_is_help=True, help="Run a model on a chip.")


@app.callback()
def models() -> None:
    """Run a model on a chip."""


@app.command()
def digits(
    chip: ChipName = "inference",
    backend: Backend = "rtl",
    out: Annotated[Path, typer.Option("--out", help="directory for pictures and trace")] = Path("build/digits"),
    json: Json = False,
) -> None:
    """Classify handwritten digits, every layer on the chip, every byte compared with the golden model."""
    import gemel
    from gemel.models.digits_demo import run_demo

    def say(step: str) -> None:
        if not json:
            typer.echo(f"{step} ...", err=True)

    say(f"opening the {chip} chip")
    with gemel.open(chip, backend) as device, gemel.open(device.config, "golden") as golden:
        report = run_demo(device, golden, backend, say)
    out.mkdir(parents=True, exist_ok=True)
    files = [str(path) for path in _draw(report, out)]
    emit(report.as_dict() | {"files": files}, json, lambda screen: _print(screen, report, files))
    for network in report.networks:
        for number, difference in enumerate(network.differences, start=1):
            if difference is not None:
                raise fail(f"{network.format}, layer {number}: {difference}", NOT_EXACT)


def _draw(report: DigitsReport, out: Path) -> list[Path]:
    from gemel.report.pictures import draw_digits
    from gemel.report.timeline import draw_timeline, write_trace

    best = report.networks[0]
    right = int((best.chip.predictions == report.digits.test_labels).sum())
    title = (
        f"Handwritten digits on the {report.chip.name} chip, {best.format.upper()}: "
        f"{right} of {len(report.digits.test_labels)} right"
    )
    files = [out / "digits.png"]
    draw_digits(files[0], report.digits.test_images, report.digits.test_labels, best.chip.predictions, title)
    if report.backend == "rtl":
        rows = [(network.format.upper(), _sections(report, network)) for network in report.networks]
        files += [out / "timeline.png", out / "trace.json"]
        draw_timeline(files[1], rows)
        write_trace(files[2], rows, clock_hz=1e9)
    return files


def _sections(report: DigitsReport, network: NetworkReport) -> list[Section]:
    from gemel.report.timeline import Section

    sections = []
    for number, layer in enumerate(network.chip.layers, start=1):
        share = report.utilisation(layer.macs, layer.cycles) or 0
        remark = f"{layer.m} x {layer.n} x {layer.k}, {share:.0%} of peak"
        sections.append(Section(name=f"layer {number}", remark=remark, events=layer.events))
    return sections


def _print(screen: Console, report: DigitsReport, files: list[str]) -> None:
    from rich.table import Table

    from gemel.models.digits_demo import CLOCK_HZ

    timed = report.backend == "rtl"
    layers = Table(title=f"Layers on the {report.chip.name} chip ({report.backend})", title_justify="left")
    for column in ("format", "layer", "m x n x k", "exact", "cycles", "of peak"):
        layers.add_column(column, justify="left" if column in ("format", "layer", "exact") else "right")
    for network in report.networks:
        pairs = zip(network.chip.layers, network.differences, strict=True)
        for number, (layer, difference) in enumerate(pairs, start=1):
            share = report.utilisation(layer.macs, layer.cycles)
            layers.add_row(
                network.format if number == 1 else "",
                f"{number} -> {layer.out}",
                f"{layer.m} x {layer.n} x {layer.k}",
                "[green]yes[/]" if difference is None else "[red]no[/]",
                f"{layer.cycles:,}" if timed else "-",
                "-" if share is None else f"{share:.1%}",
                end_section=number == len(network.chip.layers),
            )
    images = len(report.digits.test_labels)
    summary = Table(title=f"{images} handwritten digits", title_justify="left")
    for column in ("network", "accuracy", "golden", "exact", "cycles", "of peak", "at 1 GHz", "host"):
        summary.add_column(column, justify="left" if column in ("network", "exact") else "right")
    summary.add_row("float32", f"{report.float_accuracy:.1%}", *[""] * 6)
    for network in report.networks:
        share = report.utilisation(sum(layer.macs for layer in network.chip.layers), network.cycles)
        summary.add_row(
            network.format,
            f"{report.accuracy(network.chip):.1%}",
            f"{report.accuracy(network.golden):.1%}",
            "[green]yes[/]" if network.exact else "[red]no[/]",
            f"{network.cycles:,}" if timed else "-",
            "-" if share is None else f"{share:.1%}",
            f"{network.cycles / CLOCK_HZ * 1e6:.1f} us" if timed else "-",
            f"{network.chip.seconds:.2f} s",
        )
    screen.print(layers, summary)
    if timed:
        screen.print(
            "A layer's cycles run from its first instruction to its last byte; a network's are those of its launches "
            "from doorbell to interrupt, told as time for a clock of 1 GHz."
        )
    verdict = "[green]Every byte of every layer equals the golden model's and NumPy's.[/]"
    screen.print(verdict if report.exact else "[red]Some bytes differ from the golden model's.[/]")
    screen.print("Wrote " + ", ".join(files))
