"""From a traced kernel to its fastest program: every way to compile it is tried, and the estimate decides."""

from __future__ import annotations

from collections.abc import Iterator

from gemel.lang.errors import KernelError
from gemel.lang.graph import Graph
from gemel.lang.levels import Levels
from gemel.lang.loops import Variant
from gemel.lang.program import Compiled, Tensors, compile_variant
from gemel.lang.sections import Sections
from gemel_golden.config import ChipConfig

__all__ = ["compile_graph"]

FUSED_WORK = 400
"""Operations of a row up to which all its columns are unrolled."""


def compile_graph(graph: Graph, tensors: Tensors, config: ChipConfig) -> Compiled:
    """The program for these shapes, strides and this chip. Raises KernelError with the author's line."""
    reasons: list[str] = []
    for variant in _variants(graph):
        try:
            return compile_variant(graph, tensors, config, variant)
        except ValueError as error:
            reasons.append(str(error))
    raise KernelError(f"{graph.name} can't be compiled: {reasons[-1]}", graph.outputs[0].where)


def _variants(graph: Graph) -> Iterator[Variant]:
    levels = Levels(graph)
    fused = Sections(levels, True)
    reads_back = any(node in levels.read_back for node in graph.nodes)
    if fused.work <= FUSED_WORK and not reads_back:
        yield Variant(fused=True, keep=True)
        yield Variant(fused=True, keep=False)
    yield Variant(fused=False, unroll=8)
    yield Variant(fused=False, unroll=4)
