"""Vector programs of a kernel: one for each stage of its pipeline, and one for what is known after the last row."""

from __future__ import annotations

from collections.abc import Mapping

from gemel.lang.access import Arguments
from gemel.lang.emitter import Emitter
from gemel.lang.graph import Op
from gemel.lang.loops import Loops, Variant
from gemel.lang.sections import Sections, Sink
from gemel.lang.storage import Field
from gemel.vector import VectorProgram

__all__ = ["last_program", "stage_program"]

KEPT_LINES = 512
"""Bytes of tiles that don't vary with the row, up to which vector registers keep them."""


def stage_program(
    sections: Sections, stage: int, rows: int, variant: Variant, arguments: Arguments, pool: Mapping[int, Field]
) -> VectorProgram:
    """The program of a stage for a block of so many rows."""
    emitter = Emitter(sections.fields, sections.levels.blocked, arguments, pool, overlap=variant.overlap)
    emitter.keep_lines = sum(item.size for item in sections.groups["line"].fields) <= KEPT_LINES
    random = [node for node in sections.levels.graph.nodes if node.op == Op.RANDOM]
    if len(random) == 1 and random[0] in sections.levels.blocked:
        emitter.keep_state(random[0])
    loops = Loops(sections, emitter, variant, rows)
    for number, section in enumerate(section for section in sections.items if section.stage == stage):
        if number:
            emitter.builder.fence()
        emitter.loadable = lambda node, section=section: sections.homes.get(node) is not section
        if section.columns:
            loops.columns(section)
        else:
            loops.rows(section)
    return emitter.builder.build()


def last_program(
    sections: Sections, variant: Variant, arguments: Arguments, pool: Mapping[int, Field]
) -> VectorProgram:
    """The program for what is known after the last row."""
    graph = sections.levels.graph
    sinks = [Sink(item.node, item) for item in sections.groups["last"].fields]
    emitter = Emitter(sections.fields, set(graph.nodes), arguments, pool, overlap=variant.overlap)
    loops = Loops(sections, emitter, variant, 1)
    emitter.looped(lambda: loops.sweep(sinks), lambda body: body())
    return emitter.builder.build()
