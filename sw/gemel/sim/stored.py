"""What of a chip's Verilog is stored state whose bits an experiment may flip."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gemel.sim.verilog import MODULE, Verilog

MEMORY = re.compile(r"^  reg \[\d+:0\] \\?(\S+) \[\d+:0\];", re.MULTILINE)
REGISTER = re.compile(r"^\s+\\?([^\s\[]+)\s*(?:\[[^]]*\])? <= ", re.MULTILINE)
CONTROL = re.compile(
    r"gemel_(chip_command|(chip_core_\d+|core)_(sequencer|supervisor|semaphores|load_unit|store_unit|vector_core_flow))"
    r"|gemel_(queue|in_flight)"
    r"|gemel_l1_bank"
    r"|gemel_chip_(reads|writes)_arbiter\d+"
    r"|gemel_memory_controller(?!_returns_decoder)"
)
"""Modules whose registers count; of the others only memories do, since registers of data paths are too many."""
DATA_PATH = re.compile(r"_(writer|spreader)")


def stored(verilog: Verilog) -> Iterator[tuple[str, str]]:
    """Modules and their variables: every memory, and the registers of what controls the chip."""
    for file in verilog.files:
        for module, body in MODULE.findall(file.read_text()):
            memories = set(MEMORY.findall(body))
            registers = set(REGISTER.findall(body)) if CONTROL.match(module) and not DATA_PATH.search(module) else set()
            yield from ((module, name) for name in sorted(memories | registers) if "$" not in name)
