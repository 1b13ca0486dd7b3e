"""`gemel bench`: figures of a chip in cycles, of the simulator and the golden arithmetic in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gemel.commands.output import NOT_EXACT, Backend, ChipName, Json, cells, emit, fail

if TYPE_CHECKING:
    from gemel.bench.faults import Summary
    from gemel.bench.vector import Work
    from gemel.driver.device import Device

app = typer.Typer(no_args_is_help=True, help="Measure a chip, its simulator or the golden arithmetic.")

Side = Annotated[int, typer.Option(min=1)]
Dtype = Annotated[str, typer.Option("--dtype", help="format of A and B: bf16, fp16, e4m3, e5m2, int8, e2m1 or int4")]
OutDtype = Annotated[str, typer.Option("--out-dtype", help="format of D")]
Latency = Annotated[int, typer.Option("--latency", help="cycles from an address to its first beat")]
Bandwidth = Annotated[float, typer.Option("--bandwidth", help="bytes a cycle of each channel, each way")]
Operands = Annotated[str, typer.Option("--operands", help="where operands and results are: l1 or memory")]
Seed = Annotated[int, typer.Option("--seed", help="of the operands, and of the shapes")]


@app.command()
def matmul(
    m: Side,
    n: Side,
    k: Side,
    chip: ChipName = "inference",
    dtype: Dtype = "e4m3",
    b_dtype: Annotated[str | None, typer.Option("--b-dtype", help="format of B where it is another")] = None,
    out_dtype: OutDtype = "bf16",
    operands: Operands = "memory",
    layout: Annotated[str, typer.Option("--layout", help="nt, nn, tn or tt: n as is, t transposed in memory")] = "nt",
    scales: Annotated[str, typer.Option("--scales", help="block scales: none, mx, nvfp4 or fp32")] = "none",
    epilogue: Annotated[str, typer.Option("--epilogue", help="relu_bias, gelu_aux, dgelu_bgrad, ...")] = "default",
    approximate: Annotated[str, typer.Option("--approximate", help="of GELU: none or tanh")] = "none",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure one matrix product D (m, n) = A (m, k) @ B (k, n)."""
    from gemel.bench.matmul import from_l1, from_memory, product_of

    place = _place(operands, latency, bandwidth)
    product = product_of(
        m,
        n,
        k,
        dtype,
        b_name=b_dtype,
        out=out_dtype,
        layout=layout,
        scales=scales,
        epilogue=epilogue,
        approximate=approximate,
        seed=seed,
    )
    with _open(chip, backend, latency, bandwidth) as device:
        figures = from_l1(device, product) if operands == "l1" else from_memory(device, product)
    more = "" if scales == "none" else f" under {scales} scales"
    more += "" if epilogue == "default" else f" with {epilogue}"
    _finish(f"{dtype} {m} x {n} x {k}{more} {place} on {chip} ({backend})", figures.as_dict(), json)


@app.command()
def decode(
    n: Side = 1024,
    k: Side = 2048,
    m: Annotated[int, typer.Option(min=1, help="rows, as many as sequences are decoded at once")] = 1,
    chip: ChipName = "inference-hbm3",
    dtype: Dtype = "e4m3",
    b_dtype: Annotated[str | None, typer.Option("--b-dtype", help="format of the weights where it is another")] = None,
    out_dtype: OutDtype = "bf16",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a product of few rows, memory to memory: the share of the memory's rate that the weights come at.

    Latency and bandwidth are an ideal memory's, a channel's; DRAM keeps to its own.
    """
    from gemel.bench.decode import run_decode
    from gemel.bench.matmul import product_of

    product = product_of(m, n, k, dtype, b_name=b_dtype, out=out_dtype, seed=seed)
    with _open(chip, backend, latency, bandwidth) as device:
        values = run_decode(device, product)
    _finish(f"{dtype} {m} x {n} x {k} from memory on {chip} ({backend})", values, json)


@app.command()
def scaling(
    cores: Annotated[str, typer.Option("--cores", help="numbers of cores, as 1,2,4")] = "1,2,4",
    op: Annotated[
        str,
        typer.Option(
            "--op",
            help="matmul; softmax of M x N, attention of M tokens in heads of 64, N in all, or conv2d of 3 x 3 over "
            "M pixels, 16 x 16 an image, from K to N channels, each in a format of its own",
        ),
    ] = "matmul",
    m: Side = 512,
    n: Side = 512,
    k: Side = 512,
    chip: ChipName = "quad",
    dtype: Dtype = "e4m3",
    out_dtype: OutDtype = "bf16",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a matrix product, or another operation, from memory on several numbers of cores."""
    from gemel.bench.matmul import product_of
    from gemel.bench.scaling import run_scaling, run_scaling_work
    from gemel.bench.scaling_work import OPERATIONS

    try:
        counts = [int(count) for count in cores.split(",")]
    except ValueError:
        raise ValueError(f"--cores takes numbers with commas between, as 1,2,4, not {cores!r}") from None
    if op != "matmul":
        if op not in OPERATIONS:
            raise ValueError(f"--op is one of matmul, {', '.join(OPERATIONS)}, not {op!r}")
        with _open(chip, backend, latency, bandwidth) as device:
            work = OPERATIONS[op](device, m, n, k, seed)
            values = run_scaling_work(device, work, counts)
        _finish(f"{work.title} from memory on cores of {chip} ({backend})", values, json)
        return
    product = product_of(m, n, k, dtype, out=out_dtype, seed=seed)
    with _open(chip, backend, latency, bandwidth) as device:
        values = run_scaling(device, product, counts)
    _finish(f"{dtype} {m} x {n} x {k} from memory on cores of {chip} ({backend})", values, json)


@app.command()
def softmax(
    rows: Side,
    cols: Side,
    operands: Operands = "memory",
    chip: ChipName = "inference",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure the softmax of each row of an FP32 matrix."""
    from gemel.bench.vector_work import softmax as work

    title = f"softmax of {rows} x {cols}"
    _vector(title, work(rows, cols, seed), operands, chip, backend, latency, bandwidth, json)


@app.command()
def norm(
    rows: Side,
    cols: Side,
    operands: Operands = "memory",
    chip: ChipName = "inference",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure the layer norm, with weight and bias, of each row of an FP32 matrix."""
    from gemel.bench.vector_work import norm as work

    title = f"layer norm of {rows} x {cols}"
    _vector(title, work(rows, cols, seed), operands, chip, backend, latency, bandwidth, json)


@app.command()
def elementwise(
    op: Annotated[str, typer.Option("--op", help="the function, as gelu")],
    elements: Side,
    operands: Operands = "memory",
    chip: ChipName = "inference",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a function of each of many FP32 numbers."""
    from gemel.bench.vector_work import elementwise as work

    _vector(f"{op} of {elements:,}", work(op, elements, seed), operands, chip, backend, latency, bandwidth, json)


@app.command()
def optimizer(
    elements: Side,
    name: Annotated[str, typer.Option("--name", help="the optimizer")] = "adamw",
    operands: Operands = "memory",
    chip: ChipName = "inference",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a step of an optimizer: FP32 weights and states, and a copy in BF16, rounded stochastically."""
    from gemel.bench.vector_work import optimizer as work

    title = f"{name} of {elements:,} weights"
    _vector(title, work(name, elements, seed), operands, chip, backend, latency, bandwidth, json)


@app.command()
def shapes(
    chip: ChipName = "inference",
    count: Annotated[int, typer.Option("--count", help="products in the program")] = 200,
    seed: Seed = 0,
    dtype: Dtype = "e4m3",
    out_dtype: OutDtype = "bf16",
    largest: Annotated[int, typer.Option("--largest", min=1, help="greatest side of a shape")] = 130,
    backend: Backend = "rtl",
    json: Json = False,
) -> None:
    """Measure one program of many products of random shapes, operands in L1, results stored to memory meanwhile."""
    from gemel.bench.shapes import run_shapes

    with _open(chip, backend) as device:
        figures = run_shapes(device, count=count, seed=seed, name=dtype, out_name=out_dtype, largest=largest)
    _finish(f"{count} random shapes in {dtype} on {chip} ({backend})", figures, json)


@app.command()
def attention(
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="queries, and keys")] = 512,
    head_dim: Annotated[int, typer.Option("--head-dim", help="a multiple of 32 up to 256")] = 64,
    heads: Annotated[int, typer.Option("--heads", help="up to one for each core of the chip")] = 1,
    chip: ChipName = "inference",
    dtype: Annotated[str, typer.Option("--dtype", help="of Q, K and V: bf16, fp16, e4m3 or e5m2")] = "bf16",
    causal: Annotated[bool, typer.Option("--causal", help="queries see no later keys")] = False,
    backward: Annotated[bool, typer.Option("--backward", help="the gradients of Q, K and V; bf16 or fp16")] = False,
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure attention from memory to memory."""
    from gemel.bench.attention import Attention, run_attention
    from gemel.bench.attention_backward import run_attention_backward

    case = Attention(tokens=tokens, head_dim=head_dim, heads=heads, dtype=dtype, causal=causal, seed=seed)
    with _open(chip, backend, latency, bandwidth) as device:
        values = (run_attention_backward if backward else run_attention)(device, case)
    kind = ("causal " if causal else "") + "attention" + (" backward" if backward else "")
    _finish(f"{dtype} {kind}, {tokens} tokens of {heads} x {head_dim} on {chip} ({backend})", values, json)


@app.command()
def memory(
    pattern: Annotated[
        str, typer.Option("--pattern", help="sequential, sequential_write, read2write1, random128, stride4096, ...")
    ] = "sequential",
    kind: Annotated[str, typer.Option("--memory", help="hbm2 or hbm3")] = "hbm3",
    count: Annotated[int, typer.Option("--count", min=1, help="times 128 bytes that move")] = 20_000,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure one memory channel alone, its controller and DRAM, refresh on, under a pattern of requests."""
    from gemel.bench.memory import memory_figures

    values = memory_figures(pattern, memory=kind, count=count, seed=seed)
    _finish(f"{pattern} on one channel of {kind}", values, json)


@app.command()
def dma(
    op: Annotated[
        str,
        typer.Option("--op", help="load, gather, store, scatter, scatter_add, fill, transpose, convert, mx or fp8"),
    ],
    row_bytes: Annotated[int, typer.Option("--row-bytes", help="bytes of a row, a multiple of 32")],
    stride: Annotated[
        int | None, typer.Option("--stride", help="bytes between rows in memory; else they touch")
    ] = None,
    total: Annotated[int, typer.Option("--bytes", min=1, help="bytes moved, about")] = 4 << 20,
    outstanding: Annotated[
        int | None, typer.Option("--outstanding", help="bursts under way, if not the chip's")
    ] = None,
    chip: ChipName = "inference",
    latency: Latency = 600,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure the DMA units: rows of one size between memory and L1."""
    import gemel
    from gemel.bench.dma import run

    overrides = {"outstanding": outstanding} if outstanding else {}
    options = {"latency": latency, "bandwidth": bandwidth}
    with gemel.open(chip, backend, overrides=overrides, **options) as device:
        found = run(device, op, row_bytes=row_bytes, stride=stride, total=total, seed=seed)
    _finish(f"{op} of rows of {row_bytes} bytes on {chip} ({backend})", found.as_dict(), json)


@app.command()
def copy(
    size: Annotated[int, typer.Option("--size", help="bytes of a copy")] = 1 << 20,
    total: Annotated[int, typer.Option("--bytes", min=1, help="bytes moved, about")] = 4 << 20,
    count: Annotated[int | None, typer.Option("--count", help="copies, whatever --bytes says")] = None,
    source_offset: Annotated[int, typer.Option("--source-offset", min=0, help="bytes behind a beat's begin")] = 0,
    target_offset: Annotated[int, typer.Option("--target-offset", min=0, help="bytes behind a beat's begin")] = 0,
    chip: ChipName = "inference",
    latency: Latency = 100,
    bandwidth: Bandwidth = 64,
    backend: Backend = "rtl",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure the copy engine: copies from memory to memory, queued in one stream."""
    import gemel
    from gemel.bench.copy import run

    with gemel.open(chip, backend, latency=latency, bandwidth=bandwidth) as device:
        offsets = {"source_offset": source_offset, "target_offset": target_offset}
        found = run(device, size=size, total=total, count=count, seed=seed, **offsets)
    _finish(f"copies of {size} bytes on {chip} ({backend})", found.as_dict(), json)


@app.command()
def figures(chip: ChipName = "inference", json: Json = False) -> None:
    """Measure the figures that the inference chip is held to, on the simulated hardware."""
    from gemel.bench.figures import run_figures

    with _open(chip, "rtl") as device:
        rows = list(run_figures(device))
    values = [vars(row) | {"met": row.met} for row in rows]

    def render(screen: Any) -> None:
        from rich.table import Table

        table = Table(title=f"Figures of the {chip} chip", title_justify="left")
        for column in ("figure", "cycles", "value", "limit", "exact", "met"):
            table.add_column(column, justify="left" if column in ("figure", "exact", "met") else "right")
        for row in rows:
            words = ["[green]yes[/]" if truth else "[red]no[/]" for truth in (row.exact, row.met)]
            table.add_row(row.name, f"{row.cycles or 0:,}", *row.words, *words)
        screen.print(table)

    emit({"chip": chip, "figures": values}, json, render)
    missed = [row.name for row in rows if not row.met]
    if missed:
        raise fail(f"{len(missed)} of {len(rows)} figures are missed: {'; '.join(missed)}", NOT_EXACT)


@app.command()
def simulation(
    chip: ChipName = "inference",
    size: Annotated[int, typer.Option("--size", min=1, help="m, n and k")] = 512,
    dtype: Dtype = "e4m3",
    backend: Backend = "rtl",
    json: Json = False,
) -> None:
    """Measure how fast the simulator is on this host, beside the golden arithmetic."""
    from gemel.bench.simulation import simulation_speed

    with _open(chip, backend) as device:
        values = simulation_speed(device, size=size, name=dtype)
    _finish(f"{dtype} {size} x {size} x {size} on {chip} ({backend}), host speed", values, json)


@app.command()
def golden(size: Annotated[int, typer.Option("--size", min=1, help="m, n and k")] = 512, json: Json = False) -> None:
    """Measure the golden dot product in GMAC/s, by operand format."""
    from gemel.bench.simulation import golden_speed

    values = golden_speed(size=size)
    _finish(f"Golden {size} x {size} x {size}, GMAC/s", values, json)


@app.command()
def faults(
    n: Annotated[int, typer.Option("--n", min=1, help="runs")] = 1000,
    bits: Annotated[
        int, typer.Option("--bits", min=1, max=2, help="flipped in each run; 2: of one word, with its check bits")
    ] = 1,
    chip: ChipName = "nano",
    memory: Annotated[str, typer.Option("--memory", help="hbm2 or hbm3, with check bits, or ideal")] = "hbm3",
    latency: Annotated[int, typer.Option("--latency", help="of an ideal memory, in cycles")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="of data, places and times")] = 0,
    json: Json = False,
) -> None:
    """Flip stored bits of a chip with check bits while a kernel runs, and say what came of each."""
    import gemel
    from gemel.bench.faults import inject
    from gemel.sim.progress import steps

    sizes = {"ecc": True, "memory": memory}
    with gemel.open(chip, memory_bytes=1 << 18, latency=latency, overrides=sizes, upsets=True) as device:
        with steps("flipping bits", n) as tick:
            summary = inject(device, n, seed, bits=bits, tick=tick)
    title = f"{n:,} runs of {chip} with {memory} memory and {bits} flipped bit{'s' if bits > 1 else ''} each"
    emit(summary.as_dict(), json, lambda screen: _show_faults(screen, title, summary))
    if summary.silent_protected:
        raise fail(f"{summary.silent_protected} flips in protected structures gave wrong bytes silently", NOT_EXACT)


def _show_faults(screen: Any, title: str, summary: Summary) -> None:
    from rich.table import Table

    values = summary.as_dict()
    rows: dict[str, dict[str, Any]] = values.pop("table")
    columns = list(next(iter(rows.values())))
    table = Table(title=title, title_justify="left", show_footer=True)
    table.add_column("structure", "all", no_wrap=True)
    for name in columns:
        total = "" if name == "protected" else f"{sum(row[name] for row in rows.values()):,}"
        table.add_column(name, total, justify="right", no_wrap=True)
    for structure, row in rows.items():
        protected = "yes" if row["protected"] else ""
        table.add_row(structure, protected, *(f"{row[name]:,}" for name in columns[1:]))
    screen.print(table)
    for name, value in cells(values):
        screen.print(f"{name}: {value}")


def _open(chip: str, backend: str, latency: int = 100, bandwidth: float = 64) -> Device:
    import gemel

    return gemel.open(chip, backend, latency=latency, bandwidth=bandwidth)


def _place(operands: str, latency: int, bandwidth: float) -> str:
    if operands not in ("l1", "memory"):
        raise ValueError(f"operands are in l1 or in memory, not in {operands!r}")
    return "in L1" if operands == "l1" else f"from memory ({latency} cycles, {bandwidth:g} B/cycle)"


def _vector(
    title: str, work: Work, operands: str, chip: str, backend: str, latency: int, bandwidth: float, json: bool
) -> None:
    """Measure work of the vector core."""
    from gemel.bench.vector import run

    place = _place(operands, latency, bandwidth)
    with _open(chip, backend, latency, bandwidth) as device:
        figures = run(device, work, in_l1=operands == "l1")
    _finish(f"{title} {place} on {chip} ({backend})", figures.as_dict(), json)


def _finish(title: str, values: Mapping[str, Any], as_json: bool) -> None:
    """Print, and end with the exit code of a result that isn't exact."""

    def render(screen: Any) -> None:
        from rich.table import Table

        screen.print(title)
        table = Table(show_header=False)
        table.add_column()
        table.add_column(justify="right")
        for row in cells(values):
            table.add_row(*row)
        screen.print(table)

    emit(values, as_json, render)
    if not values.get("exact", True):
        raise fail("the result differs from the golden model's", NOT_EXACT)
