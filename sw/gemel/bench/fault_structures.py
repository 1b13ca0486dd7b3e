"""The kinds of stored bits of a chip that fault injection tells apart, and which of them check bits protect."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BUS", "CODEWORD", "L1", "MEMORY", "MEMORY_READ", "STRUCTURES", "Structure", "classify"]

DATA, CHECK = 64, 8
CODEWORD = DATA + CHECK
"""Bits of a word with its check bits."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """Stored bits of one kind: the names of their states (none where the simulated memory has them), whether check bits
    protect them, and for a protected memory where check bits of an entry's words lie: those of word 0, and bits from
    one word's data, and from one word's check bits, to the next."""

    name: str
    states: str = ""
    protected: bool = False
    checks: tuple[int, int, int] = (DATA, CODEWORD, CODEWORD)

    def codeword(self, word: int) -> list[int]:
        """The bits of an entry that make its 64-bit word `word`: data, then check bits."""
        first, data, check = self.checks
        return [*range(word * data, word * data + DATA), *range(first + word * check, first + word * check + CHECK)]

    def words(self, bits: int) -> int:
        """Words of an entry of `bits`."""
        return bits // CODEWORD


L1 = Structure(name="L1", states=r"\.l1\.bank\d+_\d+.*\.memory$", protected=True)
MEMORY = Structure(name="memory", protected=True)
MEMORY_READ = Structure(name="memory, read data", protected=True)
BUS = Structure(name="AXI data", states=r"\.(arbiter\d+|memory_\d+)\.[rw]\.(o__payload|spare)$")
STRUCTURES = (
    L1,
    Structure(name="instruction window", states=r"\.fetch\.window$", protected=True, checks=(514, DATA, CHECK)),
    Structure(
        name="vector instructions", states=r"\.vector_core\.program\.bank\d$", protected=True, checks=(256, DATA, CHECK)
    ),
    MEMORY,
    MEMORY_READ,
    Structure(name="L1, access registers", states=r"\.l1\.bank\d+_\d+"),
    Structure(name="instruction queues", states=r"\.queue_\w+\.|\.in_flight_"),
    Structure(name="sequencer", states=r"\.sequencer\."),
    Structure(name="semaphores, supervision", states=r"\.(semaphores|supervisor)\."),
    Structure(name="LOAD", states=r"\.load_unit\."),
    Structure(name="STORE", states=r"\.store_unit\."),
    Structure(name="tensor core, memories", states=r"\.tensor_core\."),
    Structure(name="vector core, memories", states=r"\.vector_core\."),
    Structure(name="command processor", states=r"\.command\."),
    BUS,
    Structure(name="memory controller", states=r"\.memory_\d+\."),
    Structure(name="interconnect", states=r"\.(reads|writes)\.|_merge\.|\.guard_"),
    Structure(name="elsewhere", states="."),
)
"""Each state belongs to the first structure whose expression its name has. `MEMORY`, DRAM's cells, and `MEMORY_READ`,
what comes from it, are there where the chip has DRAM; with an ideal memory `BUS` is the data that it reads."""


def classify(name: str) -> Structure:
    """The structure that the state `name` belongs to."""
    return next(s for s in STRUCTURES if s.states and re.search(s.states, name))
