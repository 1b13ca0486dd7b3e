"""From a traced kernel to its fastest program: ways to compile it are tried, and the estimate decides."""

from __future__ import annotations

from collections.abc import Iterator

from gemel.lang.compiled import Compiled, Tensors
from gemel.lang.errors import KernelError
from gemel.lang.estimate import estimate
from gemel.lang.graph import Graph, Op
from gemel.lang.levels import Levels
from gemel.lang.loops import Variant
from gemel.lang.program import compile_variant
from gemel.lang.sections import Sections
from gemel_golden.config import ChipConfig
from gemel_golden.vector_isa import LANES

__all__ = ["compile_graph", "variants", "worth_overlapping"]

UNROLLED = 400
"""Operations of a row up to which all its columns are unrolled."""
WHOLE = 8 * LANES
"""Columns of a row up to which registers hold it while the next one is under way."""
KEPT = 4
"""Vectors of a longer row that registers keep from one pass to the next, so that L1's port has cycles to spare."""
SMALL = 4096
"""Operations of a kernel, with the pauses that others could use, below which the first way is taken, and iterations
don't overlap."""
PAUSE = 16
"""Operations for which a row's reduction leaves time while it goes from lane to lane."""


def compile_graph(
    graph: Graph,
    tensors: Tensors,
    config: ChipConfig,
    *,
    resident: bool = False,
    shared: bool = False,
    overlap: bool | None = None,
) -> Compiled:
    """The program for these shapes, strides and this chip. `resident`: its rows lie in L1 before it and after it, and
    come and go by the programs `loads` and `stores`; `shared`: it takes its first row's number; `overlap`: iterations
    overlap, by default where `worth_overlapping` says so. Raises KernelError with the author's line."""
    reason = ""
    best: tuple[int, Compiled] | None = None
    for variant in variants(graph, worth_overlapping(graph) if overlap is None else overlap):
        try:
            found = compile_variant(graph, tensors, config, variant, resident=resident, shared=shared)
        except ValueError as error:
            reason = str(error)
            continue
        if not variant.overlap:
            return found
        cycles = estimate(found, config)
        if best is None or cycles < best[0]:
            best = cycles, found
    if best is None:
        raise KernelError(f"{graph.name} can't be compiled: {reason}", graph.outputs[0].where)
    return best[1]


def worth_overlapping(graph: Graph) -> bool:
    """Whether a kernel has so many operations, and pauses between them, that its iterations should overlap, which takes
    time to compile."""
    levels = Levels(graph)
    reductions = sum(node.op == Op.REDUCE and node.detail[1] == 1 for node in graph.nodes)
    return levels.rows * (Sections(levels, 1).work + PAUSE * reductions) >= SMALL


def variants(graph: Graph, overlap: bool) -> Iterator[Variant]:
    """Ways to compile a kernel, the likeliest first."""
    levels = Levels(graph)
    sections = Sections(levels, 1)
    passes = 1 + max((level for section in sections.items for level in section.passes), default=0)
    columns = max((node.shape[1] for node in graph.nodes if node in levels.blocked), default=1)
    whole = columns <= WHOLE or not overlap
    if sections.work <= UNROLLED:
        if whole and not levels.read_back:
            yield Variant(fused=passes, keep=columns, overlap=overlap)
            if passes > 1 and not overlap:
                yield Variant(fused=passes, overlap=overlap)
        if passes > 2 and not levels.read_back:
            yield Variant(fused=passes - 1, keep=KEPT * overlap, overlap=overlap)
            if overlap:
                yield Variant(fused=passes - 1)
        if passes > 1 or not whole:
            yield Variant(fused=1, overlap=overlap)
            if overlap and any(node.shape[0] == 1 < node.shape[1] for node in graph.inputs.values()):
                yield Variant(fused=1, columnwise=False, overlap=overlap)
    if sections.work > UNROLLED or not overlap or columns > 16 * LANES:
        yield Variant(fused=1, unroll=8, overlap=overlap)
        yield Variant(fused=1, unroll=4, overlap=overlap)
